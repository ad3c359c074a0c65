"""Kernels that look far ahead by repeated squaring.

One step costs n²/2 multiplications, squaring a triangular matrix n³/6: from a few n steps on, the
powers ``M, M², M⁴, …`` are cheaper than walking there, and ten thousand steps cost fourteen of
them. Non-negative numbers only are added and multiplied, so nothing cancels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .dense import FLUSH


@njit(cache=True, nogil=True, fastmath={"contract"})
def _square(matrix, out):
    """``out = matrix @ matrix`` for lower-triangular matrices, tiny values flushed to zero."""
    n = matrix.shape[0]
    for j in range(n):
        target = out[j]
        target[:] = 0.0
        row = matrix[j]
        for k in range(j + 1):
            factor = row[k]
            if factor != 0.0:
                inner = matrix[k]
                for i in range(k + 1):
                    target[i] += factor * inner[i]
        for i in range(j + 1):
            if target[i] < FLUSH:
                target[i] = 0.0


@njit(cache=True, nogil=True, fastmath={"contract"})
def _forward(matrix, v, out):
    """``out = v @ matrix`` for a lower-triangular matrix."""
    out[:] = 0.0
    for j in range(v.shape[0]):
        factor = v[j]
        if factor != 0.0:
            row = matrix[j]
            for i in range(j + 1):
                out[i] += factor * row[i]


@njit(cache=True, nogil=True)
def _below(v, level, of_mean):
    """Whether the mean (or the largest) of ``v`` is strictly below ``level``."""
    total = 0.0
    worst = 0.0
    for i in range(v.shape[0]):
        total += v[i]
        worst = max(worst, v[i])
    return (total / v.shape[0] if of_mean else worst) < level


@njit(cache=True, nogil=True)
def _dense(matrix, row_scale, column_scale, pulled, out):
    """The operator as a matrix that moves row vectors; transposed and mirrored when ``pulled``.

    Mirroring (node i becomes n-1-i) keeps it lower triangular.
    """
    n = matrix.shape[0]
    out[:] = 0.0
    for j in range(n):
        for i in range(j + 1):
            value = row_scale[j] * matrix[j, i] * column_scale[i]
            if i == j and (row_scale[j] == 0.0 or column_scale[j] == 0.0):
                value += 1.0
            if pulled:
                out[n - 1 - i, n - 1 - j] = value
            else:
                out[j, i] = value


@njit(cache=True, nogil=True)
def survive_far(
    matrices,
    row_scale,
    column_scale,
    pulled,
    survival,
    clock,
    last,
    levels,
    of_mean,
    crossing,
    low,
    high,
):
    """What `engine.kernels.dense.survive` does without a cap, by bisection over powers.

    For every level still open, the largest number of steps that does not cross it is built from
    powers of two, largest first; one step more crosses it. ``survival`` and ``clock`` end at the
    last crossing, or at ``last`` when a level stays open.
    """
    n = matrices.shape[1]
    most = 1
    while (1 << most) <= last:
        most += 1
    powers = np.empty((most, n, n))
    state = np.empty(n)
    ahead = np.empty(n)
    final = np.empty(n)
    for k in range(low, high):
        start = survival[k].copy()
        if pulled:
            start = start[::-1].copy()
        remaining = last - clock[k]
        known = 0
        reached = clock[k]
        final[:] = start
        for c in range(levels.shape[0]):
            if crossing[k, c] >= 0:
                continue
            if known == 0:
                _dense(matrices[k], row_scale[k], column_scale[k], pulled, powers[0])
                known = 1
            # Powers are added until one jump from the start crosses the level.
            top = 0
            while True:
                _forward(powers[top], start, ahead)
                if _below(ahead, levels[c], of_mean[c]) or (1 << (top + 1)) > remaining:
                    break
                top += 1
                if top == known:
                    _square(powers[top - 1], powers[top])
                    known += 1
            state[:] = start
            taken = 0
            for power in range(top, -1, -1):
                if taken + (1 << power) > remaining:
                    continue
                _forward(powers[power], state, ahead)
                if not _below(ahead, levels[c], of_mean[c]):
                    state[:] = ahead
                    taken += 1 << power
            if taken < remaining:
                _forward(powers[0], state, ahead)
                state[:] = ahead
                taken += 1
                if _below(state, levels[c], of_mean[c]):
                    crossing[k, c] = clock[k] + taken
            if clock[k] + taken > reached:
                reached = clock[k] + taken
                final[:] = state
        clock[k] = reached
        survival[k] = final[::-1] if pulled else final


@njit(cache=True, nogil=True)
def survival_at(matrices, row_scale, column_scale, survival, times, low, high, out):
    """Survival (v M^t) of each operator at rising ``times``: ``out`` (K, T, n)."""
    n = matrices.shape[1]
    most = 1
    for place in range(times.shape[0]):
        gap = times[place] - (times[place - 1] if place > 0 else 0)
        while (1 << most) <= gap:
            most += 1
    powers = np.empty((most, n, n))
    state = np.empty(n)
    ahead = np.empty(n)
    for k in range(low, high):
        _dense(matrices[k], row_scale[k], column_scale[k], False, powers[0])
        known = 1
        state[:] = survival[k]
        t = 0
        for place in range(times.shape[0]):
            gap = times[place] - t
            power = 0
            while gap >> power:
                if power == known:
                    _square(powers[power - 1], powers[power])
                    known += 1
                if (gap >> power) & 1:
                    _forward(powers[power], state, ahead)
                    state[:] = ahead
                power += 1
            t = times[place]
            out[k, place] = state
