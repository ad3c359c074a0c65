"""Sparse heads side by side in one set of arrays, for kernels that choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Floats, Ints
from synergy_engine.sparse import NO_WEIGHTS


class Joined(NamedTuple):
    """H heads: row ``i`` of head ``h`` is ``indices[indptr[h, i]:indptr[h, i + 1]]``."""

    indptr: Ints  # (H, n + 1)
    indices: npt.NDArray[np.int32]  # (edges of all heads,)
    weights: Floats  # the same, or empty where every edge weighs one


def join(heads: Sequence[tuple[Ints, npt.NDArray[np.int32], Floats]]) -> Joined:
    """Copy the ``indptr``, ``indices`` and ``weights`` of each head behind one another."""
    edges = [len(indices) for _, indices, _ in heads]
    before = np.concatenate([[0], np.cumsum(edges)[:-1]]).astype(np.int64)
    weights = NO_WEIGHTS
    if any(len(each) for _, _, each in heads):
        weights = np.concatenate(
            [
                each if len(each) else np.ones(count)
                for (_, _, each), count in zip(heads, edges, strict=True)
            ]
        )
    return Joined(
        np.stack([indptr + first for (indptr, _, _), first in zip(heads, before, strict=True)]),
        np.concatenate([indices for _, indices, _ in heads]),
        weights,
    )
