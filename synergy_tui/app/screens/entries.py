"""Scenarios, experiments and sweeps as rows of the picker, and what is known of one. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.content import Content

from synergy_tui import words
from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.filter import matches
from synergy_tui.app.widgets.listing import Column, Row, Section
from synergy_tui.app.widgets.strips import Cell
from synergy_tui.experiments.beside import NAMES
from synergy_tui.scenario import library

LONGEST = 24
"""Characters of a scenario's name in the list, at most."""
MUTED = "$foreground 60%"

Keyed = Callable[[str], str]
"""Puts keys in place of ids of the table, as `keys.filled`."""

_STATES = {
    "running": ("●", "good", "{picker.open} returns to it"),
    "new": ("…", "muted", "{picker.open} waits for its worker"),
    "finished": ("✓", "good", "{picker.open} replays it"),
    "failed": ("✗", "error", "{picker.open} shows how far it came"),
    "stopped": (
        "■",
        "warning",
        "{picker.open} shows how far it came; {picker.resume} continues it",
    ),
    "damaged": ("✗", "error", "it cannot be opened; {picker.remove} removes it"),
    "dead": (
        "?",
        "error",
        "its worker is gone; {picker.resume} continues from its last checkpoint",
    ),
}
"""Mark, style, and what can be done, by state."""
_DISAPPOINTED = ("!", "warning", "an expectation failed; {picker.open} replays it")
"""The same for what finished, but not as expected."""
_STYLES = {
    "good": "$text-success",
    "error": "$text-error",
    "warning": "$text-warning",
    "muted": MUTED,
}

_SCENARIO = (Column(""), Column("", weight=1, shrinks=True))
_EXPERIMENT = (
    Column(""),
    Column("", shrinks=True),
    Column("state", weight=8),
    Column("heads", weight=5),
    Column("task", weight=3, shrinks=True),
    Column("loss", weight=4),
    Column("verdict", weight=6),
    Column("age", weight=7, right=True),
)


def state_of(each: Mapping[str, Any]) -> tuple[str, str, str]:
    """Mark, style, and what can be done with an experiment."""
    if each["state"] == "finished" and each["exit_code"]:
        return _DISAPPOINTED
    mark, style, can = _STATES.get(each["state"], ("?", "muted", "{picker.open} opens it"))
    if each.get("watched") and each["state"] in ("stopped", "dead"):
        can = "your own training, which has ended; {picker.open} shows how far it came"
    return mark, style, can


def scenario_section(entries: Mapping[str, library.Entry], query: str) -> Section:
    """The scenarios that a filter leaves: name and title."""
    rows = []
    for key, entry in entries.items():
        if matches(query, entry.path.stem, entry.title, *entry.runs):
            title = f"sweep: {entry.title}" if entry.sweep else entry.title
            style = "error" if entry.problem else "text"
            name = Cell(words.cut(entry.path.stem, LONGEST), style)
            rows.append(Row(key, [name, Cell("" if entry.problem else title, "muted")]))
    empty = "none matches" if entries else "none in ./scenarios"
    return Section("SCENARIOS", _SCENARIO, rows, empty)


def experiment_section(
    found: Mapping[str, Mapping[str, Any]],
    query: str,
    marked: Sequence[Path] = (),
    nothing: str = "",
) -> Section:
    """The experiments and sweeps that a filter leaves."""
    rows = [
        Row(key, _cells(each, marked))
        for key, each in found.items()
        if matches(query, *_texts(each))
    ]
    title = "EXPERIMENTS"
    columns = [Column("  "), Column("".ljust(len(title) - 4), shrinks=True), *_EXPERIMENT[2:]]
    return Section(title, columns, rows, "none matches" if found else nothing)


def _texts(each: Mapping[str, Any]) -> list[str]:
    """What a filter looks into."""
    entry: library.Entry = each["entry"]
    heads = [f"{count} heads" for count in each["heads"]]
    said = [each["id"], each["scenario"], each["kind"], each["state"], each["verdict"]]
    return [*map(str, said), str(each["task"] or ""), entry.title, *entry.runs, *heads]


def _cells(each: Mapping[str, Any], marked: Sequence[Path]) -> list[Cell]:
    mark, style, _ = state_of(each)
    path = Path(each["path"])
    letters = "".join(NAMES[place] for place, other in enumerate(marked) if other == path)
    first = Cell(letters, identity(marked.index(path)).variable) if letters else Cell(mark, style)
    points = each["points"]
    return [
        first,
        Cell(words.cut(str(each["scenario"]), LONGEST)),
        Cell(each["state"], style),
        Cell(_few([str(count) for count in each["heads"] if count])),
        Cell(str(each["task"] or "")),
        Cell(_few([_loss(loss) for loss in each["loss"]])),
        Cell(each["signs"] or (words.counted(points, "point") if points else "")),
        Cell(words.age(each["started"]).removesuffix(" ago"), "muted"),
    ]


def _few(values: Sequence[str]) -> str:
    """A value for each run; of many, those of the first and the last run."""
    return ", ".join(values) if len(values) < 3 else f"{values[0]} to {values[-1]}"


def _loss(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else words.compact(value, 3)


def about_scenario(entry: library.Entry, keyed: Keyed) -> Content:
    """What is known of a scenario, and which key runs it."""
    if entry.problem:
        return Content.assemble(
            (f"{entry.path.name} cannot be read\n\n", "bold"), (entry.problem, "$text-error")
        )
    parts: list[Any] = [(f"{entry.title}\n\n", "bold")]
    if entry.description:
        parts.append(f"{entry.description}\n\n")
    if entry.runs:
        parts.append(f"runs   {', '.join(entry.runs)}\n")
    parts.append((f"file   {entry.path}\n\n", MUTED))
    what = (
        "A sweep of many experiments: {picker.open} estimates its time before it asks to start it"
        if entry.sweep
        else "{picker.open} runs it; it continues when you leave"
    )
    parts.append(keyed(what))
    return Content.assemble(*parts)


def about_experiment(each: Mapping[str, Any], keyed: Keyed) -> Content:
    """What is known of an experiment, and what can be done with it by which keys."""
    _, style, what = state_of(each)
    entry: library.Entry = each["entry"]
    took = "" if each["elapsed"] is None else f", took {words.clock(each['elapsed'])}"
    parts: list[Any] = [(f"{each['scenario'] if entry.problem else entry.title}\n\n", "bold")]
    if each["problem"]:
        parts.append((f"{each['problem']}\n\n", "$text-error"))
    if each["verdict"]:
        parts.append(f"{each['verdict']}\n\n")
    reason = f": {each['reason']}" if each["reason"] else ""
    parts += ["state    ", (f"{each['state']}{reason}\n", _STYLES[style])]
    parts.append(f"started  {words.age(each['started'])}{took}\n")
    if entry.runs:
        parts.append(f"runs     {', '.join(entry.runs)}\n")
    parts.append((f"folder   {each['path']}\n\n", MUTED))
    parts.append(keyed(what))
    return Content.assemble(*parts)
