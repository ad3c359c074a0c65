"""Kernels that let every node, at every step, hear by whichever head is best there.

Eight sources side by side: ``u_{t+1} = max_h D_h u_t`` row by row, from ``u_0 = e_j``, bounds what
any head weights can make of source j after t steps, and the same from ``1{>= j}`` what is left of
it for later. A row hears nodes up to itself only, so rows are renewed in place from the last one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.lanes import (
    WIDTH,
    add_times,
    at_least,
    load,
    spread,
    store,
    times,
    where_above,
)
from synergy_engine.kernels.panels import FLUSH


@njit(cache=True, nogil=True)
def start(sources, states):
    """Lay out ``e_j`` and ``1{>= j}`` for eight sources: ``states`` (n, 16), flat."""
    states[:] = 0.0
    n = states.shape[0] // (2 * WIDTH)
    for place in range(WIDTH):
        j = sources[place]
        states[2 * WIDTH * j + place] = 1.0
        for a in range(j, n):
            states[2 * WIDTH * a + WIDTH + place] = 1.0


@njit(cache=True, nogil=True)
def note(states, cutoff, best):
    """Raise ``best`` (8) to what the sink hears now; is a source below ``cutoff`` still open?"""
    sink = states.shape[0] - 2 * WIDTH
    open_ = False
    for place in range(WIDTH):
        best[place] = max(best[place], states[sink + place])
        left = states[sink + WIDTH + place]
        open_ |= best[place] < cutoff and left > best[place]
    return open_


@njit(cache=True, nogil=True)
def step(heads, scales, low, states):
    """One step of rows ``>= low`` of dense heads (H, n, n) with reciprocal row sums (H, n)."""
    count, n = scales.shape
    for a in range(n - 1, low - 1, -1):
        near = left = spread(0.0)
        for h in range(count):
            row = heads[h, a]
            scale = scales[h, a]
            if scale == 0.0:
                heard = load(states, 2 * WIDTH * a)
                kept = load(states, 2 * WIDTH * a + WIDTH)
            else:
                heard = kept = spread(0.0)
                for b in range(low, a + 1):
                    heard = add_times(heard, row[b], load(states, 2 * WIDTH * b))
                    kept = add_times(kept, row[b], load(states, 2 * WIDTH * b + WIDTH))
                heard = times(spread(scale), heard)
                kept = times(spread(scale), kept)
            near = where_above(heard, near, heard, near)
            left = where_above(kept, left, kept, left)
        store(states, 2 * WIDTH * a, at_least(near, FLUSH))
        store(states, 2 * WIDTH * a + WIDTH, at_least(left, FLUSH))


@njit(cache=True, nogil=True)
def bounds(heads, scales, sources, cutoff, clocks, last, states, best, upper, low, high):
    """Advance blocks ``low..high-1`` of eight sources to ``last`` steps, or until settled.

    ``sources`` (B, 8), ``clocks`` (B,), ``states`` (B, 16 n), ``best`` and ``upper`` (B, 8). A
    source whose best reaches ``cutoff`` is not waited for.
    """
    for block in range(low, high):
        first = sources[block].min()
        if clocks[block] == 0:
            start(sources[block], states[block])
        while note(states[block], cutoff, best[block]) and clocks[block] < last:
            step(heads, scales, first, states[block])
            clocks[block] += 1
        sink = states.shape[1] - 2 * WIDTH
        for place in range(WIDTH):
            left = states[block, sink + WIDTH + place]
            upper[block, place] = max(best[block, place], left)


@njit(cache=True, nogil=True)
def sparse_step(indptr, indices, weights, scales, low, high, states):
    """One step of rows ``high-1 .. low`` of H heads by receiver, self-loops among their edges.

    ``indptr`` (H, n + 1) points into the edges of all heads; scales are reciprocal row sums.
    """
    count = scales.shape[0]
    weighted = weights.shape[0] > 0
    for a in range(high - 1, low - 1, -1):
        near = left = spread(0.0)
        for h in range(count):
            scale = scales[h, a]
            if scale == 0.0:
                heard = load(states, 2 * WIDTH * a)
                kept = load(states, 2 * WIDTH * a + WIDTH)
            else:
                heard = kept = spread(0.0)
                for e in range(indptr[h, a], indptr[h, a + 1]):
                    place = 2 * WIDTH * np.int64(indices[e])
                    weight = weights[e] if weighted else 1.0
                    heard = add_times(heard, weight, load(states, place))
                    kept = add_times(kept, weight, load(states, place + WIDTH))
                heard = times(spread(scale), heard)
                kept = times(spread(scale), kept)
            near = where_above(heard, near, heard, near)
            left = where_above(kept, left, kept, left)
        store(states, 2 * WIDTH * a, at_least(near, FLUSH))
        store(states, 2 * WIDTH * a + WIDTH, at_least(left, FLUSH))
