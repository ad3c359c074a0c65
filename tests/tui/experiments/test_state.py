"""The fold of events: the state of a log, also after resumes and with unknown events."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from synergy_tui.experiments.state import ExperimentState, Series
from tests.recordings import recording


def step(number: int, loss: float = 1.0, run: str = "a", **fields: Any) -> dict[str, Any]:
    return {
        "v": 1, "t": float(number), "kind": "train_step", "run": run, "step": number, "loss": loss,
        "accuracy": 0.5, "tokens_per_second": 10.0, **fields,
    }  # fmt: skip


def probe(number: int, run: str = "a", **fields: Any) -> dict[str, Any]:
    return {
        "v": 1, "t": float(number), "kind": "probe", "run": run, "step": number,
        "layers": [{"layer": 1}], "overall": {}, "attention": None, **fields,
    }  # fmt: skip


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "t": 0.0, "kind": kind, **fields}


@pytest.mark.parametrize("name", ["sort", "four", "example2", "failed"])
def test_one_by_one_and_all_at_once_say_the_same(name: str) -> None:
    from synergy_tui.experiments.events import EventReader

    events = EventReader(recording(name) / "events.jsonl").read()
    one, many = ExperimentState(), ExperimentState()
    for each in events:
        one.apply(each)
    many.apply_all(events)
    assert one.events == many.events == len(events)
    assert one.elapsed == many.elapsed
    for run in one.runs.values():
        other = many.runs[run.name]
        for series in ("loss", "accuracy", "speed"):
            np.testing.assert_array_equal(getattr(run, series).steps, getattr(other, series).steps)
            np.testing.assert_array_equal(
                getattr(run, series).values, getattr(other, series).values
            )
        assert run.probes == other.probes
        assert (run.status, run.step) == (other.status, other.step)


def test_a_recording_ends_as_it_was_seen() -> None:
    state = ExperimentState.read(recording("sort") / "events.jsonl")
    assert (state.status, state.exit_code) == ("finished", 0)
    assert list(state.runs) == ["single-head", "multi-head"]
    run = state.runs["multi-head"]
    assert (run.heads, run.status, run.step, run.total_steps) == (4, "finished", 80, 80)
    assert run.parameters == state.runs["single-head"].parameters
    assert run.steps[-1] == 80
    assert [each.step for each in run.probes] == [0, 20, 40, 60, 80]
    assert state.expectations[0]["holds"] is True


def test_a_failed_run_does_not_take_the_others_down() -> None:
    state = ExperimentState.read(recording("failed") / "events.jsonl")
    assert state.status == "failed"
    assert state.exit_code == 3
    assert state.runs["diverges"].status == "failed"
    assert "learning_rate" in state.runs["diverges"].reason
    assert state.runs["steady"].status == "finished"


def test_a_resume_supersedes_what_came_after_the_checkpoint() -> None:
    state = ExperimentState()
    state.apply_all([step(number) for number in range(1, 31)] + [probe(20), probe(30)])
    state.apply(event("run_resumed", run="a", step=20))
    assert state.runs["a"].steps[-1] == 20
    assert [each.step for each in state.runs["a"].probes] == [20]
    state.apply_all([step(number, loss=2.0) for number in range(21, 41)])
    np.testing.assert_array_equal(state.runs["a"].steps, np.arange(1, 41))
    assert state.runs["a"].losses[20] == 2.0


@pytest.mark.parametrize("together", [True, False])
def test_repeated_steps_supersede_even_without_a_resume(together: bool) -> None:
    state = ExperimentState()
    state.apply_all([step(number, loss=1.0) for number in range(1, 11)])
    again = [step(number, loss=2.0) for number in range(5, 8)]
    state.apply_all(again if together else [again[0]])
    assert list(state.runs["a"].steps) == [1, 2, 3, 4, 5, 6, 7] if together else [1, 2, 3, 4, 5]
    assert state.runs["a"].losses[4] == 2.0


def test_a_resume_without_a_checkpoint_begins_again() -> None:
    state = ExperimentState()
    state.apply_all([step(1), step(2), probe(0)])
    state.apply(event("run_resumed", run="a", step=-1))
    assert len(state.runs["a"].loss) == 0
    assert state.runs["a"].probe is None


def test_the_state_at_a_step_is_what_was_known_then() -> None:
    state = ExperimentState.read(recording("sort") / "events.jsonl")
    run = state.runs["single-head"]
    then = run.probe_at(45)
    assert then is not None
    assert then.step == 40
    assert run.loss.at(45) == run.losses[44]
    assert run.probe_at(-1) is None
    assert run.probe_at(None) == run.probe


def test_unknown_and_hostile_events_are_skipped() -> None:
    state = ExperimentState()
    state.apply_all(
        [
            event("train_step", run="a", step="seven", loss=1.0),
            event("train_step", run="a", step=10**30, loss=1.0),
            event("train_step", run=["a"], step=1, loss=1.0),
            event("probe", run="a", step=1),
            event("a_kind_of_2030", run="a"),
            event("experiment_started", id="x", scenario="s", runs=7),
            {"v": 1, "kind": "warning"},
            step(1),
        ]
    )
    assert list(state.runs["a"].steps) == [1]


def test_a_missing_number_is_nan() -> None:
    state = ExperimentState()
    state.apply_all([step(1, accuracy=None), step(2)])
    assert math.isnan(state.runs["a"].accuracies[0])


def test_a_repeated_expectation_counts_once() -> None:
    state = ExperimentState()
    for holds in (False, True):
        state.apply(event("expectation", that="a.loss < 1", holds=holds, left=1.0, right=1.0))
    assert [each["holds"] for each in state.expectations] == [True]


def test_series_grow_drop_and_answer() -> None:
    series = Series()
    for number in range(1, 1001):
        series.append(number, number / 10)
    assert len(series) == 1000
    assert series.at(0) is None
    assert series.at(500) == 50.0
    assert series.at(10_000) == series.last == 100.0
    series.drop_after(10)
    assert list(series.values) == [number / 10 for number in range(1, 11)]
    series.extend(np.array([10, 11]), np.array([7.0, 8.0]))
    assert series.at(10) == 7.0
    assert len(series) == 11
