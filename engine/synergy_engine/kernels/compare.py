"""Kernels that compare heads: equal ones, and how different the others are."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

WHOLE = 16
"""Rows are padded to a multiple of this: what LLVM's vectors leave over it does one by one."""


@njit(cache=True, nogil=True)
def first_copies(heads, low, high, out):
    """``out[s, h]`` is the first head of system ``s`` that equals head ``h`` bit for bit.

    ``heads`` (S, H, n, n); comparing stops at the first difference, so different heads cost next
    to nothing.
    """
    count, n = heads.shape[1], heads.shape[2]
    for s in range(low, high):
        for h in range(count):
            out[s, h] = h
            for first in range(h):
                if out[s, first] != first:
                    continue
                same = True
                # From the sink's row up: it is the longest, and the likeliest to differ.
                for j in range(n - 1, -1, -1):
                    one, other = heads[s, h, j], heads[s, first, j]
                    for i in range(j + 1):
                        if one[i] != other[i]:
                            same = False
                            break
                    if not same:
                        break
                if same:
                    out[s, h] = first
                    break


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def diversity(heads, row_scale, low, high, out):
    """Pairwise Jensen-Shannon (bits), Jaccard and cosine distances: ``out`` (S, 3, H, H).

    ``heads`` (S, H, n, n) raw, ``row_scale`` (S, H, n): diffusion rows are ``row_scale[j] *
    heads[j]``, and where the scale is 0 the node keeps its own state. With ``f(x) = x log2 x`` the
    divergence of rows p and q is ``Σ_i (f(p_i) + f(q_i)) / 2 - f((p_i + q_i) / 2)``, exactly 0 for
    equal rows.
    """
    count, n = heads.shape[1], heads.shape[2]
    rows = np.zeros((count, n + WHOLE))
    terms = np.zeros((count, n + WHOLE))
    edges = np.zeros(count)
    for s in range(low, high):
        out[s] = 0.0
        if count == 1:
            continue
        divergence = out[s, 0]
        common = np.zeros((count, count))
        union = np.zeros((count, count))
        products = np.zeros((count, count))
        rows[:] = 0.0
        terms[:] = 0.0
        for j in range(n):
            end = (j + WHOLE) // WHOLE * WHOLE  # zeros from j + 1 on add nothing to any sum
            for h in range(count):
                scale = row_scale[s, h, j]
                row = heads[s, h, j]
                for i in range(j + 1):
                    rows[h, i] = scale * row[i]
                if scale == 0.0:
                    rows[h, j] = 1.0
                held = 0.0
                for i in range(j + 1):
                    terms[h, i] = _x_log2_x(rows[h, i])
                    held += 1.0 if rows[h, i] > 0.0 else 0.0
                edges[h] = held
            for a in range(count):
                p, own = rows[a], terms[a]
                for i in range(end):
                    products[a, a] += p[i] * p[i]
                for b in range(a + 1, count):
                    q, other = rows[b], terms[b]
                    gain = product = 0.0
                    for i in range(end):
                        gain += 0.5 * (own[i] + other[i]) - _x_log2_x(0.5 * (p[i] + q[i]))
                        product += p[i] * q[i]
                    divergence[a, b] += max(0.0, gain)
                    products[a, b] += product
                    # Softmax leaves no zeros: a row that has all edges needs no look at them.
                    shared = edges[a] + edges[b] - (j + 1)
                    if max(edges[a], edges[b]) <= j:
                        shared = 0.0
                        for i in range(end):
                            shared += 1.0 if min(p[i], q[i]) > 0.0 else 0.0
                    either = edges[a] + edges[b] - shared
                    # Edges are compared without self-loops.
                    common[a, b] += shared - (1.0 if min(p[j], q[j]) > 0.0 else 0.0)
                    union[a, b] += either - (1.0 if max(p[j], q[j]) > 0.0 else 0.0)
        for a in range(count):
            for b in range(a + 1, count):
                divergence[a, b] /= n
                if union[a, b] > 0.0:
                    out[s, 1, a, b] = 1.0 - common[a, b] / union[a, b]
                if divergence[a, b] > 0.0:  # else a cosine of 1 is rounded otherwise
                    norms = math.sqrt(products[a, a]) * math.sqrt(products[b, b])
                    out[s, 2, a, b] = max(0.0, 1.0 - products[a, b] / norms)
                for measure in range(3):
                    out[s, measure, b, a] = out[s, measure, a, b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _x_log2_x(x):
    """``x log2 x`` with 0 at 0, in operations that the compiler can do four at a time.

    Splits ``x = m 2^e`` with ``m`` in [√½, √2) through the bits of the float, and sums ``log2 m =
    2/ln 2 · atanh(s)``, ``s = (m-1)/(m+1)``, whose series falls by 0.03 a term; a few 1e-16
    relative, at less than half the time of the library's logarithm (no vector version of that is
    there).
    """
    positive = max(x, 1e-300)
    bits = np.float64(positive).view(np.uint64)
    # √½ has the bits 0x3FE6A09E667F3BCD; adding what is missing to 1.0 rounds e up from there on.
    biased = (bits + np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)) >> np.uint64(52)
    mantissa_bits = bits - (biased << np.uint64(52)) + np.uint64(0x3FF0000000000000)
    m = np.uint64(mantissa_bits).view(np.float64)
    # 2^52 + k has the bits of k in its mantissa: AVX2 has no other way from integer to float.
    e = np.uint64(biased | np.uint64(0x4330000000000000)).view(np.float64) - (2.0**52 + 1023.0)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = 1.0 / 19.0
    series = series * z + 1.0 / 17.0
    series = series * z + 1.0 / 15.0
    series = series * z + 1.0 / 13.0
    series = series * z + 1.0 / 11.0
    series = series * z + 1.0 / 9.0
    series = series * z + 1.0 / 7.0
    series = series * z + 1.0 / 5.0
    series = series * z + 1.0 / 3.0
    series = series * z + 1.0
    return x * (e + 2.8853900817779268 * s * series)


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def flaws(heads, bits, faintest, largest, low, high, out):
    """Per matrix: whether anything may be wrong, whether anything may be faint, the worst row.

    ``heads`` (K, n, n), and the same numbers as integers ``bits``, where a sign is the
    first bit and numbers >= 0 are in order. ``out`` (K, 3) float64: 1 where an entry has a sign,
    one above the diagonal is not +0, or a row's sum is not at most ``largest``; 1 where an entry
    above 0 is at most ``faintest`` (as bits; 0 does not look); the largest ``|row sum - 1|`` of the
    lower triangle. Integers and sums only: comparing floats would take several times as long.
    """
    n = heads.shape[1]
    sign = 8 * bits.itemsize - 1
    for k in range(low, high):
        signs = 0
        above = 0
        least = ~np.uint64(0)  # of entries less one: 0 becomes the largest of all
        off = 0.0
        wild = False
        for j in range(n):
            # Slices: an index that begins above 0 is tested for wraparound, which is slow.
            row, whole, rest = heads[k, j], bits[k, j], bits[k, j, j + 1 :]
            total = 0.0
            for i in range(j + 1):
                total += row[i]
            for i in range(j + 1):
                signs |= whole[i]
            for i in range(len(rest)):
                above |= rest[i]
            if faintest > 0:
                for i in range(j + 1):
                    least = min(least, np.uint64(whole[i]) - np.uint64(1))
            wild |= not total <= largest
            off = max(off, abs(total - 1.0))
        out[k, 0] = 1.0 if wild or above != 0 or (signs >> sign) & 1 else 0.0
        out[k, 1] = 1.0 if least < faintest else 0.0
        out[k, 2] = off
