"""Which events have the shape that `kinds` describes, checked once, where logs are read.

What views rely on holds after that. Lenient where later and earlier versions may differ: unknown
kinds and keys pass, keys may be missing, and so may the values (``null``) of keys that need not be
there. Strict about types: a list in the place of a number takes a view down long after it was read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from functools import cache
from operator import itemgetter
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NotRequired,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from synergy_tui.experiments.analysis import Analysis, Arrival, Time
from synergy_tui.experiments.kinds import KINDS, TrainStep

Event = dict[str, Any]
Check = Callable[[Any], bool]

VERSION = 1
LARGEST = 2**53
"""Integers below it are exact as floating-point numbers, too."""
LONGEST = 1e12
"""Seconds that an experiment may last."""

_NUMBERS = frozenset({int, float})
_CENSORED = re.compile(r"> ?\d[\d,]*")
_STEP_TYPES = {
    "v": frozenset({int}),
    "t": _NUMBERS,
    "run": frozenset({str}),
    "step": frozenset({int}),
    "loss": _NUMBERS,
    **dict.fromkeys(("accuracy", "tokens_per_second"), _NUMBERS | {type(None)}),
}
_STEP = itemgetter(*_STEP_TYPES)


class _Bound(TypedDict):
    bound: Time
    measured: Time
    holds: bool
    applies: bool


# What `kinds` and `analysis` leave open because the schema of version 1 does.
_OPEN: dict[str, Any] = {"conventions": dict[str, Analysis], "bounds": dict[str, _Bound]}


def fitting(events: Sequence[Event]) -> list[Event]:
    """Return the events whose shape is right; each is an object with a kind."""
    steps = [event for event in events if event["kind"] == TrainStep.kind]
    if _are_plain(steps):
        return [event for event in events if event["kind"] == TrainStep.kind or fits(event)]
    return [event for event in events if fits(event)]


def fits(event: Event) -> bool:
    """Whether the shape of one event is right."""
    time, run, kind = event.get("t", 0.0), event.get("run"), event["kind"]
    return (
        event.get("v", VERSION) == VERSION
        and (_is_number(time) and 0 <= time < LONGEST)
        and (run is None or isinstance(run, str))
        and (kind not in KINDS or _of_kind(kind)(event))
    )


def _are_plain(steps: list[Event]) -> bool:
    """Whether all of many training steps are right, column by column: logs are full of them."""
    try:
        columns = dict(zip(_STEP_TYPES, zip(*map(_STEP, steps), strict=True), strict=True))
    except (KeyError, ValueError):
        return False
    return (
        all(_STEP_TYPES[name].issuperset(map(type, column)) for name, column in columns.items())
        and set(columns["v"]) == {VERSION}
        and all(map(math.isfinite, columns["t"]))
        and 0 <= min(columns["t"]) <= max(columns["t"]) < LONGEST
        and -LARGEST < min(columns["step"]) <= max(columns["step"]) < LARGEST
    )


@cache
def _of_kind(kind: str) -> Check:
    described = KINDS[kind]
    optional = {
        each.name
        for each in fields(described)
        if (each.default, each.default_factory) != (MISSING, MISSING)
    }
    return _record(described, optional)


def _record(described: type, optional: set[str] | None = None) -> Check:
    """Check the keys of a dataclass or a typed dict that are there."""
    hints = get_type_hints(described, include_extras=True)
    checks = {
        name: _check(_OPEN.get(name, hint))
        for name, hint in hints.items()
        if get_origin(hint) is not ClassVar
    }

    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(
            (found is None and (optional is None or name in optional)) or checks[name](found)
            for name, found in value.items()
            if name in checks
        )

    return check


def _check(described: Any) -> Check:
    """Return what a type asks of a value."""
    origin, arguments = get_origin(described), get_args(described)
    if described is Any:
        return lambda value: True
    if described == Time:
        return lambda value: (
            _is_number(value) or (isinstance(value, str) and _CENSORED.fullmatch(value) is not None)
        )
    if origin is Annotated and arguments[1] == "interval":
        return lambda value: _are_numbers(value) and len(value) == 2
    if origin in (Annotated, NotRequired):
        return _check(arguments[0])
    if origin is Literal:
        return lambda value: isinstance(value, str)
    if origin in (Union, UnionType):
        checks = [_check(each) for each in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is list and _plain(arguments[0]) is float:
        return _are_numbers
    if described == list[Analysis]:
        layer = _record(Analysis)
        return lambda value: type(value) is list and value != [] and all(map(layer, value))
    if origin in (list, dict):
        inner = _check(arguments[-1])
        return lambda value: (
            type(value) is origin
            and all(map(inner, value.values() if isinstance(value, dict) else value))
        )
    if described is Arrival:
        curves = _record(Arrival)
        names = get_type_hints(Arrival)
        return lambda value: (
            curves(value) and len({len(value[name]) for name in names if value.get(name)}) < 2
        )
    if is_typeddict(described):
        return _record(described)
    if described is float:
        return _is_number
    if described is int:
        return lambda value: type(value) is int and -LARGEST < value < LARGEST
    return lambda value: type(value) is described


def _plain(described: Any) -> Any:
    return get_args(described)[0] if get_origin(described) is Annotated else described


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS


def _are_numbers(value: Any) -> bool:
    return type(value) is list and _NUMBERS.issuperset(map(type, value))
