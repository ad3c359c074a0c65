"""Random walks, one at a time."""

from __future__ import annotations

import numpy as np
from numba import njit


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
