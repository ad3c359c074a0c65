"""The one-line strips and the summary: fields in, lines of text out."""

from __future__ import annotations

from typing import Any

import pytest

from synergy_tui.app.dashboard.comparison import summarise
from synergy_tui.app.dashboard.panels import Look
from synergy_tui.app.widgets.strips import Cell, Field, Summary, strip, summary, summary_height
from synergy_tui.experiments.conventions import Convention
from synergy_tui.experiments.state import ExperimentState
from tests.tui.app import synthetic

TABLE = [
    [Cell(""), Cell("steps to sink"), Cell("parameters")],
    [Cell("● one"), Cell("116 [26, 207]"), Cell("74,081")],
    [Cell("▲ many"), Cell("5.02"), Cell("74,081")],
]


def lines(content: Summary, width: int, height: int) -> list[str]:
    return [line.rstrip() for line in summary(content, width, height).lines()]


def test_a_key_stands_before_its_label_and_answers_to_clicks_as_a_whole() -> None:
    canvas, actions = strip([Field("pause", key="space", action="toggle_pause")], 20)
    assert canvas.lines() == [" space pause        "]
    assert actions[1:12] == ["toggle_pause"] * 11
    assert actions[12] == ""


def test_the_table_has_a_row_for_each_run() -> None:
    content = Summary("", "many is sooner", ["theory"], TABLE)
    assert lines(content, 100, summary_height(content, 100, 9)) == [
        " verdict  many is sooner",
        "          theory",
        "                   steps to sink   parameters",
        "          ● one    116 [26, 207]       74,081",
        "          ▲ many            5.02       74,081",
    ]


def test_columns_without_room_are_left_out_from_the_last() -> None:
    content = Summary("", "many is sooner", ["theory"], TABLE)
    shown = "\n".join(lines(content, 36, 9))
    assert "116 [26, 207]" in shown
    assert "parameters" not in shown
    assert "● one" not in "\n".join(lines(content, 20, 9))


def test_what_is_cut_short_says_so() -> None:
    content = Summary("", "many is sooner " * 6, ["theory, walks, sink excluded " * 3])
    verdict, convention = lines(content, 40, 2)
    assert verdict.endswith(" …")
    assert convention.endswith(" …")
    assert convention.startswith(" theory, walks")


def test_a_note_is_whole_or_not_there() -> None:
    content = Summary("", "many is sooner", ["theory", "one " * 30, "two"], TABLE)
    assert lines(content, 60, 6)[-1] == "", "what does not fit is not begun"
    assert lines(content, 60, 9)[-1].endswith("two")


BOARD = [
    [
        Cell("✔", "good"),
        Cell("sooner"),
        Cell("2.2×", "good"),
        Cell("27 → 12 steps"),
        Cell("[2, 3]"),
    ],
    [Cell("?"), Cell("learned better"), Cell("10×"), Cell("loss 1 → .1"), Cell("")],
]


def test_a_claim_has_a_row_where_there_is_room_and_always_its_sign_and_ratio() -> None:
    content = Summary("", "many against one", ["theory"], board=BOARD)
    assert lines(content, 100, 9)[1:3] == [
        "  ✔  sooner          2.2×  27 → 12 steps  [2, 3]",
        "  ?  learned better   10×  loss 1 → .1",
    ]
    assert lines(content, 50, 9)[1] == "  ✔  sooner          2.2×  27 → 12 steps  [2, 3]"
    assert lines(content, 45, 9)[1] == "  ✔  sooner          2.2×  27 → 12 steps"
    assert lines(content, 30, 9)[1] == "  ✔  sooner          2.2×"
    assert summary_height(content, 60, 3) == 3
    assert lines(content, 60, 3)[1] == " ✔ sooner 2.2×  ? learned better 10×"
    assert lines(content, 60, 3)[2] == " theory"


@pytest.mark.parametrize("width", [40, 60, 89, 90, 200])
def test_no_line_is_longer_than_the_strip_is_wide(width: int) -> None:
    content = Summary(
        "out of memory " * 9, "sooner " * 30, ["theory " * 20], TABLE, ["a < b " * 20]
    )
    for height in range(1, 12):
        drawn = summary(content, width, height).lines()
        assert {len(line) for line in drawn} == {width}


def finished(*held: bool) -> ExperimentState:
    state = ExperimentState()
    events: list[dict[str, Any]] = synthetic.trained(upto=40, steps=40)
    events += [
        {"v": 1, "t": 9.0, "kind": "expectation", "that": f"a < {place}", "holds": each}
        for place, each in enumerate(held)
    ]
    state.apply_all(events)
    return state


def test_an_expectation_that_fails_stands_out_and_those_that_hold_share_a_line() -> None:
    look = Look(40, True, Convention("theory"))
    content = summarise(finished(True, False, True), look)
    assert content.failed == ["expected, but FAILS: a < 1"]
    assert content.notes[-1] == "expected, and holds: a < 0; a < 2"
    assert " " * 10 + "expected, but FAILS: a < 1" in lines(content, 120, 9)


def test_a_failure_is_told_once() -> None:
    events = [
        *synthetic.trained(upto=40),
        *(
            {"v": 1, "t": 9.0, "kind": "run_failed", "run": run, "step": 40, "reason": "diverged"}
            for run in ("single-head", "multi-head")
        ),
    ]
    state = ExperimentState()
    state.apply_all(events)
    look = Look(40, True, Convention("theory"))
    assert "diverged" in summarise(state, look).line
    alerted = summarise(state, look, "single-head, multi-head: diverged")
    assert alerted.line == "nothing is left to compare"
    assert not any("diverged" in note for note in alerted.notes)
