"""Kernels on stacks of dense lower-triangular operators.

An operator is ``M[j, i] = row_scale[j] * matrix[j, i] * column_scale[i]`` for ``i <= j``: rows are
receivers, columns are senders. A diffusion scales rows (``column_scale`` is 1), a walk scales
columns, a mixture is stored already normalised. Scales are applied on the way, so that float32
attention is read as it is stored and accumulated in float64. A scale of 0 means that the node
hears (rows) or sends (columns) nothing: it then keeps what it has, as if its self-loop were 1.

Every function takes a range ``low..high-1`` of the stack, writes only there, and keeps its state
in the arrays it is given, so that callers can split work over threads and over time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.lanes import WIDTH, add, largest_of, load, sum_of, where_above
from synergy_engine.kernels.panels import (
    FLUSH,
    STEPS,
    advance,
    ahead,
    begin,
    copy,
    pack,
    restart,
    workspace,
)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def row_scales(heads, low, high, out):
    """Reciprocals ``out`` (K, n) of the row sums of each head (K, n, n), 0 where the sum is 0."""
    for k in range(low, high):
        for j in range(heads.shape[1]):
            row = heads[k, j]
            total = 0.0
            for i in range(j + 1):
                total += row[i]
            out[k, j] = 1.0 / total if total > 0.0 else 0.0


@njit(cache=True, nogil=True, fastmath={"contract"})
def column_scales(heads, low, high, out):
    """Reciprocals ``out`` (K, n) of the column sums of each head, 0 where the sum is 0."""
    n = heads.shape[1]
    for k in range(low, high):
        sums = out[k]
        sums[:] = 0.0
        for j in range(n):
            row = heads[k, j]
            for i in range(j + 1):
                sums[i] += row[i]
        for i in range(n):
            sums[i] = 1.0 / sums[i] if sums[i] > 0.0 else 0.0


@njit(cache=True, nogil=True, fastmath={"contract"})
def mix(heads, weights, row_scale, column_scale, low, high, out):
    """``out[s] = Σ_h weights[s, h] · diag(row_scale) heads[s, h] diag(column_scale)``.

    ``heads`` (S, H, n, n) and scales (S, H, n), or one system's for all; ``weights`` (S, H),
    ``out`` (S, n, n) float64; only the lower triangle of ``out`` is written.
    """
    count, n = heads.shape[1], heads.shape[2]
    for s in range(low, high):
        of = s % heads.shape[0]
        for j in range(n):
            target = out[s, j]
            for i in range(j + 1):
                target[i] = 0.0
            for h in range(count):
                weight = weights[s, h]
                if weight == 0.0:
                    continue
                rows = row_scale[of, h]
                columns = column_scale[of, h]
                if rows[j] == 0.0 or columns[j] == 0.0:
                    target[j] += weight
                factor = weight * rows[j]
                if factor == 0.0:
                    continue
                row = heads[of, h, j]
                for i in range(j + 1):
                    target[i] += factor * row[i] * columns[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def row_times(v, matrix, out):
    """``out[:length] = v @ matrix[:length]`` for ``length = len(v)``: ``out[i] = Σ_{j>=i} v[j]
    matrix[j, i]``, four rows per sweep, zero rows skipped.
    """
    top = v.shape[0]
    out[:top] = 0.0
    while top >= 4:
        j = top - 4
        a, b, c, d = v[j], v[j + 1], v[j + 2], v[j + 3]
        if a != 0.0 or b != 0.0 or c != 0.0 or d != 0.0:
            row_a, row_b, row_c, row_d = matrix[j], matrix[j + 1], matrix[j + 2], matrix[j + 3]
            for i in range(j + 1):
                out[i] += (a * row_a[i] + b * row_b[i]) + (c * row_c[i] + d * row_d[i])
            out[j + 1] += b * row_b[j + 1] + c * row_c[j + 1] + d * row_d[j + 1]
            out[j + 2] += c * row_c[j + 2] + d * row_d[j + 2]
            out[j + 3] += d * row_d[j + 3]
        top = j
    for j in range(top - 1, -1, -1):
        a = v[j]
        if a != 0.0:
            row = matrix[j]
            for i in range(j + 1):
                out[i] += a * row[i]


@njit(cache=True, nogil=True)
def trajectory(operators, k, pulled, room, out):
    """Fill ``out[t]`` (steps+1, n) from ``out[0]``: ``M v`` when ``pulled``, else ``v M``.

    ``room`` (`panels.room_for`) is scratch.
    """
    n = out.shape[1]
    packed, block, sums = workspace(n, room)
    pack(operators, k, pulled, packed)
    end = begin(block, out[0], pulled)
    last = out.shape[0] - 1
    for t in range(0, last, STEPS):
        steps = min(STEPS, last - t)
        advance(packed, block, end, steps, -np.inf, sums)
        for step in range(1, steps + 1):
            copy(block[step, :n], pulled, out[t + step])
        end = restart(block, steps, end)


@njit(cache=True, nogil=True, fastmath={"contract"})
def hitting(operators, low, high, out):
    """Expected steps to the last node: ``h_i = (1 + Σ_{j>i} P_ij h_j) / Σ_{j>i} P_ij``.

    ``P_ij = M[j, i]``. Row ``j`` is read once, when ``h_j`` is known, and adds its share to every
    ``i < j``. Off-diagonals are summed (the GTH way): ``1 - P_ii`` would lose every digit for the
    self-loops of trained heads. ``out`` (K, n) float64.
    """
    matrices, row_scale, column_scale = operators
    n = matrices.shape[1]
    leave = np.empty(n)
    for k in range(low, high):
        h = out[k]
        h[:] = 0.0  # until h_j is known, h[j] holds Σ_{l>j} M[l, j] h_l
        leave[:] = 0.0
        for j in range(n - 1, -1, -1):
            if j < n - 1:
                columns = column_scale[k, j]
                probability = leave[j] * columns
                h[j] = (1.0 + h[j] * columns) / probability if probability > 0.0 else np.inf
            row = matrices[k, j]
            scale = row_scale[k, j]
            arrived = scale * h[j]
            if arrived == np.inf:
                for i in range(j):
                    if row[i] > 0.0:
                        h[i] = np.inf
                        leave[i] += scale * row[i]
            else:
                for i in range(j):
                    leave[i] += scale * row[i]
                    h[i] += arrived * row[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def hitting_of_raw(heads, low, high, out):
    """`hitting` of the walks of raw heads, in one pass: ``h_i = (Σ_{j>=i} A_ji + Σ_{j>i} A_ji h_j)
    / Σ_{j>i} A_ji``.

    When row ``j`` is read, the rows below it have been, so that column ``j`` is complete but for
    its own diagonal: no pass for the column sums is needed.
    """
    n = heads.shape[1]
    leave = np.empty(n)
    for k in range(low, high):
        h = out[k]
        h[:] = 0.0
        leave[:] = 0.0
        for j in range(n - 1, -1, -1):
            row = heads[k, j]
            if j < n - 1:
                stay = row[j]
                h[j] = (stay + leave[j] + h[j]) / leave[j] if leave[j] > 0.0 else np.inf
            arrived = h[j]
            if arrived == np.inf:
                for i in range(j):
                    if row[i] > 0.0:
                        h[i] = np.inf
                        leave[i] += row[i]
            else:
                for i in range(j):
                    leave[i] += row[i]
                    h[i] += arrived * row[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def hitting_backward(operators, low, high, out):
    """Expected steps of the reversed chain (rows ``M[j, :]``) to node 0.

    ``h_j = (1 + Σ_{i<j} M_ji h_i) / Σ_{i<j} M_ji``; ``out`` (K, n) float64.
    """
    matrices, row_scale, column_scale = operators
    n = matrices.shape[1]
    for k in range(low, high):
        h = out[k]
        h[0] = 0.0
        columns = column_scale[k]
        for j in range(1, n):
            row = matrices[k, j]
            leave = 0.0
            steps = 0.0
            for i in range(j):
                weight = row[i] * columns[i]
                if weight > 0.0:
                    leave += weight
                    steps += weight * h[i]
            scale = row_scale[k, j]
            leave *= scale
            h[j] = (1.0 + scale * steps) / leave if leave > 0.0 else np.inf


@njit(cache=True, nogil=True)
def survive(operators, curves, last, room, low, high):
    """Advance survival curves (`states.Survival`) and note when they fall below each level.

    A system stops when every level is crossed and its clock is at ``cap``, or at ``last`` at the
    latest. ``room`` (`panels.room_for`) is scratch.
    """
    survival, clock, levels, of_mean, crossing, cap, capped, pulled = curves
    n = survival.shape[1]
    packed, block, sums = workspace(n, room)
    for k in range(low, high):
        pending = (crossing[k] < 0).any()
        if clock[k] >= last or not (pending or clock[k] < cap):
            continue
        pack(operators, k, pulled, packed)
        end = begin(block, survival[k], pulled)
        mean, worst = _mean_and_largest(block, 0, n)
        pending = _cross(clock[k], mean, worst, levels, of_mean, crossing[k])
        while clock[k] < last and (pending or clock[k] < cap):
            steps = min(ahead(block, clock[k]), last - clock[k])
            advance(packed, block, end, steps, FLUSH, sums)
            for t in range(1, steps + 1):
                if clock[k] < cap:
                    capped[k] += mean
                clock[k] += 1
                mean, worst = _mean_and_largest(block, t, n)
                pending = _cross(clock[k], mean, worst, levels, of_mean, crossing[k])
            end = restart(block, steps, end)
        copy(block[0, :n], pulled, survival[k])


@njit(cache=True, nogil=True)
def _mean_and_largest(block, t, n):
    """Of the state ``t`` of a block, whose padding is 0."""
    size = block.shape[1]
    one = largest = load(block, t * size)
    for low in range(t * size + WIDTH, (t + 1) * size, WIDTH):
        x = load(block, low)
        one = add(one, x)
        largest = where_above(x, largest, x, largest)
    return sum_of(one) / n, largest_of(largest)


@njit(cache=True, nogil=True)
def _cross(t, mean, worst, levels, of_mean, crossing):
    """Note the levels first crossed at time ``t``; is one still to be crossed?"""
    pending = False
    for c in range(levels.shape[0]):
        if crossing[c] < 0:
            if (mean if of_mean[c] else worst) < levels[c]:
                crossing[c] = t
            else:
                pending = True
    return pending


@njit(cache=True, nogil=True, fastmath={"contract"})
def leaving(operators, low, high, out):
    """Off-diagonal column sums ``Σ_{j>i} M[j, i]``: the probability to move on from ``i``.

    ``out`` (K, n) float64; 0 at the last node.
    """
    matrices, row_scale, column_scale = operators
    n = matrices.shape[1]
    for k in range(low, high):
        total = out[k]
        total[:] = 0.0
        for j in range(n):
            row = matrices[k, j]
            scale = row_scale[k, j]
            for i in range(j):
                total[i] += scale * row[i]
        for i in range(n):
            total[i] *= column_scale[k, i]


@njit(cache=True, nogil=True)
def paper_chain(attention, low, high, out):
    """The published walk: rows of transposed attention are sampled as they are.

    Sender ``i`` draws a receiver from weights ``A[j, i]`` that do not sum to one: with
    ``c = min(cumsum(weights), 1)`` the probabilities are the increments of ``c``, and what is left
    of 1 jumps to the sink. ``attention`` and ``out`` (K, n, n), rows = receivers.
    """
    n = attention.shape[1]
    for k in range(low, high):
        for i in range(n):
            used = 0.0
            total = 0.0
            for j in range(n):
                total += attention[k, j, i]
                reached = min(total, 1.0)
                out[k, j, i] = reached - used
                used = reached
            out[k, n - 1, i] += 1.0 - used
