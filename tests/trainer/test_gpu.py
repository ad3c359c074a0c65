"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from synergy_trainer import (
    TASKS,
    Probe,
    RunFinished,
    RunSettings,
    RunStarted,
    TrainStep,
    Warned,
    train,
)
from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.fused import FusedAttention
from synergy_trainer.cohort import Cohort
from synergy_trainer.data import Source
from synergy_trainer.device import GraphedUpdate
from tests.trainer.runs import PAIR, losses, of_kind, small

if torch.cuda.is_available():
    # PyTorch looks at it once, before its first product, which may belong to another test.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
pytestmark = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
needs_mps = pytest.mark.skipif(
    not torch.backends.mps.is_available(), reason="needs Apple's mps device"
)


def losses_on(device: str, **changes: object) -> list[float]:
    """Of a training that did nothing otherwise than asked for: falling back gives equal losses."""
    settings = small(**{"tf32": False, "cuda_graphs": False, **changes})
    events = list(train(settings, PAIR, device=device))
    if device != "cpu":
        assert [event.message for event in of_kind(events, Warned)] == []
    return losses(events)


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
        ({"dropout": 0.1}, 1e-4),
        ({"dropout": 0.1, "cuda_graphs": True}, 1e-4),
        ({"cuda_graphs": True, "checkpoint_every": 7}, 1e-4),
        ({"tf32": True}, 2e-2),
        ({"precision": "bf16"}, 5e-2),
        ({"precision": "bf16", "cuda_graphs": True}, 5e-2),
    ],
    ids=str,
)
def test_cuda_follows_the_cpu(option: dict, tolerance: float) -> None:
    wanted = losses_on("cpu", dropout=option.get("dropout", 0.0))
    assert losses_on("cuda", **option) == pytest.approx(wanted, abs=tolerance)


@needs_cuda
@pytest.mark.slow
@pytest.mark.parametrize(("tf32", "tolerance"), [(False, 1e-4), (True, 2e-2)])
def test_cuda_compiles(tf32: bool, tolerance: float) -> None:
    found = losses_on("cuda", compile=True, tf32=tf32)
    assert found == pytest.approx(losses_on("cpu"), abs=tolerance)


@needs_cuda
def test_cuda_graphs_with_dropout_drop_differently_at_every_step() -> None:
    found = losses_on("cuda", cuda_graphs=True, dropout=0.5, learning_rate=1e-9, sequences=4)
    assert len(set(found)) > 40


@needs_cuda
def test_cuda_drops_the_same() -> None:
    keys = torch.tensor([0x12345678, 0xFFFFFFFF])
    here, there = (Drops(each, 0.1, 1, 3).kept(7, 4, 33, 33) for each in (keys, keys.cuda()))
    assert torch.equal(here, there.cpu())


@needs_cuda
@pytest.mark.parametrize(("begun_on", "graphs"), [("cuda", False), ("cuda", True), ("cpu", True)])
def test_a_resume_on_cuda_continues_as_if_uninterrupted(
    begun_on: str, graphs: bool, tmp_path: Path
) -> None:
    settings = small(dropout=0.1, tf32=False, cuda_graphs=graphs)
    whole = of_kind(train(settings, PAIR, device="cuda"), TrainStep)
    asked = iter(range(100))
    list(
        train(
            settings, PAIR, device=begun_on, directory=tmp_path,
            should_stop=lambda: next(asked) == 15,
        )
    )  # fmt: skip
    rest = of_kind(train(settings, PAIR, device="cuda", directory=tmp_path, resume=True), TrainStep)
    assert [event.step for event in rest] == [event.step for event in whole if event.step > 15]
    later = [event.loss for event in whole if event.step > 15]
    assert [event.loss for event in rest] == pytest.approx(later, abs=1e-4)


@needs_cuda
@pytest.mark.parametrize("graphs", [False, True])
def test_a_step_waits_for_the_device_only_where_it_reports(graphs: bool) -> None:
    cohort = Cohort(small(cuda_graphs=graphs, dropout=0.1), PAIR, torch.device("cuda"))
    cohort.update(measure=False)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            cohort.update(measure=False)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
def test_a_recording_that_fails_leaves_the_device_as_it_was() -> None:
    weight, counter = torch.ones(3, device="cuda"), torch.zeros((), device="cuda")

    def update(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weight.sub_(x)
        counter.add_(1)
        if torch.cuda.is_current_stream_capturing():
            x.sum().item()  # may not wait
        return (weight.sum(),)

    with pytest.raises(RuntimeError):
        GraphedUpdate(update, [torch.ones(3, device="cuda")], [weight], counter)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert weight.tolist() == [1.0] * 3
    assert counter.item() == 0


@needs_cuda
def test_attention_of_more_numbers_than_32_bits_count() -> None:
    """What the last sequence gives does not depend on those before it."""
    if torch.cuda.get_device_properties("cuda").total_memory < 32e9:
        pytest.skip("needs 23 GB on the device")
    qkv = torch.zeros(1, 2**31 // (128 * 192) + 1, 128, 192, device="cuda")
    gradient = torch.zeros(*qkv.shape[:3], 64, device="cuda")
    qkv[:, -1].normal_()
    gradient[:, -1].normal_()
    found = []
    for x, g in ((qkv, gradient), (qkv[:, -1:].clone(), gradient[:, -1:].clone())):
        out = FusedAttention.apply(x.requires_grad_(), [1], None)
        out.backward(g)
        assert x.grad is not None
        found.append((out[:, -1].detach(), x.grad[:, -1]))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
        assert one.count_nonzero() > 0


@needs_cuda
def test_auto_takes_cuda_and_probes_come_to_the_host() -> None:
    events = list(train(small(), [RunSettings("a", 4)]))
    assert of_kind(events, RunStarted)[0].device.startswith("cuda")
    assert of_kind(events, Probe)[-1].attention.shape == (3, 2, 4, 9, 9)
    assert of_kind(events, RunFinished)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("graphs", [False, True])
def test_the_second_gpu_follows_the_cpu(graphs: bool) -> None:
    found = losses_on("cuda:1", dropout=0.1, cuda_graphs=graphs)
    assert found == pytest.approx(losses_on("cpu", dropout=0.1), abs=1e-4)


@needs_mps
def test_mps_follows_the_cpu() -> None:
    assert losses_on("mps") == pytest.approx(losses_on("cpu"), abs=1e-3)
