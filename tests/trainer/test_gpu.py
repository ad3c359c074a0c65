"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.runs import PAIR, of_kind, small
from trainer import TASKS, Probe, RunFinished, RunSettings, RunStarted, TrainStep, train
from trainer.data import Source

pytestmark = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
needs_mps = pytest.mark.skipif(
    not torch.backends.mps.is_available(), reason="needs Apple's mps device"
)


def losses(device: str, **changes: object) -> list[float]:
    events = train(small(**changes), PAIR, device=device)
    return [event.loss for event in of_kind(events, TrainStep)]


@needs_cuda
@pytest.mark.parametrize("name", sorted(TASKS))
def test_cuda_draws_the_same_data(name: str) -> None:
    task = TASKS[name](33, 16)
    for step in (1, 2):
        one = Source(task, 5, 64, sequences=256).batch(step)
        other = Source(task, 5, 64, "cuda", sequences=256).batch(step)
        assert torch.equal(one.inputs, other.inputs.cpu())
        assert torch.equal(one.targets, other.targets.cpu())


@needs_cuda
@pytest.mark.parametrize(
    ("option", "tolerance"),
    [
        ({}, 1e-4),
        ({"deterministic": True}, 1e-4),
        ({"cuda_graphs": True}, 1e-4),
        ({"cuda_graphs": True, "checkpoint_every": 7}, 1e-4),
        ({"tf32": True}, 2e-2),
        ({"precision": "bf16"}, 5e-2),
        ({"precision": "bf16", "cuda_graphs": True}, 5e-2),
    ],
    ids=str,
)
def test_cuda_follows_the_cpu(option: dict, tolerance: float) -> None:
    assert losses("cuda", **option) == pytest.approx(losses("cpu"), abs=tolerance)


@needs_cuda
@pytest.mark.slow
def test_cuda_compiles() -> None:
    assert losses("cuda", compile=True) == pytest.approx(losses("cpu"), abs=1e-4)


@needs_cuda
def test_cuda_graphs_with_dropout_drop_anew_at_every_step() -> None:
    told = losses("cuda", cuda_graphs=True, dropout=0.5, learning_rate=1e-9, sequences=4)
    assert len(set(told)) > 40


@needs_cuda
def test_auto_takes_cuda_and_probes_come_home() -> None:
    events = list(train(small(), [RunSettings("a", 4)]))
    assert of_kind(events, RunStarted)[0].device.startswith("cuda")
    assert of_kind(events, Probe)[-1].attention.shape == (3, 2, 4, 9, 9)
    assert of_kind(events, RunFinished)


@needs_mps
def test_mps_follows_the_cpu() -> None:
    assert losses("mps") == pytest.approx(losses("cpu"), abs=1e-3)
