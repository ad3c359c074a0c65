"""Data as a function of (seed, step), with the same bits on every device.

No generator has a state (see `draws`): a batch needs nothing but its seed and its step, a resumed
run continues with the very batch it would have seen, and a GPU draws what a CPU draws.
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
    """The batches of a task, of so many sequences each, drawn on a device from a seed.

    The two `split`s, "train" and "held_out", never share a stream. With `sequences` 0 there are new
    ones at every step; a positive number makes a fixed data set of that many, visited in a new
    order every epoch, as the paper does with 5000.
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
        """The batch that update number `step` (from 1) is made with."""
        if self._set is None:
            return Batch(*self.task.generate(Draw(key_of(self._key, step), self.device), self.size))
        sequences = self._set.inputs.shape[0]
        epoch, place = divmod(step - 1, sequences // self.size)
        if self._order is None or self._order[0] != epoch:
            draw = Draw(key_of(self._key, 0, epoch), self.device)
            self._order = (epoch, draw.permutations(sequences, 1)[0])
        rows = self._order[1][place * self.size : (place + 1) * self.size]
        return Batch(self._set.inputs[rows], self._set.targets[rows])
