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
    return np.flatnonzero(~dense_reach(system.dense.max(axis=0))).tolist()


def dense_reach(weights: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether each node reaches the last one, over each of the graphs (…, n, n): (…, n) bool.

    O(n²) at most; attention's last row hears everybody, which settles it at once.
    """
    reaches = np.zeros(weights.shape[:-1], dtype=bool)
    reaches[..., -1] = True
    for j in range(weights.shape[-1] - 1, 0, -1):
        reaches |= reaches[..., j, None] & (weights[..., j, :] > 0)
        if reaches.all():
            break
    return reaches
