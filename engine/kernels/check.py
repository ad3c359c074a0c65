"""Kernel that looks for what heads must not contain."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def flaws(heads, low, high, out):
    """Per matrix: non-finite entries, negative entries, entries above the diagonal, worst row.

    ``heads`` (K, n, n); ``out`` (K, 4) float64, the last one the largest ``|row sum - 1|``.
    """
    n = heads.shape[1]
    for k in range(low, high):
        bad = 0
        negative = 0
        above = 0
        off = 0.0
        for j in range(n):
            row = heads[k, j]
            total = 0.0
            for i in range(j + 1):
                total += row[i]
                negative += row[i] < 0
            for i in range(j + 1, n):
                above += row[i] != 0
                total += row[i]
            if not np.isfinite(total):
                bad += 1
            off = max(off, abs(total - 1.0))
        out[k, 0] = bad
        out[k, 1] = negative
        out[k, 2] = above
        out[k, 3] = off
