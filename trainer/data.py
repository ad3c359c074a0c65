"""Data as a function of (seed, step), with the same bits on every device.

Random integers come from a counter-based hash of integers, so no generator has a state: a batch
needs nothing but its seed and its step, a resumed run continues with the very batch it would have
seen, and a GPU draws what a CPU draws. The hash is the two-round xor-shift-multiply of
Chris Wellons' search for low-bias 32-bit functions (`lowbias32`), keyed twice.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from .tasks import Task

_MASK = 0xFFFFFFFF
SPLITS = {"train": 0, "held_out": 1}


def _mix_python(value: int) -> int:
    """Hash a Python integer to 64 bits (the finaliser of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & (2**64 - 1)
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return value ^ (value >> 31)


def key_of(*parts: int) -> int:
    """Hash a tuple of integers to one 64-bit key, sensitive to their order."""
    key = len(parts)
    for part in parts:
        key = _mix_python(key ^ (part & (2**64 - 1)))
    return key


def _mix(values: torch.Tensor) -> torch.Tensor:
    """Hash 32-bit integers held in int64; a product that wraps keeps its low 32 bits."""
    values = ((values ^ (values >> 16)) * 0x7FEB352D) & _MASK
    values = ((values ^ (values >> 15)) * 0x846CA68B) & _MASK
    return values ^ (values >> 16)


class Draw:
    """Random integers for one batch: the n-th request always gives the same numbers.

    Args:
        key: what the numbers depend on, from :func:`key_of`.
        device: where they are made; it does not change them.
    """

    def __init__(self, key: int, device: torch.device) -> None:
        self._key = key
        self._device = device
        self._requests = 0

    def bits(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw uniform integers in 0..2³²-1, int64."""
        key = key_of(self._key, self._requests)
        self._requests += 1
        counter = torch.arange(math.prod(shape), device=self._device)
        return _mix(_mix(counter ^ (key & _MASK)) ^ (key >> 32)).view(shape)

    def integers(self, high: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw integers in 0..high-1, int64, uniform up to a bias of high/2³²."""
        return (self.bits(shape) * high) >> 32

    def permutations(self, size: int, rows: int) -> torch.Tensor:
        """Draw `rows` permutations of 0..size-1, int64 (rows, size)."""
        return self.bits((rows, size)).argsort(dim=1, stable=True)


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
