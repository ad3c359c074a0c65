"""Kernels for derivatives of hitting times and for the best routing there could be.

Operators, and heads laid out by receiver or by sender, are those of `kernels.dense` and
`kernels.sparse`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.sparse_rows import fetch


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def visits(operators, leave, low, high, out):
    """Expected visits of walks from even starts: ``y_i = (1/n + Σ_{k<i} y_k P_ki) / leave_i``.

    ``P_ki = M[i, k]``; ``leave`` (K, n) are the off-diagonal column sums of ``M``. The last node
    has none.
    """
    matrices, row_scale, column_scale = operators
    n = matrices.shape[1]
    scaled = np.empty(n)
    for k in range(low, high):
        y = out[k]
        for i in range(n - 1):
            row = matrices[k, i]
            heard = 0.0
            for j in range(i):
                heard += row[j] * scaled[j]
            y[i] = (1.0 / n + row_scale[k, i] * heard) / leave[k, i]
            scaled[i] = column_scale[k, i] * y[i]
        y[n - 1] = 0.0


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def slopes(operators, values, shares, low, high, out):
    """``out[k] = Σ_i shares_i Σ_{j>i} M_k[j, i] (values_j - values_i)``."""
    matrices, row_scale, column_scale = operators
    n = matrices.shape[1]
    scaled = np.empty(n)
    for k in range(low, high):
        for i in range(n):
            scaled[i] = column_scale[k, i] * shares[i]
        total = 0.0
        for j in range(n):
            row = matrices[k, j]
            value = values[j]
            sent = 0.0
            for i in range(j):
                sent += row[i] * (scaled[i] * (value - values[i]))
            total += row_scale[k, j] * sent
        out[k] = total


@njit(cache=True, nogil=True, fastmath={"contract"})
def sparse_visits(starts, ends, indices, weights, inner, outer, ahead, leave, low, high, y, sent):
    """`visits` of nodes ``low..high-1`` of one operator by receiver; ``sent`` is ``inner · y``."""
    n = y.shape[0]
    weighted = weights.shape[0] > 0
    for i in range(low, high):
        heard = 0.0
        for e in range(starts[i], ends[i]):
            if ahead != 0:
                fetch(sent, np.int64(indices[min(e + ahead, indices.shape[0] - 1)]))
            k = np.uintp(indices[e])
            heard += weights[e] * sent[k] if weighted else sent[k]
        y[i] = (1.0 / n + outer[i] * heard) / leave[i] if i < n - 1 else 0.0
        sent[i] = inner[i] * y[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def sparse_slopes(starts, ends, indices, weights, outer, ahead, pairs, low, high):
    """The part of `slopes` of receivers ``low..high-1`` of one operator by receiver.

    ``pairs`` (n, 2) holds each node's value and its share, scaled by what it sends.
    """
    weighted = weights.shape[0] > 0
    total = 0.0
    for j in range(low, high):
        value = pairs[j, 0]
        sent = 0.0
        for e in range(starts[j], ends[j]):
            if ahead != 0:
                fetch(pairs, 2 * np.int64(indices[min(e + ahead, indices.shape[0] - 1)]))
            i = np.uintp(indices[e])
            part = pairs[i, 1] * (value - pairs[i, 0])
            sent += weights[e] * part if weighted else part
        total += outer[j] * sent
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def routing_times(heads, leave, steps, best, which):
    """``r_i = min_h (1 + Σ_{j>i} P_h[i, j] r_j) / Σ_{j>i} P_h[i, j]`` of raw heads (H, n, n).

    ``which`` (n) is the head that attains it, -1 at the sink and where no head surely arrives.
    ``leave`` and ``steps`` (H, n) are zero at first; see `dense.hitting_of_raw`, whose times each
    head would have.
    """
    count, n = heads.shape[:2]
    for j in range(n - 1, -1, -1):
        least = 0.0 if j == n - 1 else np.inf
        which[j] = -1
        if j < n - 1:
            for h in range(count):
                if leave[h, j] > 0.0:
                    time = (heads[h, j, j] + leave[h, j] + steps[h, j]) / leave[h, j]
                    if time < least:
                        least = time
                        which[j] = h
        best[j] = least
        for h in range(count):
            row = heads[h, j]
            if least == np.inf:
                for i in range(j):
                    if row[i] > 0.0:
                        steps[h, i] = np.inf
                        leave[h, i] += row[i]
            else:
                for i in range(j):
                    leave[h, i] += row[i]
                    steps[h, i] += least * row[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def sparse_routing_times(indptr, indices, weights, sent, ahead, low, high, best, which):
    """`routing_times` of nodes ``high-1 .. low`` of H heads by sender.

    ``indptr`` (H, n + 1) points into the edges of all heads, self-loops left out; ``sent`` (H, n)
    are column sums with self-loops.
    """
    count, n = sent.shape
    weighted = weights.shape[0] > 0
    for i in range(high - 1, low - 1, -1):
        least = 0.0 if i == n - 1 else np.inf
        which[i] = -1
        if i < n - 1:
            for h in range(count):
                leave = 0.0
                steps = sent[h, i]
                for e in range(indptr[h, i], indptr[h, i + 1]):
                    if ahead != 0:
                        fetch(best, np.int64(indices[max(e + ahead, 0)]))
                    weight = weights[e] if weighted else 1.0
                    leave += weight
                    steps += weight * best[np.uintp(indices[e])]
                if leave > 0.0 and steps / leave < least:
                    least = steps / leave
                    which[i] = h
        best[i] = least
