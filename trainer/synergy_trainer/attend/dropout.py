"""Dropout masks for CPUs as a function of (seed, step, place).

PyTorch draws a CPU's masks one number after the other from a Mersenne twister, which takes longer
than the attention they are for. Here bytes come from NumPy's SFC64, keyed by what the mask is for:
masks have no state to be saved, and a model drops the same entries whether it trains alone or in a
stack. An entry is dropped where its byte is below a threshold. A probability that is not a multiple
of 1/256 lies between two thresholds, and each mask draws which of them it takes, so that every
entry is dropped with exactly that probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from synergy_trainer.attend.threads import over_ranges
from synergy_trainer.draws import key_of

PART = 2**19
"""Entries with a key of their own, so that threads can share a mask."""


class Masks:
    """Random masks for models of these seeds; processes that share a batch differ in `stream`."""

    def __init__(self, seeds: Sequence[int], probability: float, stream: int = 0) -> None:
        self._seeds = tuple(seeds)
        self._stream = stream
        self._threshold = 256 * probability
        self._buffers: dict[tuple[int, ...], NDArray[np.bool_]] = {}
        self.kept_share = 1.0 - probability

    def kept(
        self, step: int, place: tuple[int, ...], models: range, shape: tuple[int, ...]
    ) -> torch.Tensor:
        """Draw uint8 (len(models), *shape): 1 for entries that are kept, 0 for dropped ones.

        `place` is where in the model the mask is used: layer, site, part. A mask lives until the
        same place asks again: fresh memory costs more than drawing.
        """
        size = (len(models), math.prod(shape))
        kept = self._buffers.get((*place, models.start))
        if kept is None or kept.shape != size:
            kept = self._buffers[*place, models.start] = np.empty(size, dtype=np.bool_)
        keys = [key_of(self._seeds[model], step, self._stream, *place) for model in models]
        parts = -(-size[1] // PART)

        def draw(first: int, last: int) -> None:
            for at in range(first, last):
                row, part = divmod(at, parts)
                threshold = int(self._threshold + (keys[row] >> 11) / 2**53)
                entries = kept[row, part * PART : (part + 1) * PART]
                _draw(entries, key_of(keys[row], part), threshold)

        over_ranges(draw, len(models) * parts, threaded=kept.size > PART)
        return torch.from_numpy(kept.view(np.uint8)).unflatten(1, shape)


def _draw(kept: NDArray[np.bool_], key: int, threshold: int) -> None:
    """Keep the entries whose random byte is not below the threshold."""
    if threshold > 255:
        kept.fill(False)
        return
    words = np.random.SFC64(key).random_raw(-(-kept.size // 8))
    np.greater_equal(words.view(np.uint8)[: kept.size], np.uint8(threshold), out=kept)
