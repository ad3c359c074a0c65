"""Runs trained together as one stack, against each alone and against the plain way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from synergy_trainer import (
    Probe,
    RunFinished,
    RunSettings,
    RunStarted,
    train,
)
from synergy_trainer.cohort import Cohort, gather
from synergy_trainer.data import Source
from synergy_trainer.device import GraphedUpdate
from tests.trainer.plain import PlainTransformer, train_plainly
from tests.trainer.runs import PAIR, SMALL, losses, of_kind, same, small


def test_the_trajectory_is_the_plain_one() -> None:
    settings = small(steps=25, task="offset_sum", learning_rate=3e-3)
    events = list(train(settings, PAIR, device="cpu"))
    cohort = Cohort(settings, PAIR, torch.device("cpu"))
    source = Source(cohort.tasks[0], 0, settings.batch)
    batches = [source.batch(step) for step in range(1, 26)]
    inputs = torch.cat([batch.inputs for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    for model, (name, heads) in enumerate([("single", 1), ("multi", 8)]):
        plain = PlainTransformer(8, 9, 16, 16, 2, heads)
        plain.load_state_dict(cohort.stack.state(model))
        wanted = train_plainly(plain, inputs, targets, settings.batch, 3e-3)
        assert losses(events, name) == pytest.approx([loss for loss, _ in wanted], abs=2e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_an_ensemble_trains_as_each_run_does_alone(dropout: float) -> None:
    settings = small(dropout=dropout)
    runs = [*PAIR, RunSettings("other-seed", heads=4, seed=9)]
    together = list(train(settings, runs, device="cpu"))
    for run in runs:
        alone = list(train(settings, [run], device="cpu"))
        assert losses(together, run.name) == pytest.approx(losses(alone, run.name), abs=1e-5)


def test_runs_of_different_tasks_share_a_stack() -> None:
    """Those of equal form; each sees its own data, floor and ceiling."""
    settings = small(dropout=0.1, steps=20)
    runs = [
        RunSettings(f"{task}-{heads}", heads, task=task, seed=heads)
        for heads in (2, 8)
        for task in ("copy", "cycle", "zero", "offset_sum")
    ]
    stacks = gather(settings, runs, torch.device("cpu"))
    assert [len(stack.runs) for stack in stacks] == [6, 2]  # offset_sum scores later positions
    together = list(train(settings, runs, device="cpu"))
    floors = {event.run: event.floor for event in of_kind(together, RunStarted)}
    assert floors["cycle-2"] > 0 == floors["copy-2"]
    for run in runs:
        alone = list(train(replace(settings, task=str(run.task)), [replace(run, task=None)]))
        assert losses(together, run.name) == pytest.approx(losses(alone, run.name), abs=1e-5)


def test_large_models_on_a_cpu_are_stacks_of_their_own() -> None:
    runs = [RunSettings(str(heads), heads) for heads in (8, 1, 4)]
    large = small(batch=512, length=16, vocabulary=8)
    stacks = gather(large, runs, torch.device("cpu"))
    assert [stack.names for stack in stacks] == [["1"], ["4"], ["8"]]
    assert len(gather(SMALL, runs, torch.device("cpu"))) == 1


def test_runs_of_one_seed_share_data_and_start() -> None:
    probes = of_kind(train(small(steps=1), PAIR, device="cpu"), Probe)
    assert np.array_equal(probes[0].tokens, probes[1].tokens)
    one, other = (Cohort(SMALL, [run], torch.device("cpu")).stack.state(0) for run in PAIR)
    assert same(one, other)


def test_runs_of_different_shapes_train_together() -> None:
    settings = small(parameter_difference=None)
    runs = [RunSettings("deep", 2, layers=3), RunSettings("wide", 2, embed=32), RunSettings("a", 4)]
    events = list(train(settings, runs, device="cpu"))
    assert [event.run for event in of_kind(events, RunFinished)] == ["deep", "wide", "a"]
    assert len({event.parameters for event in of_kind(events, RunStarted)}) == 3
    alone = list(train(settings, runs[1:2], device="cpu"))
    assert losses(events, "wide") == pytest.approx(losses(alone, "wide"), abs=1e-5)


def test_bf16_stays_close() -> None:
    """As on GPUs, where factors and results are rounded; a CPU's own way is in test_bf16."""
    settings = small(task="copy", steps=100)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        cohort = Cohort(settings, PAIR, torch.device("cpu"))
        cohort._dtype = dtype
        found.append([cohort.update(measure=True).losses for _ in range(100)])
    exact, rounded = (torch.stack(losses).T for losses in found)
    for one, other in zip(exact, rounded, strict=True):
        assert not torch.equal(one, other)
        assert torch.allclose(one, other, rtol=0.05, atol=0.02)


class Replay(GraphedUpdate):
    """A graph's stand-in: like a graph, it sees new numbers only where they replace old ones."""

    def __init__(
        self,
        update: Callable[..., tuple[torch.Tensor, ...]],
        example: Sequence[torch.Tensor],
        state: Sequence[torch.Tensor],
    ) -> None:
        self._inputs = [values.contiguous().clone() for values in example]
        self._update = update

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        for own, values in zip(self._inputs, inputs, strict=True):
            own.copy_(values)
        return self._update(*self._inputs)


def test_replayed_updates_drop_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergy_trainer.cohort.GraphedUpdate", Replay)
    settings = small(dropout=0.5)
    found = []
    for graphs in (False, True):
        cohort = Cohort(settings, PAIR, torch.device("cpu"))
        cohort._graphs = graphs
        found.append([cohort.update(measure=True).of(cohort.names) for _ in range(4)])
    assert found[0] == found[1]
