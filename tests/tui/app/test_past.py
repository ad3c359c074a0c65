"""Packed probes: every number as before, in a fraction of the memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from synergy_tui.app import past
from synergy_tui.app.dashboard.look import Look
from synergy_tui.app.dashboard.tracks import track
from synergy_tui.app.past import HEAD, PATHS, TYPICAL, Past, heads_at, number_at, pack, typical_at
from synergy_tui.experiments.comparison import View
from synergy_tui.experiments.conventions import Convention, available
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.state import ExperimentState
from tests.recordings import RECORDINGS
from tests.tui.app import synthetic

RECORDED = ["sort", "four", "failed", "example2"]


def both(events: list[dict]) -> tuple[ExperimentState, ExperimentState]:
    """The state with every probe in full, and with history packed."""
    whole, packed = ExperimentState(), ExperimentState(pack)
    whole.apply_all(events)
    packed.apply_all(events)
    return whole, packed


@pytest.mark.parametrize("name", RECORDED)
def test_a_packed_probe_reads_as_before(name: str) -> None:
    events = list(EventReader(RECORDINGS / name / "events.jsonl").read_all())
    whole, packed = both(events)
    pairs = [
        (probe, other)
        for run in whole.runs.values()
        for probe, other in zip(run.probes, packed.runs[run.name].probes, strict=True)
    ]
    assert len(pairs) == len([e for e in events if e["kind"] in ("probe", "simulated")])
    for probe, other in pairs:
        if name == "example2":  # designed: one moment, which is never history
            other = Past(probe)
        for key in ("step", "inputs", "attention", "loss", "layers", "overall", "conventions"):
            assert getattr(other, key) == getattr(probe, key)
        assert other.whole == probe.whole
        for convention in [*available(whole), Convention("nobody's")]:
            for layer in (None, 1, 2, 3):
                for path in [*PATHS, ("mixing", "mixing_time_l1_mean")]:
                    numbers = [number_at(p, convention, layer, path) for p in (probe, other)]
                    np.testing.assert_equal(numbers[1], numbers[0])
                view = View(None, convention, layer)
                for measure in TYPICAL:
                    logs = [typical_at(p, view, measure) for p in (probe, other)]
                    np.testing.assert_equal(logs[1], logs[0])
        for layer in (1, 2, 3):
            for key in HEAD:
                found = [list(heads_at(p, layer, key)) for p in (probe, other)]
                np.testing.assert_equal(found[1], found[0])
    if name != "example2":
        assert any(isinstance(other, Past) for _, other in pairs)


def test_the_newest_probe_and_the_one_to_resume_from_stay_whole() -> None:
    events = synthetic.trained(upto=100)
    events.append({"v": 1, "t": 20.0, "kind": "checkpoint", "run": "multi-head", "step": 60,
                   "path": "checkpoints/multi-head-60.pt"})  # fmt: skip
    _, packed = both(sorted(events, key=lambda event: event["t"]))
    kinds = [isinstance(probe, Past) for probe in packed.runs["multi-head"].probes]
    assert kinds == [True, True, True, True, True, False]
    resumed = [{"v": 1, "t": 21.0, "kind": "run_resumed", "run": "multi-head", "step": 60}]
    packed.apply_all(resumed)
    assert [probe.step for probe in packed.runs["multi-head"].probes] == [0, 20, 40, 60]
    assert packed.runs["multi-head"].probe_at(30).step == 20


def test_history_is_packed_when_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a run was resumed meanwhile, and never more than so many wait."""

    def packed(name: str) -> list[bool]:
        return [isinstance(probe, Past) for probe in state.runs[name].probes]

    packer = past.Packer()
    state = ExperimentState(packer)
    events = synthetic.trained(upto=100)
    state.apply_all(events)
    assert packed("multi-head") == [False] * 6
    state.apply_all([{"v": 1, "t": 21.0, "kind": "run_resumed", "run": "multi-head", "step": 60}])
    again = [each for each in events if each.get("run") == "multi-head" and each.get("step") == 80]
    state.apply_all(again)
    packer.work(100)
    assert packed("multi-head") == [True] * 4 + [False], "the newest stays whole"
    assert [probe.step for probe in state.runs["multi-head"].probes] == [0, 20, 40, 60, 80]
    monkeypatch.setattr(past, "WAITING", 3)
    state = ExperimentState(past.Packer())
    state.apply_all(events)
    assert packed("single-head") + packed("multi-head") == (
        [True] * 4 + [False] * 2 + [True] * 3 + [False] * 3
    )


def test_history_takes_a_fraction_of_the_memory() -> None:
    events = synthetic.trained(upto=1800, steps=1800, layers=2)
    probes = [event for event in events if event["kind"] == "probe"]

    def taken(state: ExperimentState) -> int:
        tracemalloc.start()
        for event in probes:  # decoded again, as they are from a log
            state.apply(synthetic.again(event))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert taken(ExperimentState(pack)) < taken(ExperimentState()) / 3


def test_curves_follow_steps_that_are_done_again() -> None:
    events = synthetic.trained(upto=60, steps=100, finish=False)
    state = ExperimentState(pack)
    state.apply_all(events)
    run, path = state.runs["multi-head"], ("fidelity", "minimax")
    look = Look(60, True, available(state)[0])
    assert track(run, look, path)[0].tolist() == [0, 20, 40, 60]
    before = track(run, look, path)[1].tolist()
    state.apply({"v": 1, "t": 9.0, "kind": "run_resumed", "run": "multi-head", "step": 20})
    assert track(run, look, path)[1].tolist() == before[:2]
    again = synthetic.again(next(e for e in events if e["kind"] == "probe" and e["step"] == 40))
    again |= {"run": "multi-head", "overall": {**again["overall"], "fidelity": {"minimax": 0.5}}}
    state.apply(again)
    assert track(run, look, path)[1].tolist() == [*before[:2], 0.5]
