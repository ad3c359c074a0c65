"""The strip beneath the panels: what the comparison shows, in words and numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synergy_tui.identity import identity
from synergy_tui.panels import Look, interval_text, learned, shown
from synergy_tui.state import ExperimentState, RunState
from synergy_tui.verdict import verdict
from synergy_tui.widgets.strips import Cell, Summary


def summarise(state: ExperimentState, look: Look, alert: str = "") -> Summary:
    """The verdict at the cursor, the conventions it is under, and the table of the runs."""
    if not any(run.probes for run in state.runs.values()):
        waiting = "nothing has been measured yet"
        return Summary(alert, waiting, _expectations(state), _table(state, look))
    told = verdict(state, look.step)
    notes = [f"mixed: {look.convention.name} (c) · {told.convention}"]
    line = told.line.replace("∞", "inf") if look.ascii_only else told.line
    return Summary(alert, line, [*notes, *told.details, *_expectations(state)], _table(state, look))


def _expectations(state: ExperimentState) -> list[str]:
    marks = {True: "holds", False: "FAILS"}
    return [
        f"expected {event['that']}: {marks[bool(event.get('holds'))]}"
        for event in state.expectations
    ]


def _table(state: ExperimentState, look: Look) -> list[list[Cell]]:
    """One column a run; only the rows that some run has a value for."""
    runs = list(state.runs.values())
    if not runs:
        return []
    head = [Cell("", "muted")]
    columns: list[dict[str, str]] = []
    for run in runs:
        place = identity(run.index)
        head.append(Cell(f"{place.mark(look.ascii_only)} {run.name}", place.variable))
        columns.append(_numbers(run, look))
    names: dict[str, None] = {}
    for column in columns:
        names.update(dict.fromkeys(column))
    body = [
        [Cell(name, "muted"), *(Cell(column.get(name, "–")) for column in columns)]
        for name in names
    ]
    return [head, *body] if body else []


def _numbers(run: RunState, look: Look) -> dict[str, str]:
    """Every number of a run at the cursor, by the name it has in the table."""
    rows: dict[str, str] = {}
    probe = run.probe_at(look.step)
    if probe is not None:
        analysis = look.convention.analysis(probe, look.layer)
        mixing = analysis.get("mixing") or {}
        synergy = analysis.get("synergy") or {}
        rows["steps to sink, mean"] = _value(analysis, mixing, "hitting_time_mean")
        rows[f"mixed at, {look.convention.distance} {look.convention.aggregate}"] = shown(
            mixing.get(look.convention.key)
        )
        rows["minimax fidelity φ"] = _value(
            analysis, analysis["fidelity"], "minimax", "fidelity_minimax"
        )
        if run.heads > 1:
            rows["fidelity against own best head"] = _times(
                analysis, synergy, "fidelity_amplification"
            )
            rows["mixing against own best head"] = _times(analysis, synergy, "mixing_gain")
    loss, accuracy = learned(run, look.step)
    if loss is not None:
        rows["loss, nats"] = shown(loss)
    if accuracy is not None:
        rows["right answers"] = f"{accuracy:.1%}"
    if run.parameters is not None:
        rows["parameters"] = f"{run.parameters:,}"
    return rows


def _value(
    analysis: Mapping[str, Any], group: Mapping[str, Any], key: str, interval: str = ""
) -> str:
    """A metric with its interval, where there is one."""
    ends = (analysis.get("intervals") or {}).get(interval or key)
    return shown(group.get(key)) + interval_text(ends)


def _times(analysis: Mapping[str, Any], group: Mapping[str, Any], key: str) -> str:
    value, gap, interval = _value(analysis, group, key).partition(" ")
    return value if value == "–" else f"{value}x{gap}{interval}"
