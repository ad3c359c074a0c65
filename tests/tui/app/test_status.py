"""State, pace and trouble as the header says them."""

from __future__ import annotations

from typing import Any

import pytest

from synergy_tui import words
from synergy_tui.app import status
from synergy_tui.app.pace import Pace
from synergy_tui.app.timeline import Timeline
from synergy_tui.experiments.state import ExperimentState
from tests.tui.app import synthetic

RUNNING = synthetic.trained(upto=40)
FINISHED = synthetic.trained(upto=40, steps=40)
FAILED = [
    *RUNNING,
    {"v": 1, "t": 9.0, "kind": "run_failed", "run": "multi-head", "step": 40,
     "reason": "the loss is not finite"},
    {"v": 1, "t": 9.1, "kind": "experiment_finished", "exit_code": 3},
]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "condition", "silent", "word"),
    [
        ([], "new", 0, "STARTING"),
        (RUNNING, "running", 0, "LIVE"),
        (RUNNING, "running", 300, "STALE"),
        (RUNNING, "dead", 0, "STALE"),
        (FINISHED, "finished", 0, "FINISHED"),
        (FAILED, "failed", 0, "FAILED"),
        (RUNNING, "stopped", 0, "STOPPED"),
    ],
)
def test_the_word_for_the_state(
    events: list[dict[str, Any]], condition: str, silent: float, word: str
) -> None:
    shown = status.status_of(synthetic.state_of(events), condition, Timeline(), silent_for=silent)
    assert shown.word == word


def test_trouble_comes_with_what_to_do() -> None:
    dead = status.status_of(synthetic.state_of(RUNNING), "dead", Timeline())
    assert "synergy resume 2026-11-23-154312-diverse_heads" in dead.advice
    failed = status.status_of(synthetic.state_of(FAILED), "failed", Timeline())
    assert failed.advice.startswith("multi-head: the loss is not finite")


def test_the_cursor_speaks_first() -> None:
    line = Timeline()
    line.observe(40, [0, 20, 40])
    line.seek(line.step)
    assert status.status_of(synthetic.state_of(RUNNING), "running", line).word == "PAUSED"
    assert status.status_of(synthetic.state_of(FINISHED), "finished", line).word == "REPLAY"
    line.first()
    line.toggle_play()
    assert status.status_of(synthetic.state_of(FINISHED), "finished", line).word.startswith(
        "PLAYING"
    )


def test_remaining_time_follows_from_the_pace() -> None:
    assert status.remaining(synthetic.state_of(RUNNING), 10.0) == "60 s left"  # 56 s
    assert status.remaining(synthetic.state_of(FINISHED), 10.0) == ""
    assert status.remaining(synthetic.state_of(RUNNING), None) == ""


def test_the_pace_is_smoothed_and_silent_until_it_is_known() -> None:
    pace = Pace()
    for second in range(12):  # loading
        pace.observe(float(second), 0)
    for second in range(1, 5):
        pace.observe(11.0 + second, 20 * second)
    assert pace.rate is None
    for second in range(5, 200):
        pace.observe(11.0 + second, 20 * second)
    assert pace.rate == pytest.approx(20)
    pace.observe(11.0 + 204, 20 * 200)  # a probe held a step up for four seconds
    assert pace.rate == pytest.approx(20, rel=0.15)
    for second in range(205, 500):
        pace.observe(11.0 + second, 4000 + 5 * (second - 204))
    assert pace.rate == pytest.approx(5, rel=0.01), "what was long ago is forgotten"


def test_finished_is_not_green_when_an_expectation_failed() -> None:
    state = synthetic.state_of(FINISHED)
    assert status.status_of(state, "finished", Timeline()).style == "pill-good"
    state.apply({"v": 1, "t": 9.0, "kind": "expectation", "that": "loss < 1", "holds": False,
                 "left": 2, "right": 1})  # fmt: skip
    found = status.status_of(state, "finished", Timeline())
    assert (found.word, found.style) == ("FINISHED !", "pill-warning")


def test_durations_and_sizes_read_naturally() -> None:
    assert [words.clock(s) for s in (0, 59.9, 61, 3725)] == ["0:00", "0:59", "1:01", "1:02:05"]
    assert words.size(412 * 2**20) == "412 MiB"


def test_the_scarcest_resource_comes_first() -> None:
    event = {"v": 1, "t": 1.0, "kind": "resources", "cpu_percent": 96.0, "memory_bytes": 4e8,
             "gpu_percent": 71.0, "gpu_memory_bytes": 2e9}  # fmt: skip
    assert status.resources(synthetic.state_of([event])) == ["gpu 71% 1.9 GiB", "cpu 96% 381 MiB"]
    assert status.resources(ExperimentState()) == []
