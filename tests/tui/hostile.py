"""Events as somebody might write them who wants the views to fail: every value, one at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]
Key = tuple[str | int, ...]

VALUES: tuple[Any, ...] = (
    *([], [1], ["a"], {}, {"a": 1}, None, True),
    *("", "a", "> 5", "inf", "[/b]", "\x1b[2J\x9b\u202e\n", "x" * 5000),
    *(0, -1, 2**53 - 1, 2**63, 0.5, -0.5, 1e300, math.inf, -math.inf, math.nan),
)


def leaves(value: Any, at: Key = ()) -> Iterator[Key]:
    """Yield the path of every value in an event, containers too; of lists the first element."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*at, key))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*at, 0))


def changed(event: Event, at: Key, value: Any) -> Event:
    """Return a copy of the event with another value at a path."""
    copied = copy.deepcopy(event)
    inner: Any = copied
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return copied
