"""Kernel that looks for what heads must not contain."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def flaws(heads, faintest, largest, low, high, out):
    """Per matrix: rows that are not finite; entries negative, above the diagonal, too faint, too
    large; and the worst row.

    ``heads`` (K, n, n); ``out`` (K, 6) float64, the last one the largest ``|row sum - 1|`` of the
    finite rows. Faint entries lie strictly between 0 and ``faintest``.
    """
    n = heads.shape[1]
    for k in range(low, high):
        bad = 0
        negative = 0
        above = 0
        faint = 0
        large = 0
        off = 0.0
        for j in range(n):
            row = heads[k, j]
            total = 0.0
            for i in range(j + 1):
                total += row[i]
                negative += row[i] < 0
                faint += (row[i] > 0) & (row[i] < faintest)
                large += row[i] > largest
            for i in range(j + 1, n):
                above += row[i] != 0
                total += row[i]
            if np.isfinite(total):
                off = max(off, abs(total - 1.0))
            else:
                bad += 1
        out[k, 0] = bad
        out[k, 1] = negative
        out[k, 2] = above
        out[k, 3] = faint
        out[k, 4] = large
        out[k, 5] = off
