"""Which nodes have a way to the sink."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synergy_engine.arrays import Bools, Reals
from synergy_engine.kernels import sparse as kernels
from synergy_engine.sparse import SparseHead, added, in_row_calls, scaled


def dense_reach(weights: Reals) -> Bools:
    """Whether each node reaches the last one, over each of the graphs (…, n, n): (…, n) bool.

    O(n²) at most; attention's last row hears every node, which settles it at once.
    """
    reaches = np.zeros(weights.shape[:-1], dtype=bool)
    reaches[..., -1] = True
    for j in range(weights.shape[-1] - 1, 0, -1):
        reaches |= reaches[..., j, None] & (weights[..., j, :] > 0)
        if reaches.all():
            break
    return reaches


def sparse_reach(heads: Sequence[SparseHead]) -> Bools:
    """Whether each node reaches the last one over all heads together: (n,) bool; O(edges)."""
    if len(heads) == 1:
        return reaching(heads[0])
    return reaching(added([scaled(head, None, None, 1.0) for head in heads]))


def reaching(head: SparseHead) -> Bools:
    """Whether each node of one sparse head reaches the last one: (n,) bool; O(edges)."""
    reaches = np.zeros(head.nodes, dtype=bool)
    reaches[-1] = True
    in_row_calls(
        head.indptr,
        "looking for ways to the sink",
        lambda low, high: kernels.reach_sink(head.indptr, head.indices, low, high, reaches),
        backwards=True,
    )
    return reaches
