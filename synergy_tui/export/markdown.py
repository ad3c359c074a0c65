"""The scoreboard as a Markdown table, for the summary of a job in CI."""

from __future__ import annotations

import html
import re

from synergy_tui.experiments import verdict
from synergy_tui.experiments.metrics import COLUMNS, run_record
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.words import clean, show_value


def scoreboard(state: ExperimentState) -> str:
    """Return claims, runs and expectations of an experiment as GitHub's Markdown."""
    records = [run_record(run) for run in state.runs.values()]
    exact = [record["kind"] == "designed" for record in records]
    cells = [
        [show_value(record.get(key), exact=each) for key in COLUMNS.values()]
        for record, each in zip(records, exact, strict=True)
    ]
    shown = [place for place, _ in enumerate(COLUMNS) if any(row[place] != "–" for row in cells)]
    names = list(COLUMNS)
    board = verdict.scoreboard(state)
    lines = [f"### {_text(state.title or state.id)}", ""]
    lines += [_text(each) for each in [*board.failed, board.heading]] + [""]
    if board.lines:
        lines += _table(
            ["", "claim", "ratio", "", "95%", "null"],
            [
                [each.mark, each.label, each.times, each.values, each.range, each.against]
                for each in board.lines
            ],
        )
        lines += [_text(" · ".join(filter(None, (board.convention, board.basis)))), ""]
    lines += _table(
        ["run", "status", *(names[place] for place in shown)],
        [
            [record["run"], record["status"], *(row[place] for place in shown)]
            for record, row in zip(records, cells, strict=True)
        ],
    )
    if state.expectations:
        lines += _table(
            ["", "expectation", "left", "right"],
            [
                [
                    "✓ holds" if event.get("holds") else "✗ fails",
                    str(event.get("that", "")),
                    show_value(event.get("left")),
                    show_value(event.get("right")),
                ]
                for event in state.expectations
            ],
        )
    return "\n".join(lines) + "\n"


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    body = ["| " + " | ".join(map(_text, row)) + " |" for row in (titles, *rows)]
    return [body[0], "|" + " --- |" * len(titles), *body[1:], ""]


def _text(value: object) -> str:
    """Return what a log says as text alone: neither markup, nor a link, nor another cell."""
    return re.sub(r"([\\`*_\[\]|~#@!])", r"\\\1", html.escape(clean(str(value)), quote=False))
