"""Dropout masks for CPUs as a function of (seed, step, place).

PyTorch draws a CPU's masks one number after the other from a Mersenne twister, which takes longer
than the attention they are for. Here a stream of 16-bit lanes comes from NumPy's SFC64, keyed by
what the mask is for: masks need no state to be saved, and a model drops the same entries whether
it trains alone or in a stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .data import key_of

LANES = 2**16


class Masks:
    """Random lanes for the models of a stack.

    Args:
        seeds: of each model.
        probability: that an entry is dropped; rounded to a multiple of 2⁻¹⁶.
        stream: tells apart processes that share a batch.
    """

    def __init__(self, seeds: Sequence[int], probability: float, stream: int = 0) -> None:
        self._seeds = tuple(seeds)
        self._stream = stream
        dropped = round(probability * LANES)
        self.kept_share = 1.0 - dropped / LANES
        self.threshold = dropped - LANES // 2

    def lanes(
        self, step: int, place: tuple[int, ...], models: range, shape: tuple[int, ...]
    ) -> Tensor:
        """Draw int16 (len(models), *shape); entries at or above `threshold` are kept.

        Args:
            step: number of the update.
            place: where in the model the mask is used: layer, site, part.
            models: which models of the stack.
            shape: of one model's mask.
        """
        count = int(np.prod(shape))
        drawn = np.empty((len(models), -(-count // 4)), dtype=np.uint64)
        for row, model in zip(drawn, models, strict=True):
            key = key_of(self._seeds[model], step, self._stream, *place)
            generator = np.random.Generator(np.random.SFC64(key))
            row[:] = generator.integers(0, 2**64, row.size, dtype=np.uint64)
        lanes = torch.from_numpy(drawn.view(np.int16))[:, :count]
        return lanes.unflatten(1, shape)
