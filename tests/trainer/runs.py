"""Small trainings that tests share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from synergy_trainer import ModelShape, RunSettings, TrainSettings, TrainStep
from synergy_trainer.events import Event
from synergy_trainer.model import ModelStack, initial_state

SMALL = TrainSettings(
    task="sort",
    length=9,
    vocabulary=8,
    steps=30,
    batch=4,
    embed=16,
    mlp=16,
    layers=2,
    checkpoint_every=10,
    probe_every=10,
    probe_inputs=3,
)
PAIR = [RunSettings("multi", heads=8), RunSettings("single", heads=1)]


def small(**changes: object) -> TrainSettings:
    return replace(SMALL, **changes)  # type: ignore[arg-type]


def of_kind(events: Iterable[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def losses(events: Iterable[Event], run: str | None = None) -> list[float]:
    """Of every reported step, of one run or of all."""
    return [event.loss for event in of_kind(events, TrainStep) if run in (None, event.run)]


def make_stack(shape: ModelShape, heads: Sequence[int]) -> ModelStack:
    """Models of these head counts, each from its own seed."""
    stack = ModelStack(shape, heads)
    for model in range(len(heads)):
        stack.load(model, initial_state(shape, seed=model))
    return stack


def weights(directory: Path, run: str, step: int) -> dict[str, torch.Tensor]:
    return load_file(directory / "checkpoints" / f"{run}-{step:08d}.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute in so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
