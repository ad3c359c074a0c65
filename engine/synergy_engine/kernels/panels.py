"""Many steps of a dense lower-triangular operator while a panel of it is at hand.

A row vector moves by ``v_{t+1}[i] = Σ_{j>=i} v_t[j] M[j, i]``: node ``i`` needs the nodes ``j >=
i`` only. So eight neighbouring nodes, a *panel* of columns, can take eight steps at once when
panels are taken from the last node down. With ``V[t] = v_t`` known above the panel ``I``,

    V[t+1, I] = Σ_{j above I} V[t, j] M[j, I]  +  Σ_{j in I} V[t, j] M[j, I],

the first sum is a product of matrices: an entry of ``M`` is fetched once for all steps, and the
sums stay in registers. The second is a recursion over ``t`` through a triangle of 8 × 8, cut into
quarters of 4 × 4: the last four nodes do not wait for the first, and short registers answer sooner.

Operators are *packed* for this: panel after panel from column 0 on, each with its rows from its
first column down side by side, scales multiplied in, in float64, nodes padded behind the last one
to a multiple of eight. Padding hears and sends nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.arrays import Floats
from synergy_engine.kernels.lanes import (
    HALF,
    WIDTH,
    add,
    add_times,
    at_least,
    lane,
    load,
    load_four,
    spread,
    store,
    times,
    zeros_four,
)

FLUSH = 1e-30
"""Values below are set to zero: powers of near-permutations would sink into subnormals."""

STEPS = 8
"""Steps taken at once: their sums fill eight registers."""

WIDE = 400
"""Nodes from which a packed operator outgrows a core's own cache, and steps wait for memory."""

BLOCKS = 4
"""Blocks of `STEPS` steps that each panel of a wide operator may take while it is in the cache."""


@njit(cache=True, nogil=True)
def padded(n):
    """``n`` rounded up to whole panels."""
    return -(-n // WIDTH) * WIDTH


@njit(cache=True, nogil=True)
def on_lines(raw):
    """All but `WIDTH` numbers of ``raw``, from the first that begins a cache line on."""
    start = -(raw.ctypes.data // 8) % WIDTH
    return raw[start : start + len(raw) - WIDTH]


@njit(cache=True, nogil=True)
def aligned(count):
    """Room for ``count`` numbers, aligned to cache lines."""
    return on_lines(np.empty(count + WIDTH))


@njit(cache=True, nogil=True)
def _panel(size, low):
    """Where the panel of columns ``low … low+7`` starts: with its row ``low``, up to ``size-1``."""
    return low * size - low * (low - WIDTH) // 2


def room_for(n: int) -> Floats:
    """Room for a packed operator of ``n`` nodes wherever `on_lines` lets it start."""
    size = -(-n // WIDTH) * WIDTH
    return np.empty(size * (size + WIDTH) // 2 + WIDTH)


@njit(cache=True, nogil=True)
def workspace(n, room):
    """Where an operator of ``n`` nodes is packed in ``room``, a block of states, and scratch."""
    size = padded(n)
    rows = STEPS * (BLOCKS if n >= WIDE else 1) + 1
    block = aligned(rows * size).reshape(rows, size)
    return on_lines(room), block, aligned(STEPS * WIDTH)


@njit(cache=True, nogil=True)
def ahead(v, clock):
    """Steps to take in one pass at this time: up to half as many as were taken, in whole blocks."""
    return min(v.shape[0] - 1, max(STEPS, clock // (2 * STEPS) * STEPS))


@njit(cache=True, nogil=True)
def pack(operators, k, pulled, packed):
    """Pack operator ``k`` to move row vectors, or column vectors when ``pulled``."""
    matrices, row_scale, column_scale = operators
    if pulled:
        _pack_mirrored(matrices[k], row_scale[k], column_scale[k], packed)
    else:
        _pack_straight(matrices[k], row_scale[k], column_scale[k], packed)


@njit(cache=True, nogil=True)
def copy(source, mirrored, target):
    if mirrored:
        target[:] = source[::-1]
    else:
        target[:] = source


@njit(cache=True, nogil=True)
def _pack_straight(matrix, row_scale, column_scale, packed):
    """Pack ``M = diag(row_scale) matrix diag(column_scale)``, to move row vectors: ``v M``.

    Nodes of a scale of 0 keep what they have. Rows are read as they are stored, side by side.
    """
    n = matrix.shape[0]
    size = padded(n)
    for low in range(0, size, WIDTH):
        packed[_panel(size, low) + (n - low) * WIDTH : _panel(size, low + WIDTH)] = 0.0
    for j in range(n):
        row = matrix[j]
        scale = row_scale[j]
        own = j // WIDTH * WIDTH  # the panel of column j, in which row j ends
        place = j * WIDTH
        for low in range(0, own, WIDTH):
            scaled = times(load(row, low), load(column_scale, low))
            store(packed, place, times(spread(scale), scaled))
            place += (size - low - WIDTH) * WIDTH  # row j of the next panel
        store(packed, place, spread(0.0))
        for i in range(own, j + 1):
            packed[place + i - own] = scale * (row[i] * column_scale[i])
        if scale == 0.0 or column_scale[j] == 0.0:
            packed[place + j - own] += 1.0


@njit(cache=True, nogil=True)
def _pack_mirrored(matrix, row_scale, column_scale, packed):
    """Pack the same ``M`` to move column vectors: ``M v``, node ``i`` becoming ``n-1-i``.

    Transposed and mirrored, a lower triangle is one again.
    """
    n = matrix.shape[0]
    size = padded(n)
    packed[:] = 0.0
    for j in range(n):
        row = matrix[j]
        scale = row_scale[j]
        column = n - 1 - j
        low = column // WIDTH * WIDTH
        place = _panel(size, low) + (n - 1 - low) * WIDTH + column - low  # of row n - 1
        for i in range(j + 1):
            packed[place - i * WIDTH] = scale * (row[i] * column_scale[i])
        if scale == 0.0 or column_scale[j] == 0.0:
            packed[place - j * WIDTH] += 1.0


@njit(cache=True, nogil=True)
def _gather(packed, place, v, first, low, end, sums):
    """``sums[t] = Σ_{low<=j<end} v[first + t, j] M[j, panel]``, row ``low`` being at ``place``."""
    a = b = c = d = e = f = g = h = spread(0.0)
    for j in range(end - 1, low - 1, -1):
        row = load(packed, place + (j - low) * WIDTH)
        a = add_times(a, v[first, j], row)
        b = add_times(b, v[first + 1, j], row)
        c = add_times(c, v[first + 2, j], row)
        d = add_times(d, v[first + 3, j], row)
        e = add_times(e, v[first + 4, j], row)
        f = add_times(f, v[first + 5, j], row)
        g = add_times(g, v[first + 6, j], row)
        h = add_times(h, v[first + 7, j], row)
    store(sums, 0, a)
    store(sums, WIDTH, b)
    store(sums, 2 * WIDTH, c)
    store(sums, 3 * WIDTH, d)
    store(sums, 4 * WIDTH, e)
    store(sums, 5 * WIDTH, f)
    store(sums, 6 * WIDTH, g)
    store(sums, 7 * WIDTH, h)


@njit(cache=True, nogil=True)
def _add_four(total, x, packed, place):
    """``total + Σ_k x[k] M[k]`` over half of four rows, the first of them at ``place``.

    Two sums run side by side: the next step waits for this one.
    """
    a = add_times(total, lane(x, 0), load_four(packed, place))
    b = add_times(zeros_four(), lane(x, 1), load_four(packed, place + WIDTH))
    a = add_times(a, lane(x, 2), load_four(packed, place + 2 * WIDTH))
    b = add_times(b, lane(x, 3), load_four(packed, place + 3 * WIDTH))
    return add(a, b)


@njit(cache=True, nogil=True)
def advance(packed, v, end, steps, least, sums):
    """Fill ``v[1 … steps]`` from ``v[0]``: ``v[t] = v[0] M^t``; what is below ``least`` is 0.

    ``v`` (at least steps + 1, size) and ``sums``, scratch, come from `workspace`; ``v[0]`` is zero
    from ``end`` on, a multiple of eight, and nothing is done there. Values are cut on the way out
    of a block: within it the test would lie on the chain from each step to the next.
    """
    size = v.shape[1]
    for low in range(end - WIDTH, -1, -WIDTH):
        panel = _panel(size, low)
        across = panel + HALF * WIDTH  # from the last four nodes of the panel
        for first in range(0, steps, STEPS):
            _gather(packed, panel + WIDTH * WIDTH, v, first, low + WIDTH, end, sums)
            place = first * size + low
            one, other = load_four(v, place), load_four(v, place + HALF)
            for t in range(min(STEPS, steps - first)):
                place += size
                heard = _add_four(load_four(sums, t * WIDTH), other, packed, across)
                one = _add_four(heard, one, packed, panel)
                heard = load_four(sums, t * WIDTH + HALF)
                other = _add_four(heard, other, packed, across + HALF)
                store(v, place, at_least(one, least))
                store(v, place + HALF, at_least(other, least))


@njit(cache=True, nogil=True)
def begin(v, start, mirrored):
    """Lay ``start`` into ``v[0]`` and zero the rest; returns its ``end``, as `restart` does."""
    v[:] = 0.0
    copy(start, mirrored, v[0, : start.shape[0]])
    return restart(v, 0, v.shape[1])


@njit(cache=True, nogil=True)
def restart(v, steps, end):
    """Make ``v[steps]`` the new ``v[0]``; returns the new ``end``, which only falls."""
    for i in range(end):
        v[0, i] = v[steps, i]
    held = end
    while held > 0 and v[0, held - 1] == 0.0:
        held -= 1
    held = padded(held)
    v[:, held:end] = 0.0
    return held
