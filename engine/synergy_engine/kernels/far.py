"""Kernels that look far ahead by repeated squaring.

One step costs n²/2 multiplications, squaring a triangular matrix n³/6: from a few n steps on, the
powers ``M, M², M⁴, …`` are cheaper than walking there, and ten thousand steps cost fourteen of
them. Non-negative numbers only are added and multiplied, so nothing cancels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.dense import row_times
from synergy_engine.kernels.panels import FLUSH


@njit(cache=True, nogil=True)
def _square(matrix, out):
    """``out = matrix @ matrix`` for lower-triangular matrices, tiny values flushed to zero."""
    for j in range(matrix.shape[0]):
        target = out[j]
        target[j + 1 :] = 0.0
        row_times(matrix[j, : j + 1], matrix, target)
        for i in range(j + 1):
            if target[i] < FLUSH:
                target[i] = 0.0


@njit(cache=True, nogil=True)
def _stays_above(v, matrix, steps, level, of_mean):
    """Whether staying put alone keeps survival at ``level`` for ``steps`` steps more."""
    n = v.shape[0]
    total = 0.0
    worst = 0.0
    for i in range(n):
        still = v[i] * matrix[i, i] ** steps
        total += still
        worst = max(worst, still)
    return (total / n if of_mean else worst) >= level


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
def _dense(operators, k, pulled, out):
    """Operator ``k`` as a matrix that moves row vectors; transposed and mirrored when ``pulled``.

    Mirroring (node i becomes n-1-i) keeps it lower triangular.
    """
    matrices, row_scales, column_scales = operators
    matrix, row_scale, column_scale = matrices[k], row_scales[k], column_scales[k]
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
def survive_far(operators, curves, last, low, high):
    """What `synergy_engine.kernels.dense.survive` does without a cap, by bisection over powers.

    For every level still open, the largest number of steps that does not cross it is built from
    powers of two, largest first; one step more crosses it. A level that self-loops alone keep open
    to the end needs no powers at all. ``survival`` and ``clock`` end at the last state looked at.
    """
    survival, clock, levels, of_mean, crossing, _, _, pulled = curves
    n = survival.shape[1]
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
                _dense(operators, k, pulled, powers[0])
                known = 1
            if _stays_above(start, powers[0], remaining, levels[c], of_mean[c]):
                continue
            # Powers are added until one jump from the start crosses the level.
            top = 0
            while True:
                row_times(start, powers[top], ahead)
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
                row_times(state, powers[power], ahead)
                if not _below(ahead, levels[c], of_mean[c]):
                    state[:] = ahead
                    taken += 1 << power
            if taken < remaining:
                row_times(state, powers[0], ahead)
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
def survival_at(operators, survival, times, low, high, out):
    """Survival (v M^t) of each operator at rising ``times``: ``out`` (K, T, n)."""
    n = survival.shape[1]
    most = 1
    for place in range(times.shape[0]):
        gap = times[place] - (times[place - 1] if place > 0 else 0)
        while (1 << most) <= gap:
            most += 1
    powers = np.empty((most, n, n))
    state = np.empty(n)
    ahead = np.empty(n)
    for k in range(low, high):
        _dense(operators, k, False, powers[0])
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
                    row_times(state, powers[power], ahead)
                    state[:] = ahead
                power += 1
            t = times[place]
            out[k, place] = state
