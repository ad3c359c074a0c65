"""Runs trained together as one stack, against each alone and against the plain way."""

from __future__ import annotations

from collections.abc import Callable

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
from synergy_trainer.cohort import Cohort
from synergy_trainer.data import Batch, Source
from synergy_trainer.device import GraphedUpdate
from tests.trainer.plain import PlainTransformer, train_plainly
from tests.trainer.runs import PAIR, SMALL, losses, of_kind, same, small, torch_threads


def test_the_trajectory_is_the_plain_one() -> None:
    settings = small(steps=25, task="offset_sum", learning_rate=3e-3)
    events = list(train(settings, PAIR, device="cpu"))
    cohort = Cohort(settings, PAIR, torch.device("cpu"))
    source = Source(cohort.task, 0, settings.batch)
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


def test_bf16_by_autograd_stays_close() -> None:
    """As on GPUs: factors and results rounded; the step written for CPUs does not know GELU."""
    with torch_threads(1):  # two threads of a worker each would wait for one another
        exact, rounded = (
            list(
                train(
                    small(task="copy", steps=100, activation="gelu", precision=precision),
                    PAIR,
                    device="cpu",
                )
            )
            for precision in ("float32", "bf16")
        )
    for run in ("single", "multi"):
        assert losses(rounded, run) != losses(exact, run)
        assert losses(rounded, run) == pytest.approx(losses(exact, run), rel=0.05, abs=0.02)


class Replay(GraphedUpdate):
    """A graph's stand-in: replays draw from the generator's state of that moment, as graphs do."""

    def __init__(self, update: Callable, example: Batch, state: list[torch.Tensor]) -> None:
        before = [values.detach().clone() for values in state]
        update(example)
        with torch.no_grad():
            for values, old in zip(state, before, strict=True):
                values.copy_(old)
        self.run = update  # type: ignore[method-assign]


def test_replayed_updates_drop_by_seed_and_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergy_trainer.cohort.GraphedUpdate", Replay)
    settings = small(dropout=0.5, activation="gelu")
    found = []
    for graphs in (False, True):
        torch.manual_seed(int(graphs))  # whatever the caller drew before
        cohort = Cohort(settings, PAIR, torch.device("cpu"))
        cohort._graphs = graphs
        found.append([cohort.update(measure=True).of(cohort.names) for _ in range(4)])
        assert torch.initial_seed() == int(graphs)
    assert found[0] == found[1]
