"""Many steps of a dense lower-triangular operator while a panel of it is in cache.

A row vector moves by ``v_{t+1}[i] = Σ_{j>=i} v_t[j] M[j, i]``: node ``i`` needs the nodes ``j >=
i`` only. So a panel of `WIDTH` nodes can take all steps of a block at once, if panels are taken
from the last node down. With ``V[t, j] = v_t[j]`` known for the nodes above panel ``I``,

    V[1:, I] = V[:-1, above] M[above, I]  +  V[:-1, I] M[I, I],

the first term a product of matrices, in which an entry of ``M`` is fetched once for all steps
instead of once a step, and the second a recursion over t within the panel.

Operators are as in `engine.kernels.dense`. The order of every sum depends on n alone, not on the
length of a block nor on threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .dense import CHECK_EVERY, FLUSH, _certificate

WIDTH = 256
"""Nodes in a panel: its steps stay in a core's own cache, and inner loops are long."""

WORTHWHILE = 512
"""Nodes from which on this is faster than step by step: smaller operators stay in cache anyway."""

STEPS = 32
"""Steps of a block at most: n · STEPS numbers should stay in a core's own cache."""


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add(matrix, j, low, high, scaled, steps, panel):
    """``panel[t] += Σ_k scaled[t, k] matrix[k, low:high]`` over the four rows ``k = j … j+3``."""
    row_a, row_b = matrix[j, low:high], matrix[j + 1, low:high]
    row_c, row_d = matrix[j + 2, low:high], matrix[j + 3, low:high]
    for t in range(steps):
        a, b, c, d = scaled[t, j], scaled[t, j + 1], scaled[t, j + 2], scaled[t, j + 3]
        if a + b + c + d > 0.0:
            target = panel[t]
            for i in range(high - low):
                target[i] += (a * row_a[i] + b * row_b[i]) + (c * row_c[i] + d * row_d[i])


@njit(cache=True, nogil=True, fastmath={"contract"})
def _inside(matrix, low, high, v, target):
    """``target += v[low:high] matrix[low:high, low:high]``, four rows a sweep."""
    top = high
    while top >= low + 4:
        j = top - 4
        a, b, c, d = v[j], v[j + 1], v[j + 2], v[j + 3]
        if a + b + c + d > 0.0:
            row_a, row_b = matrix[j, low:high], matrix[j + 1, low:high]
            row_c, row_d = matrix[j + 2, low:high], matrix[j + 3, low:high]
            k = j - low
            for i in range(k + 1):
                target[i] += (a * row_a[i] + b * row_b[i]) + (c * row_c[i] + d * row_d[i])
            target[k + 1] += b * row_b[k + 1] + c * row_c[k + 1] + d * row_d[k + 1]
            target[k + 2] += c * row_c[k + 2] + d * row_d[k + 2]
            target[k + 3] += d * row_d[k + 3]
        top = j
    for j in range(top - 1, low - 1, -1):
        a = v[j]
        row = matrix[j, low:high]
        for i in range(j + 1 - low):
            target[i] += a * row[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def advance(matrix, row_scale, column_scale, steps, block, scaled):
    """Fill ``block[1 … steps]`` from ``block[0]``: ``block[t] = v M^t``, below `FLUSH` zero.

    ``block`` (STEPS + 1, n); ``scaled`` (STEPS, n) is scratch: ``v_t[j] row_scale[j]``.
    """
    n = matrix.shape[0]
    panel = np.empty((STEPS, WIDTH))  # panel[t] gathers v_{t+1} of the panel's nodes
    high = n
    while high > 0:
        low = max(0, high - WIDTH)
        width = high - low
        panel[:] = 0.0
        j = high
        while j + 4 <= n:
            _add(matrix, j, low, high, scaled, steps, panel)
            j += 4
        for t in range(steps):
            target = panel[t]
            for k in range(j, n):  # what is left when n is no multiple of four
                a = scaled[t, k]
                row = matrix[k, low:high]
                for i in range(width):
                    target[i] += a * row[i]
            now = block[t, low:high]
            for k in range(width):
                scaled[t, low + k] = now[k] * row_scale[low + k]
            _inside(matrix, low, high, scaled[t], target)
            following = block[t + 1, low:high]
            for i in range(width):
                x = target[i] * column_scale[low + i]
                if row_scale[low + i] == 0.0 or column_scale[low + i] == 0.0:
                    x += now[i]
                following[i] = x if x >= FLUSH else 0.0
        high = low


@njit(cache=True, nogil=True)
def peaks(
    matrices,
    row_scale,
    column_scale,
    v,
    clock,
    last,
    tolerance,
    every_node,
    peak,
    peak_time,
    interval,
    closed,
    low,
    high,
):
    """What `engine.kernels.dense.peaks` does, with a look at the certificate once a block.

    A block is at most half as long as the steps before it, so that few steps are in vain.
    """
    n = matrices.shape[1]
    block = np.empty((STEPS + 1, n))
    scaled = np.empty((STEPS, n))
    for k in range(low, high):
        if closed[k]:
            continue
        state = v[k]
        best = peak[k]
        when = peak_time[k]
        while clock[k] < last:
            done = clock[k]
            if tolerance >= 0.0:
                wanted = max(CHECK_EVERY, done // (2 * CHECK_EVERY) * CHECK_EVERY)
            else:
                wanted = STEPS
            steps = min(wanted, STEPS, last - done)
            block[0] = state
            advance(matrices[k], row_scale[k], column_scale[k], steps, block, scaled)
            for s in range(1, steps + 1):
                now = block[s]
                for i in range(n):
                    if now[i] > best[i]:
                        best[i] = now[i]
                        when[i] = done + s
            state[:] = block[steps]
            clock[k] = done + steps
            if tolerance >= 0.0 and _certificate(state, best, every_node)[2] <= tolerance:
                break
        lower, upper, gap = _certificate(state, best, every_node)
        interval[k, 0] = lower
        interval[k, 1] = upper
        closed[k] = gap <= tolerance
