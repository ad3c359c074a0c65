"""The strip beneath the panels: the scoreboard and a table of the runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synergy_tui.app import keys
from synergy_tui.app.dashboard.panels import Look, learned, mixing_rule
from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.ascii import to_ascii
from synergy_tui.app.widgets.strips import Cell, Summary
from synergy_tui.experiments.state import ExperimentState, RunState
from synergy_tui.experiments.verdict import LEGEND, Line, scoreboard
from synergy_tui.words import decimal, interval_text, measured

STEPS, FIDELITY, MIXED, LOSS, RIGHT, PARAMETERS = (
    "steps to sink",
    "minimax fidelity φ",
    "mixing time",
    "loss, nats",
    "right",
    "parameters",
)
CLARITY, SPEED = "clearer than best head", "faster than best head"
"""Heads of the table: the mixture against the best of its own heads; above 1 is synergy."""


def summarise(state: ExperimentState, look: Look, alert: str = "") -> Summary:
    """The scoreboard at the cursor, the conventions it is under, and the table of the runs.

    With an ``alert`` about the runs that failed, the scoreboard does not name them again.
    """
    failed, held = _expectations(state) if look.step >= state.step else ([], [])
    table = _table(state, look)
    if not any(run.probes for run in state.runs.values()):
        return Summary(alert, "nothing has been measured yet", held, table, failed)
    found = scoreboard(state, look.step, convention=look.convention, layer=look.layer)
    notes = []
    if found.convention:
        chosen, rule = (
            keys.filled(hint, look.keymap, ascii_only=look.ascii_only)
            for hint in ("{view.convention}, {view.layer}", "{view.convention} changes")
        )
        notes = [
            f"{found.convention} ({chosen}) · {found.basis} · {LEGEND}",
            *found.notes,
            f"{mixing_rule(state, look)} ({rule}) · {found.measured}",
        ]
    trouble = [] if alert else found.failed
    line = "; ".join([*trouble, found.heading])
    return Summary(
        alert,
        line,
        [*notes, *held],
        table,
        failed,
        [_row(each, look.ascii_only) for each in found.lines],
    )


_STYLES = {"supported": "good", "contradicted": "error"}


def _row(line: Line, ascii_only: bool) -> list[Cell]:
    """A claim; in colour where its interval decides, its numbers as the charts write them."""
    style = _STYLES.get(line.verdict, "text") if line.decided else "text"
    return [
        Cell(line.mark, style),
        Cell(line.label),
        Cell(_shown(line.times, ascii_only), style),
        Cell(_shown(line.values, ascii_only)),
        Cell(_shown(line.range, ascii_only)),
        Cell(_shown(line.against, ascii_only), "muted"),
    ]


def _shown(text: str, ascii_only: bool) -> str:
    return to_ascii(text) if ascii_only else text


def _expectations(state: ExperimentState) -> tuple[list[str], list[str]]:
    """What was expected and fails, one per line, and what holds, in one line."""
    failed: list[str] = []
    held: list[str] = []
    for event in state.expectations:
        (held if event.get("holds") else failed).append(str(event["that"]))
    return (
        [f"expected, but FAILS: {that}" for that in failed],
        [f"expected, and holds: {'; '.join(held)}"] if held else [],
    )


def _table(state: ExperimentState, look: Look) -> list[list[Cell]]:
    """A row for each run, and a column for each measure that some run has a value of."""
    runs = list(state.runs.values())
    numbers = [_numbers(run, look) for run in runs]
    names = [name for name in _columns(look) if any(name in row for row in numbers)]
    if not names:
        return []
    headings = [_shown(name, look.ascii_only) for name in names]
    table = [[Cell(text, "muted") for text in ("", *headings)]]
    for run, row in zip(runs, numbers, strict=True):
        place = identity(run.index)
        lead = Cell(f"{place.mark(look.ascii_only)} {run.name}", place.variable)
        table.append([lead, *(Cell(row.get(name, "–")) for name in names)])
    return table


def _columns(look: Look) -> list[str]:
    """Names of the table's columns, what no panel shows first."""
    return [STEPS, FIDELITY, CLARITY, SPEED, MIXED, LOSS, RIGHT, PARAMETERS]


def _numbers(run: RunState, look: Look) -> dict[str, str]:
    """Every number of a run at the cursor, by the name it has in the table."""
    rows: dict[str, str] = {}
    probe = run.probe_at(look.step)
    if probe is not None:
        analysis = look.convention.analysis(probe, look.layer)
        mixing = analysis.get("mixing") or {}
        synergy = analysis.get("synergy") or {}
        rows[STEPS] = _value(analysis, mixing, "hitting_time_mean")
        rows[MIXED] = measured(mixing.get(look.convention.key))
        rows[FIDELITY] = _value(analysis, analysis["fidelity"], "minimax", "fidelity_minimax")
        if run.heads > 1:
            rows[CLARITY] = _times(analysis, synergy, "fidelity_amplification")
            rows[SPEED] = _times(analysis, synergy, "mixing_gain")
    loss, accuracy = learned(run, look.step)
    if loss is not None:
        rows[LOSS] = measured(loss)
    if accuracy is not None:
        rows[RIGHT] = decimal(accuracy, ".1%")
    if run.parameters is not None:
        rows[PARAMETERS] = f"{run.parameters:,}"
    return rows


def _value(
    analysis: Mapping[str, Any], group: Mapping[str, Any], key: str, interval: str = ""
) -> str:
    """A metric with its interval, where there is one."""
    ends = (analysis.get("intervals") or {}).get(interval or key)
    return measured(group.get(key)) + interval_text(ends)


def _times(analysis: Mapping[str, Any], group: Mapping[str, Any], key: str) -> str:
    value, gap, interval = _value(analysis, group, key).partition(" ")
    return value if value == "–" else f"{value}×{gap}{interval}"
