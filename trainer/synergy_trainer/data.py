"""Data as a function of (seed, step), with the same bits on every device.

Random integers come from a counter-based hash of integers, so no generator has a state: a batch
needs nothing but its seed and its step, a resumed run continues with the very batch it would have
seen, and a GPU draws what a CPU draws. The hash is the two-round xor-shift-multiply of
Chris Wellons' search for low-bias 32-bit functions (`lowbias32`), keyed twice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from synergy_trainer.draws import Draw, key_of
from synergy_trainer.tasks import Task

SPLITS = {"train": 0, "held_out": 1}


class Batch(NamedTuple):
    """Inputs (B, n) and targets (B, n - scored_from), int64."""

    inputs: torch.Tensor
    targets: torch.Tensor


class Source:
    """The batches of a task, drawn on a device from a seed.

    Args:
        task: what is drawn.
        seed: any integer; equal seeds give equal batches.
        batch: sequences a batch.
        device: where the batches are made.
        split: "train" or "held_out"; the two never share a stream.
        sequences: 0 for new sequences at every step; a positive number for a fixed data set of
            that many, visited in a new order every epoch, as the paper does with 5000.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        batch: int,
        device: torch.device | str = "cpu",
        split: str = "train",
        sequences: int = 0,
    ) -> None:
        self.task = task
        self.size = batch
        self.device = torch.device(device)
        self._key = key_of(seed, SPLITS[split])
        self._set: Batch | None = None
        self._order: tuple[int, torch.Tensor] | None = None
        if sequences:
            self._set = Batch(*task.generate(Draw(key_of(self._key, 0), self.device), sequences))

    def batch(self, step: int) -> Batch:
        """Return the batch that update number `step` (from 1) is made with."""
        if self._set is None:
            return Batch(*self.task.generate(Draw(key_of(self._key, step), self.device), self.size))
        sequences = self._set.inputs.shape[0]
        epoch, place = divmod(step - 1, sequences // self.size)
        if self._order is None or self._order[0] != epoch:
            draw = Draw(key_of(self._key, 0, epoch), self.device)
            self._order = (epoch, draw.permutations(sequences, 1)[0])
        rows = self._order[1][place * self.size : (place + 1) * self.size]
        return Batch(self._set.inputs[rows], self._set.targets[rows])
