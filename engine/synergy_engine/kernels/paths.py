"""Kernels on paths: sink rows split by the heads that still hold the path, and waiting on it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract"})
def advance_masks(diffusion, edge_mask, transition, mass, following, steps, flush):
    """Advance ``mass`` (masks, n) by ``steps`` steps of the diffusion, in place.

    ``mass[m, j]`` is the part of ``(e_τ D^t)[j]`` on paths whose edges all lie in exactly the
    heads of mask ``m`` (and in no others). An edge of mask ``e = edge_mask[j, i]`` moves it to mask
    ``transition[m, e]``, the intersection. ``following`` is scratch of the same shape.
    """
    masks, n = mass.shape
    for _ in range(steps):
        following[:] = 0.0
        for m in range(masks):
            row_of = transition[m]
            for j in range(n):
                here = mass[m, j]
                if here < flush:
                    continue
                for i in range(j + 1):
                    share = diffusion[j, i]
                    if share > 0.0:
                        following[row_of[edge_mask[j, i]], i] += here * share
        mass[:] = following


@njit(cache=True, nogil=True)
def edge_masks(diffusions, weights, out):
    """``out[j, i]`` (uint64): the bits of the heads with weight that hold edge ``i → j``."""
    heads, n = diffusions.shape[:2]
    for j in range(n):
        for i in range(j + 1):
            bits = np.uint64(0)
            for h in range(heads):
                if weights[h] > 0.0 and diffusions[h, j, i] > 0.0:
                    bits |= np.uint64(1) << np.uint64(h)
            out[j, i] = bits


@njit(cache=True, nogil=True)
def waits(loops, ways):
    """Pass ``ways`` (steps + 1) through each self-loop: ``ways[t] += loop * ways[t - 1]``."""
    for loop in loops:
        for t in range(1, ways.shape[0]):
            ways[t] += loop * ways[t - 1]


@njit(cache=True, nogil=True)
def _mixed(x):
    """One output of SplitMix64 (Steele, Lea, Flood 2014) for the state ``x``."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def walk_steps(cumulative, seed, walks, max_steps, low, high, out):
    """Steps to the sink of ``walks`` walks from each start ``low..high-1``: ``out`` (n, walks).

    ``cumulative[i]`` are the running sums of row i of P. A walk that has not arrived after
    ``max_steps`` is cut: ``max_steps + 1``. Every (start, walk) has a stream of random numbers of
    its own, so the order in which starts are done changes nothing.
    """
    n = cumulative.shape[0]
    golden = np.uint64(0x9E3779B97F4A7C15)
    for start in range(low, high):
        for w in range(walks):
            state = _mixed(np.uint64(seed) + golden * np.uint64(start * walks + w + 1))
            node = start
            steps = 0
            while node != n - 1 and steps < max_steps:
                state += golden
                u = np.float64(_mixed(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
                row = cumulative[node]
                u *= row[n - 1]
                left, right = node, n - 1
                while left < right:
                    middle = (left + right) // 2
                    if row[middle] > u:
                        right = middle
                    else:
                        left = middle + 1
                node = left
                steps += 1
            out[start, w] = steps if node == n - 1 else max_steps + 1
