"""The loop: what it reports and when, options, and how it fails."""

from __future__ import annotations

import doctest
import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import synergy_trainer as trainer
from synergy_trainer import (
    Checkpoint,
    Probe,
    RunFailed,
    RunFinished,
    RunSettings,
    RunStarted,
    RunStopped,
    TrainerError,
    TrainStep,
    train,
)
from synergy_trainer.cohort import Cohort
from tests.trainer.runs import PAIR, SMALL, losses, of_kind, small, weights


def test_the_notebook_loop_of_the_docstring() -> None:
    assert doctest.testmod(trainer).failed == 0
    assert doctest.testmod(trainer).attempted >= 3


def test_events_come_in_order_of_steps_and_runs() -> None:
    events = list(train(small(probe_at=(3,)), PAIR, device="cpu"))
    names = ["multi", "single"]
    assert [e.run for e in events[:2] if isinstance(e, RunStarted)] == names
    probes = of_kind(events, Probe)
    assert [(e.step, e.run) for e in probes] == [(k, n) for k in (0, 3, 10, 20, 30) for n in names]
    steps = of_kind(events, TrainStep)
    assert [(e.step, e.run) for e in steps] == [(k, n) for k in range(1, 31) for n in names]
    assert [e.run for e in events[-2:] if isinstance(e, RunFinished)] == names
    at = [e.step for e in events if not isinstance(e, RunStarted)]
    assert at == sorted(at)
    assert not of_kind(events, Checkpoint)


def test_what_a_start_says() -> None:
    started = of_kind(train(small(steps=1), PAIR, device="cpu"), RunStarted)[0]
    assert (started.heads, started.layers, started.nodes, started.seed) == (8, 2, 9, 0)
    assert started.parameters == trainer.count_parameters(SMALL, PAIR[0])
    assert (started.floor, started.ceiling, started.step, started.steps) == (0.0, 1.0, 0, 1)


def test_probes_measure_the_same_held_out_inputs() -> None:
    probes = of_kind(train(SMALL, PAIR, device="cpu"), Probe)
    for probe in probes:
        assert probe.attention.dtype == np.float32
        heads = 8 if probe.run == "multi" else 1
        assert probe.attention.shape == (3, 2, heads, 9, 9)
        assert probe.head_weights.shape == (2, heads)
        assert probe.head_weights.sum(1) == pytest.approx(np.ones(2))
        assert np.array_equal(probe.tokens, probes[0].tokens)
    assert probes[-1].loss < probes[0].loss
    assert not np.array_equal(probes[0].attention, probes[-2].attention)


def test_logging_less_keeps_the_first_and_the_last_step() -> None:
    steps = of_kind(train(small(log_every=7, steps=10), PAIR[:1], device="cpu"), TrainStep)
    assert [event.step for event in steps] == [1, 7, 10]
    assert small(steps=20_000).logged_every == 20


@pytest.mark.parametrize(
    "option",
    [
        {"precision": "bf16"},
        {"positions": "rotary"},
        {"positions": "sinusoidal"},
        {"activation": "gelu"},
        {"tie_weights": True},
        pytest.param({"dropout": 0.1}, marks=pytest.mark.slow),
        {"dropout": 0.1, "activation": "gelu"},
        {"deterministic": True},
        {"sequences": 40},
    ],
    ids=str,
)
def test_options_learn(option: dict) -> None:
    settings = small(task="copy", steps=60, learning_rate=1e-2, **option)
    runs = [RunSettings("a", 4)]
    events = list(train(settings, runs, device="cpu"))
    found = losses(events, "a")
    assert found[-1] < 0.6 * found[0]
    assert found == losses(list(train(settings, runs, device="cpu")), "a")
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["copy", "cycle", "maximum", "zero"])
def test_easy_tasks_reach_floor_and_ceiling(name: str) -> None:
    settings = small(
        task=name, length=12, steps=800, batch=32, embed=32, mlp=64, learning_rate=5e-3,
        probe_inputs=64,
    )  # fmt: skip
    events = list(train(settings, [RunSettings("a", 2)], device="cpu"))
    task = trainer.TASKS[name](12, 8)
    last = of_kind(events, Probe)[-1]
    assert last.loss == pytest.approx(task.floor, abs=0.06)
    assert last.accuracy == pytest.approx(task.ceiling, abs=0.03)


def test_stopping_checkpoints_first(tmp_path: Path) -> None:
    answers = iter([False] * 4 + [True])
    events = list(
        train(SMALL, PAIR, device="cpu", directory=tmp_path, should_stop=lambda: next(answers))
    )
    assert [(e.run, e.step) for e in of_kind(events, RunStopped)] == [("multi", 4), ("single", 4)]
    assert {e.path.name for e in of_kind(events, Checkpoint)} == {
        "multi-00000004.safetensors",
        "single-00000004.safetensors",
    }
    assert not of_kind(events, RunFinished)


def spoil(monkeypatch: pytest.MonkeyPatch, at: int, model: int) -> None:
    """Make one model's parameters infinite before an update."""
    update = Cohort.update

    def spoiled(self: Cohort, measure: bool) -> object:
        if self.step + 1 == at:
            with torch.no_grad():
                self.stack.banks["out_proj.weight"][model] = math.inf
        return update(self, measure)

    monkeypatch.setattr(Cohort, "update", spoiled)


@pytest.mark.parametrize("log_every", [None, 4])
def test_a_loss_that_is_not_a_number_ends_that_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_every: int | None
) -> None:
    spoil(monkeypatch, at=17, model=1)
    settings = small(log_every=log_every)
    events = list(train(settings, PAIR, device="cpu", directory=tmp_path))
    (failed,) = of_kind(events, RunFailed)
    assert failed.run == "multi"
    assert "training diverged; a smaller learning_rate than 0.001" in failed.reason
    assert failed.reason.endswith("The last good checkpoint is of step 10")
    assert [event.run for event in of_kind(events, RunFinished)] == ["single"]
    undisturbed = list(train(settings, PAIR, device="cpu"))
    assert losses(events, "single") == losses(undisturbed, "single")
    good = weights(tmp_path, "multi", 10)
    assert all(values.isfinite().all() for values in good.values())
    monkeypatch.undo()
    again = list(train(settings, PAIR, device="cpu", directory=tmp_path, resume=True))
    assert [event.run for event in of_kind(again, RunFailed)] == ["multi"]
    assert [event.run for event in of_kind(again, RunFinished)] == ["single"]


def test_out_of_memory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Cohort.update

    def hungry(self: Cohort, measure: bool) -> object:
        if self.step == 12:
            torch.empty(2**60)
        return update(self, measure)

    monkeypatch.setattr(Cohort, "update", hungry)
    events = list(train(SMALL, PAIR, device="cpu", directory=tmp_path))
    failed = of_kind(events, RunFailed)
    assert [event.run for event in failed] == ["multi", "single"]
    assert failed[0].reason.startswith("out of memory on cpu: use a smaller batch")
    assert failed[0].reason.endswith("step 10")
    monkeypatch.undo()
    resumed = list(train(SMALL, PAIR, device="cpu", directory=tmp_path, resume=True))
    assert [event.step for event in of_kind(resumed, RunStarted)] == [10, 10]
    assert len(of_kind(resumed, RunFinished)) == 2


def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, iter(range(1000))

    def full(descriptor: int) -> None:
        if next(calls) >= 6:  # two files and their folder's entries at step 10, then one more
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    events = list(train(SMALL, PAIR, device="cpu", directory=tmp_path))
    failed = of_kind(events, RunFailed)
    assert [event.run for event in failed] == ["multi", "single"]
    assert failed[0].reason.startswith("the disk is full")
    assert failed[0].step == 20
    monkeypatch.undo()
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert "multi-00000010.safetensors" in names
    assert not [name for name in names if name.endswith(".partial")]
    resumed = list(train(SMALL, PAIR, device="cpu", directory=tmp_path, resume=True))
    assert len(of_kind(resumed, RunFinished)) == 2


def test_mistakes_of_the_program_are_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Cohort, measure: bool) -> object:
        raise RuntimeError("a shape does not fit")

    monkeypatch.setattr(Cohort, "update", broken)
    with pytest.raises(RuntimeError, match="a shape does not fit"):
        list(train(SMALL, PAIR, device="cpu"))


class Halves:
    """Two ranks played one after the other in one process, by exchanging recorded tensors."""

    def __init__(self, rank: int, other: Iterator[list[torch.Tensor]] | None = None) -> None:
        self.rank, self.size, self._other = rank, 2, other
        self.seen: list[list[torch.Tensor]] = []

    def average_(self, tensors: list[torch.Tensor]) -> None:
        self.seen.append([values.clone() for values in tensors])
        if self._other is not None:
            for values, theirs in zip(tensors, next(self._other), strict=True):
                values.add_(theirs).div_(2)


def test_processes_that_share_a_batch_make_one_update() -> None:
    settings = small(steps=1, probe_every=0)
    first = Halves(0)
    list(train(settings, PAIR, device="cpu", parallel=first))
    second = Halves(1, iter(first.seen))
    shared = list(train(settings, PAIR, device="cpu", parallel=second))
    whole = list(train(settings, PAIR, device="cpu"))
    for one, other in zip(of_kind(shared, TrainStep), of_kind(whole, TrainStep), strict=True):
        assert (one.loss, one.accuracy) == pytest.approx((other.loss, other.accuracy), abs=1e-6)
    for one, other in zip(of_kind(shared, Probe)[2:], of_kind(whole, Probe)[2:], strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-4)
    with pytest.raises(TrainerError, match="cannot be shared equally by 2 processes"):
        train(small(batch=5), PAIR, parallel=first)
