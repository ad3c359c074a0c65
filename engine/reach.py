"""Which nodes have a way to the sink."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .system import MultiHeadSystem


def unreachable(system: MultiHeadSystem) -> list[int]:
    """Nodes without a way to the sink over all heads together, in order. O(edges)."""
    if system.dense is None:
        from .sparse_operators import reaches_sink

        return np.flatnonzero(~reaches_sink(system)).tolist()
    return np.flatnonzero(~dense_reach(system.dense > 0)).tolist()


def dense_reach(supports: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether each node reaches the last one over the union of supports (H, n, n)."""
    union: npt.NDArray[np.bool_] = np.logical_or.reduce(supports, axis=0)
    reaches = np.zeros(union.shape[0], dtype=bool)
    reaches[-1] = True
    for j in range(union.shape[0] - 1, 0, -1):
        if reaches[j]:
            reaches |= union[j]
    return reaches
