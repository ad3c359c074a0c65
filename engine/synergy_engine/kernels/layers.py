"""Kernels that carry rows and columns through the layers of a network, head by head.

``heads`` (B, L, H, n, n) are raw weights; a head's diffusion is ``D[j, i] = A[j, i] / Σ_k A[j,
k]``, and a row of zeros keeps its own state. Rows are normalised on the way: their sums are taken
while they are in the cache, so that a head is read once; where they are not the ``whole`` of what
a node hears, they stay as they are. Units of work are heads of one layer,
``k = b · H + h``.
"""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _sum(row, length):
    total = 0.0
    for i in range(length):
        total += row[i]
    return total


@njit(cache=True, nogil=True)
def _per_weight(x, row, j, whole, out):
    """``x`` divided by the sum of row ``j``; where that is 0 the node keeps ``x``."""
    if x == 0.0 or not whole:
        return x
    total = _sum(row, j + 1)
    if total > 0.0:
        return x / total
    out[j] += x
    return 0.0


@njit(cache=True, nogil=True, fastmath={"contract"})
def push(heads, layer, rows, whole, low, high, out):
    """``out[b, layer, h] = rows[b] D`` for heads ``low … high-1`` of a layer: rows (B, n).

    ``out`` (B, L, H, n). Nodes of which nothing is asked are not read.
    """
    count, n = heads.shape[2], heads.shape[3]
    for k in range(low, high):
        matrix = heads[k // count, layer, k % count]
        v = rows[k // count]
        target = out[k // count, layer, k % count]
        target[:] = 0.0
        j = 0
        while j + 3 < n:
            if v[j] != 0.0 or v[j + 1] != 0.0 or v[j + 2] != 0.0 or v[j + 3] != 0.0:
                one, two, three, four = matrix[j], matrix[j + 1], matrix[j + 2], matrix[j + 3]
                a = _per_weight(v[j], one, j, whole, target)
                b = _per_weight(v[j + 1], two, j + 1, whole, target)
                c = _per_weight(v[j + 2], three, j + 2, whole, target)
                d = _per_weight(v[j + 3], four, j + 3, whole, target)
                for i in range(j + 1):
                    target[i] += (a * one[i] + b * two[i]) + (c * three[i] + d * four[i])
                target[j + 1] += b * two[j + 1] + c * three[j + 1] + d * four[j + 1]
                target[j + 2] += c * three[j + 2] + d * four[j + 2]
                target[j + 3] += d * four[j + 3]
            j += 4
        while j < n:
            row = matrix[j]
            a = _per_weight(v[j], row, j, whole, target)
            if a != 0.0:
                for i in range(j + 1):
                    target[i] += a * row[i]
            j += 1


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def pull(heads, layer, columns, first, last, whole, low, high, out):
    """``out[b, h] = D columns[b]`` for heads ``low … high-1`` of a layer: columns (B, n).

    ``out`` (B, H, n) is written at nodes ``first[b] … last``; columns are 0 before ``first[b]``.
    """
    count = heads.shape[2]
    for k in range(low, high):
        b = k // count
        matrix = heads[b, layer, k % count]
        w = columns[b]
        target = out[b, k % count]
        for j in range(first[b], last + 1):
            row = matrix[j]
            total = 0.0
            heard = 0.0
            for i in range(j + 1):
                total += row[i]
                heard += row[i] * w[i]
            if not whole:
                target[j] = heard
            else:
                target[j] = heard / total if total > 0.0 else w[j]
