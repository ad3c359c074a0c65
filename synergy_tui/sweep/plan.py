"""From the ``[sweep]`` table to points: ordinary scenarios, each with a name and its settings."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from synergy_tui.errors import UserError
from synergy_tui.scenario import Scenario, parse_scenario, set_key
from synergy_tui.scenario.sweep import AXES, Override, Scalar, SweepTable

# How a value of an axis is written in a point's name: 64 wide, 4 layers, 33 tokens.
_PREFIXES = {"widths": "w", "layers": "l", "lengths": "n", "nodes": "n", "diversity": "d"}
MANY = 10_000


@dataclass(frozen=True)
class PlannedPoint:
    """One ordinary experiment of a sweep, as its plan stores it."""

    name: str  # unique in the sweep, and the name of the experiment's directory
    group: str  # what is held fixed when seeds are compared: the name without its seed, or ""
    seed: int
    settings: Mapping[str, Scalar]  # axis → value, without the compared axis and the seed
    columns: Mapping[str, Scalar]  # run → value of the compared axis, else the run's own name


@dataclass(frozen=True)
class Point(PlannedPoint):
    """A planned point with what is run."""

    scenario: Scenario = field(repr=False)


def expand(scenario: Scenario) -> list[Point]:
    """Every point of a scenario's sweep, in the order of the axes, seeds fastest.

    Without ``[sweep]``, its only point is the scenario itself.
    """
    table = scenario.sweep or SweepTable(seeds=[scenario.seed])
    base = scenario.model_dump(exclude_none=True, exclude={"sweep", "versions"})
    if not base.get("runs") and table.compared is None:
        raise UserError(
            f"{scenario.name}: [sweep] compares nothing and there are no [[runs]].",
            hint="Give heads = [1, 8] or topologies = […] in [sweep], or list [[runs]].",
        )
    planned: list[tuple[dict[str, Scalar], list[int]]] = []
    count = 0
    for settings, seeds in _combinations(table):
        count += len(seeds)
        if count > MANY:
            raise UserError(f"{scenario.name}: [sweep] has more than {MANY:,} points.")
        planned.append((settings, seeds))
    names: set[str] = set()
    points: list[Point] = []
    for settings, seeds in planned:
        for seed in seeds:
            name = "-".join([*_words(settings), f"s{seed}"])
            if name in names:
                raise UserError(
                    f"{scenario.name}: [sweep] lists the point {name} twice.",
                    hint="Points listed one by one must differ from each other and the grid.",
                )
            names.add(name)
            points.append(_point(scenario, base, table, name, settings, seed))
    return points


def _combinations(table: SweepTable) -> Iterator[tuple[dict[str, Scalar], list[int]]]:
    """Settings and seeds of the grid, then of the listed points."""
    compared = table.compared
    axes = [axis for axis in (*AXES, *table.axes) if table.values(axis) and axis != compared]
    # A list of points without axes stands alone: it does not also mean a grid of one point.
    if axes or not table.points:
        for values in itertools.product(*(table.values(axis) for axis in axes)):
            yield dict(zip(axes, values, strict=True)), table.seed_list
    for listed in table.points:
        settings = {_axis_of(key): value for key, value in listed.items() if key != "seed"}
        if compared in settings:
            raise UserError(
                f"[sweep] points set {compared!r}, which is compared within each point."
            )
        yield settings, [int(listed["seed"])] if "seed" in listed else table.seed_list


def _axis_of(key: str) -> str:
    """The axis that a listed point's key means: singular and plural, and scenario keys."""
    if key in AXES:
        return key
    by_key = {target: axis for axis, target in AXES.items()}
    singular = {"task": "tasks", "length": "lengths", "width": "widths", "topology": "topologies"}
    return by_key.get(key) or singular.get(key) or key


def _key_of(axis: str) -> str:
    return AXES.get(axis, axis)


def _words(settings: Mapping[str, Scalar]) -> list[str]:
    return [
        _PREFIXES.get(axis, "" if axis in AXES else axis.rsplit(".", 1)[-1].replace("_", "")[:4])
        + _slug(value)
        for axis, value in settings.items()
    ]


def _slug(value: Scalar) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return re.sub(r"[^\w]+", "_", text).strip("_")


def _point(
    scenario: Scenario,
    base: Mapping[str, Any],
    table: SweepTable,
    name: str,
    settings: Mapping[str, Scalar],
    seed: int,
) -> Point:
    raw = copy.deepcopy(dict(base))
    raw["seed"] = seed
    raw["name"] = re.sub(r"[^\w-]+", "_", f"{scenario.name}-{name}")
    words = ", ".join(f"{axis} {value}" for axis, value in settings.items())
    raw["title"] = " · ".join(part for part in (scenario.title, words, f"seed {seed}") if part)
    raw["runs"], columns = _columns(list(raw.get("runs") or []), table)
    for axis, value in settings.items():
        _set(raw, _key_of(axis), value)
    for override in table.overrides:
        _override(raw, override, {**settings, "seed": seed}, columns, table)
    origin = f"{scenario.name} [sweep] point {name}"
    return Point(
        name=name,
        group=name.removesuffix(f"s{seed}").removesuffix("-"),
        seed=seed,
        settings=dict(settings),
        columns=columns,
        scenario=parse_scenario(raw, name=raw["name"], origin=origin),
    )


def _columns(
    templates: list[dict[str, Any]], table: SweepTable
) -> tuple[list[dict[str, Any]], dict[str, Scalar]]:
    """The runs of each point: every template run with every value of the compared axis."""
    axis = table.compared
    if axis is None:
        return templates, {run["name"]: run["name"] for run in templates}
    runs: list[dict[str, Any]] = []
    columns: dict[str, Scalar] = {}
    for template in templates or [{}]:
        for value in table.values(axis):
            stem = template.get("name") or ("" if axis == "topologies" else axis.rsplit(".", 1)[-1])
            name = "-".join(filter(None, (stem, _slug(value))))
            run = copy.deepcopy(template)
            run["name"] = name
            _set({"runs": [run]}, _key_of(axis), value)
            runs.append(run)
            columns[name] = value
    return runs, columns


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    try:
        set_key(raw, key.split("."), value)
    except ValueError as error:
        raise UserError(f"[sweep] cannot set {key}: {error}.") from error


def _override(
    raw: dict[str, Any],
    override: Override,
    settings: Mapping[str, Scalar],
    columns: Mapping[str, Scalar],
    table: SweepTable,
) -> None:
    """Apply one override where it matches; one that names the compared axis is for those runs."""
    chosen: list[str] | None = None
    for axis, wanted in override.where.items():
        allowed = wanted if isinstance(wanted, list) else [wanted]
        if axis == table.compared:
            chosen = [name for name, value in columns.items() if value in allowed]
        elif settings.get(axis) not in allowed:
            return
    for key, value in override.set.items():
        if chosen is None:
            _set(raw, key, value)
            continue
        if not key.startswith("runs."):
            raise UserError(
                f"[sweep] override for some {table.compared} sets {key}, which all runs share.",
                hint="Such an override sets keys of runs, as in runs.learning_rate.",
            )
        for run in raw["runs"]:
            if run["name"] in chosen:
                _set({"runs": [run]}, key, value)
