"""Dropout as a function of (seed, step, layer, site, sequence, head, row, column).

Each entry is dropped where a 32-bit hash of its place is below a threshold. The hash chains
`draws.mix` over the place's numbers, so that it is the same on every device and in every kernel,
and has no state to be saved. Neither a run's name nor its place in a stack enters: a model drops
the same entries alone and beside others, and models that differ in heads alone drop alike where
they have the same entries. A step may be shared by several processes, which number their sequences
within the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synergy_trainer.draws import mix

ATTENTION, MLP = 0, 1
"""The sites of a layer: attention weights, and the MLP's output (whose head is 0)."""


@dataclass(frozen=True)
class Drops:
    """What is dropped at one site: the keys (M,) of its models, int64, and how often.

    Sequence number s of the tensors at hand is number `rank` + s · `size` of the batch.
    """

    keys: Tensor
    probability: float
    rank: int = 0
    size: int = 1

    @property
    def threshold(self) -> int:
        """Hashes below it are dropped."""
        return round(self.probability * 2**32)

    @property
    def gain(self) -> float:
        """What kept entries are multiplied by."""
        return 1.0 / (1.0 - self.probability)

    def of(self, models: slice) -> Drops:
        return Drops(self.keys[models], self.probability, self.rank, self.size)

    def kept(self, sequences: int, heads: int, rows: int, columns: int) -> Tensor:
        """Whether each entry is kept: bool (M, sequences, heads, rows, columns)."""
        numbers = torch.arange(max(sequences, heads, rows, columns), device=self.keys.device)
        bits = self.keys
        for axis in (
            self.rank + self.size * numbers[:sequences],
            *(numbers[:k] for k in (heads, rows, columns)),
        ):
            bits = mix(bits[..., None] ^ axis)
        return bits >= self.threshold

    def for_kernels(self) -> tuple[Any, ...]:
        """The same numbers as kernels take them."""
        import numpy as np

        return (
            self.keys.numpy().astype(np.uint32),
            self.rank,
            self.size,
            np.uint32(self.threshold),
            np.float32(self.gain),
        )


def drops_of(
    keys: Tensor, layers: int, probability: float, rank: int = 0, size: int = 1
) -> list[tuple[Drops, Drops]]:
    """The drops at the sites of every layer, from keys (M,) of seed and step."""
    places = torch.arange(2 * layers, device=keys.device)[:, None]
    by_place = mix(keys ^ places)
    drops = [Drops(each, probability, rank, size) for each in by_place]
    return list(zip(drops[0::2], drops[1::2], strict=True))
