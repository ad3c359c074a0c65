"""Runs whose models have one shape, trained together as one stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .data import Batch, Source
from .events import Probe
from .model import Stack, initial_state
from .probe import probe, stack_batches
from .settings import ModelShape, RunSettings, TrainSettings, make_task, shape_of

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Measured:
    """Loss and accuracy of every model on the batch of its newest update, still on the device."""

    losses: Tensor
    accuracies: Tensor


class Cohort:
    """One stack of models with its optimiser and data.

    Args:
        settings: what all runs share.
        runs: the members; their shapes and learning rates must agree.
        device: where they train.
    """

    def __init__(
        self, settings: TrainSettings, runs: Sequence[RunSettings], device: torch.device
    ) -> None:
        self.settings = settings
        self.device = device
        self.runs = sorted(runs, key=lambda run: run.heads)
        self.names = [run.name for run in self.runs]
        self.seeds = [settings.seed if run.seed is None else run.seed for run in self.runs]
        self.shape: ModelShape = shape_of(settings, self.runs[0])
        self.task = make_task(settings)
        self.step = 0
        self.stack = Stack(self.shape, [run.heads for run in self.runs], device)
        for model, seed in enumerate(self.seeds):
            self.stack.load(model, initial_state(self.shape, seed))
        rate = self.runs[0].learning_rate
        self.optimiser = torch.optim.Adam(
            list(self.stack.banks.values()),
            lr=settings.learning_rate if rate is None else rate,
            fused=True,
        )
        self._sources = {
            seed: Source(self.task, seed, settings.batch, device, sequences=settings.sequences)
            for seed in self.seeds
        }
        self._held_out: Batch | None = None

    @property
    def tokens_per_step(self) -> int:
        """Input tokens that one model sees in one update."""
        return self.settings.batch * self.settings.length

    def update(self, measure: bool) -> Measured | None:
        """Make one update of every model; report on its batch where `measure` asks for it."""
        self.step += 1
        batch = self._batch(self.step)
        dtype = _DTYPES[self.settings.precision]
        logits = self.stack.logits(
            batch.inputs, self.task.scored_from, self.settings.dropout, dtype
        )
        targets = batch.targets.flatten(1)
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), reduction="none"
        ).view(targets.shape)
        self.optimiser.zero_grad(set_to_none=True)
        losses.mean(1).sum().backward()
        self.optimiser.step()
        if not measure:
            return None
        with torch.no_grad():
            accuracies = (logits.argmax(-1) == targets).float().mean(1)
        return Measured(losses.detach().mean(1), accuracies)

    def probe(self) -> list[Probe]:
        """Extract attention on the held-out inputs, which are the same at every probe."""
        if self._held_out is None:
            count = self.settings.probe_inputs
            drawn = {
                seed: Source(self.task, seed, count, self.device, split="held_out").batch(1)
                for seed in self._sources
            }
            self._held_out = stack_batches([drawn[seed] for seed in self.seeds])
        return probe(self.stack, self.names, self.step, self._held_out)

    def _batch(self, step: int) -> Batch:
        drawn = {seed: source.batch(step) for seed, source in self._sources.items()}
        return stack_batches([drawn[seed] for seed in self.seeds])


def gather(
    settings: TrainSettings, runs: Sequence[RunSettings], device: torch.device
) -> list[Cohort]:
    """Sort runs into cohorts: those that agree in everything but heads and seed share one."""
    groups: dict[object, list[RunSettings]] = {}
    for run in runs:
        key = (shape_of(settings, run), run.learning_rate or settings.learning_rate)
        groups.setdefault(key, []).append(run)
    return [Cohort(settings, members, device) for members in groups.values()]
