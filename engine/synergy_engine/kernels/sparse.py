"""Kernels on one sparse triangular operator.

An operator moves ``v`` to ``v'[i] = outer[i] Σ_e weights[e] inner[k_e] v[k_e] + diagonal[i] v[i]``
where ``e`` runs over ``starts[i] .. ends[i]`` and ``k_e = indices[e]`` lies strictly on one side of
``i``: above it in *push* order (rows = senders, ``v M``), below it in *pull* order (rows =
receivers, ``M v``). Nodes are therefore met from the side that they depend on (``place`` 0 is the
last node in push order, the first in pull order), and a node's values at *all* times depend only
on nodes met before it. That is what lets :func:`peaks` and :func:`survive` take ``STEPS`` steps in
one pass over the edges: each node's short history is finished before the next node needs it.

Histories lie in a ring of a power of two of at least ``reach + 1`` nodes, ``STEPS`` values each,
scaled by ``inner``. Values below ``FLUSH`` become zero at the end of a block: in between, the test
would lie on the longest chain of dependent instructions. Every function works on a range and keeps
its state in the arrays it is given, so that callers can interleave ranges over threads, report
progress and hear Ctrl-C.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.panels import FLUSH
from synergy_engine.kernels.sparse_rows import (
    STEPS,
    far_row,
    far_weighted_row,
    fetch,
    near_row,
    near_weighted_row,
)


@njit(cache=True, nogil=True)
def count_senders(indptr, indices, weights, low, high, counts, sums, diagonal):
    """Add rows ``low..high-1`` to how often, and with how much weight, each node is heard.

    ``counts`` (n) int64 leaves self-loops out, ``sums`` (n) float64 does not, ``diagonal`` (n)
    receives them. ``weights`` is empty for uniform heads.
    """
    weighted = weights.shape[0] > 0
    for j in range(low, high):
        for e in range(indptr[j], indptr[j + 1]):
            i = np.uintp(indices[e])
            weight = weights[e] if weighted else 1.0
            sums[i] += weight
            if i == j:
                diagonal[j] = weight
            else:
                counts[i] += 1


@njit(cache=True, nogil=True)
def sum_rows(indptr, weights, low, high, sums):
    """``sums[j]`` = sum of the weights of row ``j``."""
    for j in range(low, high):
        total = 0.0
        for e in range(indptr[j], indptr[j + 1]):
            total += weights[e]
        sums[j] = total


@njit(cache=True, nogil=True)
def transpose(indptr, indices, weights, low, high, cursor, senders_indices, senders_weights):
    """Deal the edges of rows ``high-1 .. low`` to the rows of their senders.

    ``cursor[i]`` is where the next edge of sender ``i`` goes. Called from the last rows to the
    first, so a sender's receivers fall: the nearest comes last, when its value is fresh.
    Self-loops are left out.
    """
    weighted = weights.shape[0] > 0
    for j in range(high - 1, low - 1, -1):
        for e in range(indptr[j], indptr[j + 1]):
            i = np.uintp(indices[e])
            if i != j:
                place = cursor[i]
                cursor[i] = place + 1
                senders_indices[place] = j
                if weighted:
                    senders_weights[place] = weights[e]


@njit(cache=True, nogil=True)
def reach(starts, ends, indices, low, high):
    """How far the farthest of a row's nodes lies from it, over rows ``low..high-1``.

    Rows are ordered from far to near, so the first entry is the farthest.
    """
    longest = np.int64(0)
    for i in range(low, high):
        if starts[i] < ends[i]:
            distance = abs(np.int64(indices[starts[i]]) - i)
            longest = distance if distance > longest else longest
    return longest


@njit(cache=True, nogil=True)
def count_union(indptr, indices, other_indptr, other_indices, low, high, counts):
    """``counts[j]`` = number of different entries of row ``j`` of two heads with sorted rows."""
    for j in range(low, high):
        a, a_end = indptr[j], indptr[j + 1]
        b, b_end = other_indptr[j], other_indptr[j + 1]
        count = 0
        while a < a_end and b < b_end:
            one, two = indices[a], other_indices[b]
            a += one <= two
            b += two <= one
            count += 1
        counts[j] = count + (a_end - a) + (b_end - b)


@njit(cache=True, nogil=True)
def add_rows(
    indptr, indices, weights, other_indptr, other_indices, other_weights, low, high,
    sum_indptr, sum_indices, sum_weights,
):  # fmt: skip
    """Rows ``low..high-1`` of the sum of two weighted heads with sorted rows."""
    for j in range(low, high):
        a, a_end = indptr[j], indptr[j + 1]
        b, b_end = other_indptr[j], other_indptr[j + 1]
        for place in range(sum_indptr[j], sum_indptr[j + 1]):
            take_a = b == b_end or (a < a_end and indices[a] <= other_indices[b])
            take_b = a == a_end or (b < b_end and other_indices[b] <= indices[a])
            total = 0.0
            if take_a:
                sum_indices[place] = indices[a]
                total += weights[a]
                a += 1
            if take_b:
                sum_indices[place] = other_indices[b]
                total += other_weights[b]
                b += 1
            sum_weights[place] = total


@njit(cache=True, nogil=True)
def scale(indptr, indices, weights, row_scale, column_scale, factor, low, high, out):
    """``out[e] = factor · row_scale[j] · weights[e] · column_scale[i]``, rows ``low..high-1``."""
    weighted = weights.shape[0] > 0
    for j in range(low, high):
        for e in range(indptr[j], indptr[j + 1]):
            weight = weights[e] if weighted else 1.0
            out[e] = factor * row_scale[j] * weight * column_scale[np.uintp(indices[e])]


@njit(cache=True, nogil=True, fastmath={"contract"})
def hitting(
    starts, ends, indices, weights, inner, outer, descending, ahead, low, high, h, pairs,
):  # fmt: skip
    """Expected steps to place 0: ``h_i = (1 + Σ P_ik h_k) / Σ P_ik`` over ``k ≠ i``.

    Off-diagonals are summed (the GTH way), never ``1 - P_ii``. ``pairs`` (n, 2) keeps
    ``inner[k]`` beside ``inner[k] h_k``, so that an edge fetches both at once. A node with an edge
    to one that never arrives does not surely arrive either: infinity passes through the sums. The
    pairs of the edges ``ahead`` are fetched meanwhile, unless it is 0.
    """
    n = h.shape[0]
    weighted = weights.shape[0] > 0
    for place in range(low, high):
        i = n - 1 - place if descending else place
        leave = 0.0
        steps = 0.0
        for e in range(starts[i], ends[i]):
            if ahead != 0:
                coming = min(max(e + ahead, 0), indices.shape[0] - 1)
                fetch(pairs, 2 * np.int64(indices[coming]))
            k = np.uintp(indices[e])
            if weighted:
                weight = weights[e]
                # Zero times infinity would be NaN.
                if weight > 0.0:
                    leave += weight * pairs[k, 0]
                    steps += weight * pairs[k, 1]
            else:
                leave += pairs[k, 0]
                steps += pairs[k, 1]
        leave *= outer[i]
        if place == 0:
            h[i] = 0.0
        else:
            h[i] = (1.0 + outer[i] * steps) / leave if leave > 0.0 else np.inf
        pairs[i, 0] = inner[i]
        pairs[i, 1] = inner[i] * h[i] if inner[i] > 0.0 else 0.0


@njit(cache=True, nogil=True)
def leaving(starts, ends, indices, weights, inner, outer, low, high, out):
    """``out[i]`` = off-diagonal sum of row ``i``: the probability to move on."""
    weighted = weights.shape[0] > 0
    for i in range(low, high):
        total = 0.0
        for e in range(starts[i], ends[i]):
            weight = weights[e] if weighted else 1.0
            total += weight * inner[np.uintp(indices[e])]
        out[i] = outer[i] * total


@njit(cache=True, nogil=True)
def reach_sink(indptr, indices, low, high, reaches):
    """Mark the nodes that rows ``high-1 .. low`` hear when the row itself reaches the sink."""
    for j in range(high - 1, low - 1, -1):
        if reaches[j]:
            for e in range(indptr[j], indptr[j + 1]):
                reaches[np.uintp(indices[e])] = True


@njit(cache=True, nogil=True)
def compare_rows(
    indptr, indices, weights, scale, other_indptr, other_indices, other_weights, other_scale,
    low, high, out,
):  # fmt: skip
    """How rows ``low..high-1`` of two diffusions differ, summed into ``out`` (6).

    The Jensen-Shannon divergence of rows in bits; senders in either head and in both, self-loops
    left out; the inner product, and the squared norms of both.
    """
    weighted = weights.shape[0] > 0
    other_weighted = other_weights.shape[0] > 0
    for j in range(low, high):
        a, a_end = indptr[j], indptr[j + 1]
        b, b_end = other_indptr[j], other_indptr[j + 1]
        while a < a_end or b < b_end:
            take_a = b == b_end or (a < a_end and indices[a] <= other_indices[b])
            take_b = a == a_end or (b < b_end and other_indices[b] <= indices[a])
            own = j == (indices[a] if take_a else other_indices[b])
            p = 0.0
            q = 0.0
            if take_a:
                p = scale[j] * (weights[a] if weighted else 1.0)
                a += 1
            if take_b:
                q = other_scale[j] * (other_weights[b] if other_weighted else 1.0)
                b += 1
            middle = 0.5 * (p + q)
            if p > 0.0:
                out[0] += 0.5 * p * np.log2(p / middle)
            if q > 0.0:
                out[0] += 0.5 * q * np.log2(q / middle)
            if not own:
                out[1] += 1.0
                out[2] += take_a and take_b
            out[3] += p * q
            out[4] += p * p
            out[5] += q * q


@njit(cache=True, nogil=True, fastmath={"contract"})
def step(starts, ends, indices, weights, inner, outer, diagonal, low, high, v, out):
    """One step of nodes ``low..high-1``."""
    weighted = weights.shape[0] > 0
    for i in range(low, high):
        total = 0.0
        for e in range(starts[i], ends[i]):
            k = np.uintp(indices[e])
            total += (weights[e] * inner[k] if weighted else inner[k]) * v[k]
        out[i] = outer[i] * total + diagonal[i] * v[i]


@njit(cache=True, nogil=True)
def _gather(total, ring, indices, weights, start, end, mask, ahead):
    if weights.shape[0] > 0:
        if ahead != 0:
            far_weighted_row(total, ring, indices, weights, start, end, mask, ahead)
        else:
            near_weighted_row(total, ring, indices, weights, start, end, mask, ahead)
    elif ahead != 0:
        far_row(total, ring, indices, weights, start, end, mask, ahead)
    else:
        near_row(total, ring, indices, weights, start, end, mask, ahead)


@njit(cache=True, nogil=True)
def begin(
    starts, ends, indices, weights, descending, ahead, border, low, high, ring, mask, sums, resume,
):  # fmt: skip
    """Gather for places ``low..high-1`` what comes from places before ``border``.

    Those are finished, so places may be shared between threads. ``sums`` (places, STEPS) and
    ``resume`` (places) give :func:`peaks` and :func:`survive`, which start from ``border``, what
    has been summed and the edge to continue from: the order of the sum is the same.
    """
    n = starts.shape[0]
    for place in range(low, high):
        i = n - 1 - place if descending else place
        cut = ends[i]
        while cut > starts[i]:
            k = np.int64(indices[cut - 1])
            if (n - 1 - k if descending else k) < border:
                break
            cut -= 1
        total = sums[place - border]
        total[:] = 0.0
        _gather(total, ring, indices, weights, starts[i], cut, mask, ahead)
        resume[place - border] = cut


@njit(cache=True, nogil=True, fastmath={"contract"})
def peaks(
    starts, ends, indices, weights, inner, outer, diagonal, descending, ahead, low, high,
    v, clock, steps, ring, mask, sums, resume, peak, peak_time,
):  # fmt: skip
    """Take ``steps <= STEPS`` steps of places ``low..high-1`` and keep each node's largest value.

    ``peak`` and ``peak_time`` are updated with the values at times ``clock + 1 .. clock + steps``.
    ``sums`` and ``resume`` come from :func:`begin`, or are empty.
    """
    n = v.shape[0]
    scratch = np.zeros(STEPS)
    begun = sums.shape[0] > 0
    for place in range(low, high):
        i = n - 1 - place if descending else place
        total = sums[place - low] if begun else scratch
        start = resume[place - low] if begun else starts[i]
        if not begun:
            total[:] = 0.0
        _gather(total, ring, indices, weights, start, ends[i], mask, ahead)
        x = v[i]
        out = outer[i]
        own = diagonal[i]
        within = inner[i]
        history = (i & mask) * STEPS
        best = peak[i]
        when = peak_time[i]
        for k in range(steps):
            ring[history + k] = within * x
            x = out * total[k] + own * x
            if x > best:
                best = x
                when = clock + k + 1
        v[i] = x if x >= FLUSH else 0.0
        if best >= FLUSH:
            peak[i] = best
            peak_time[i] = when


@njit(cache=True, nogil=True, fastmath={"contract"})
def survive(
    starts, ends, indices, weights, inner, outer, diagonal, descending, ahead, low, high,
    v, steps, ring, mask, sums, resume, totals, worst,
):  # fmt: skip
    """Take ``steps <= STEPS`` steps of places ``low..high-1`` of survival probabilities.

    Place 0 has arrived and stays so. ``totals`` and ``worst`` (STEPS) receive the sum and the
    largest value of these places after each step. ``sums`` and ``resume`` are as in :func:`peaks`.
    """
    n = v.shape[0]
    scratch = np.zeros(STEPS)
    begun = sums.shape[0] > 0
    for place in range(low, high):
        i = n - 1 - place if descending else place
        history = (i & mask) * STEPS
        if place == 0:
            ring[history : history + STEPS] = 0.0
            v[i] = 0.0
            continue
        total = sums[place - low] if begun else scratch
        start = resume[place - low] if begun else starts[i]
        if not begun:
            total[:] = 0.0
        _gather(total, ring, indices, weights, start, ends[i], mask, ahead)
        x = v[i]
        out = outer[i]
        own = diagonal[i]
        within = inner[i]
        for k in range(steps):
            ring[history + k] = within * x
            x = out * total[k] + own * x
            totals[k] += x
            worst[k] = max(worst[k], x)
        v[i] = x if x >= FLUSH else 0.0


@njit(cache=True, nogil=True)
def held(v, descending, blank, first, end):
    """Narrow places ``first .. end - 1`` to those from the first to the last not ``blank``."""
    n = v.shape[0]
    while first < end and v[n - 1 - first if descending else first] == blank:
        first += 1
    while end > first and v[n - end if descending else end - 1] == blank:
        end -= 1
    return first, end
