"""Kernels that compare heads: equal ones, and how different the others are."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


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


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def diversity(heads, row_scale, low, high, out):
    """Mean pairwise Jensen-Shannon (bits), Jaccard and cosine distances: ``out`` (S, 3).

    ``heads`` (S, H, n, n) raw, ``row_scale`` (S, H, n): diffusion rows are ``row_scale[j] *
    heads[j]``, and where the scale is 0 the node keeps its own state. The Jensen-Shannon
    divergence of two rows is summed as ``Σ_i p log2(2p/(p+q)) + q log2(2q/(p+q))``, halved: every
    term is small where the rows agree, nothing cancels.
    """
    count, n = heads.shape[1], heads.shape[2]
    packed = np.empty((count, n))
    for s in range(low, high):
        out[s] = 0.0
        pairs = count * (count - 1) // 2
        if pairs == 0:
            continue
        divergence = 0.0
        common = np.zeros((count, count))
        union = np.zeros((count, count))
        products = np.zeros((count, count))
        for j in range(n):
            for h in range(count):
                scale = row_scale[s, h, j]
                row = heads[s, h, j]
                for i in range(j + 1):
                    packed[h, i] = scale * row[i]
                if scale == 0.0:
                    packed[h, j] = 1.0
            for a in range(count):
                p = packed[a]
                products[a, a] += _dot(p, p, j + 1)
                for b in range(a + 1, count):
                    q = packed[b]
                    divergence += _jensen_shannon(p, q, j + 1)
                    products[a, b] += _dot(p, q, j + 1)
                    shared = 0
                    either = 0
                    for i in range(j):
                        in_a = p[i] > 0.0
                        in_b = q[i] > 0.0
                        shared += in_a and in_b
                        either += in_a or in_b
                    common[a, b] += shared
                    union[a, b] += either
        jaccard = 0.0
        cosine = 0.0
        for a in range(count):
            for b in range(a + 1, count):
                if union[a, b] > 0.0:
                    jaccard += 1.0 - common[a, b] / union[a, b]
                norms = math.sqrt(products[a, a]) * math.sqrt(products[b, b])
                if products[a, b] != products[a, a] or products[a, a] != products[b, b]:
                    cosine += max(0.0, 1.0 - products[a, b] / norms)
        out[s, 0] = divergence / (n * pairs)
        out[s, 1] = jaccard / pairs
        out[s, 2] = cosine / pairs


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _dot(p, q, length):
    total = 0.0
    for i in range(length):
        total += p[i] * q[i]
    return total


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _jensen_shannon(p, q, length):
    """Jensen-Shannon divergence of two rows in bits, at least 0."""
    total = 0.0
    for i in range(length):
        a = p[i]
        b = q[i]
        if a != b:
            if a > 0.0:
                total += a * math.log2(2.0 * a / (a + b))
            if b > 0.0:
                total += b * math.log2(2.0 * b / (a + b))
    return max(0.0, 0.5 * total)
