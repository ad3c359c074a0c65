"""Kernels that look far ahead: by slow modes, or by repeated squaring.

Long survival belongs to the few nodes that hold on to a walk. The diagonal of a triangular matrix
has its eigenvalues, and one substitution per slow node gives its eigenvector: once all else has
decayed, survival at every later time is a short sum, with an error that is known.

Elsewhere powers of the matrix are looked up.
One step costs n²/2 multiplications, squaring a triangular matrix n³/6: from a few n steps on, the
powers ``M, M², M⁴, …`` are cheaper than walking there, and ten thousand steps cost fourteen of
them. Non-negative numbers only are added and multiplied, so nothing cancels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.dense import row_times
from synergy_engine.kernels.panels import FLUSH

GONE = 1e-14
"""What a node that is not slow may still hold of its walks at the time one looks ahead."""

MODES = 96
"""Slow nodes at most: a mode costs about as much as a step or two."""

EPSILON = float(np.finfo(np.float64).eps)


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


@njit(cache=True, nogil=True, fastmath={"contract"})
def _pushed_modes(matrix, row_scale, column_scale, rates, slow, modes):
    """Rows ``u`` with ``u M = rates[s] u`` and ``u[s] = 1`` for each slow node ``s``, descending.

    ``modes`` (slow, n). False where an eigenvalue is met twice and has no second eigenvector.
    """
    modes[:] = 0.0
    for j in range(slow[0], -1, -1):
        row = matrix[j, :j]
        for m in range(slow.shape[0]):
            s = slow[m]
            if s < j:
                break
            mode = modes[m]
            if s == j:
                mode[j] = 1.0
            elif mode[j] * column_scale[j] != 0.0:
                gap = rates[s] - rates[j]
                if gap == 0.0:
                    return False
                mode[j] *= column_scale[j] / gap
            else:
                mode[j] = 0.0
            factor = mode[j] * row_scale[j]
            if factor != 0.0:
                for i in range(j):
                    mode[i] += factor * row[i]
    return True


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _pulled_modes(matrix, row_scale, column_scale, rates, slow, modes):
    """Columns ``u`` with ``M u = rates[s] u``, as `_pushed_modes`; slow nodes ascend."""
    modes[:] = 0.0
    for m in range(slow.shape[0]):
        modes[m, slow[m]] = 1.0
    for j in range(slow[0] + 1, matrix.shape[0]):
        row = matrix[j]
        for m in range(slow.shape[0]):
            s = slow[m]
            if s >= j:
                break
            mode = modes[m]
            heard = 0.0
            for i in range(s, j):
                heard += row[i] * column_scale[i] * mode[i]
            heard *= row_scale[j]
            if heard != 0.0:
                gap = rates[s] - rates[j]
                if gap == 0.0:
                    return False
                mode[j] = heard / gap
    return True


@njit(cache=True, nogil=True)
def _later(modes, rates, steps, of_mean, out):
    """``out = Σ_m rates[m]^steps modes[m]``; returns its mean or its largest."""
    out[:] = 0.0
    for m in range(modes.shape[0]):
        factor = rates[m] ** steps
        for i in range(out.shape[0]):
            out[i] += factor * modes[m, i]
    return out.mean() if of_mean else out.max()


@njit(cache=True, nogil=True)
def _foreseen(modes, rates, error, drift, level, of_mean, remaining, out):
    """Steps until survival is first below ``level``: -1 for none of ``remaining``, 0 if unsure.

    Survival lies within ``error + drift · steps`` of the modes, and never rises.
    """
    if _later(modes, rates, remaining, of_mean, out) - (error + drift * remaining) >= level:
        return -1
    before, after = 0, remaining
    while after - before > 1:
        middle = (before + after) // 2
        if _later(modes, rates, middle, of_mean, out) < level:
            after = middle
        else:
            before = middle
    error += drift * after
    above = _later(modes, rates, before, of_mean, out) - error >= level
    below = _later(modes, rates, after, of_mean, out) + error < level
    return after if above and below else 0


@njit(cache=True, nogil=True)
def foresee(operators, curves, last, low, high):
    """Settle what `synergy_engine.kernels.dense.survive` would, where that is certain.

    Survival is at least what never moves, ``v_i M[i, i]^t``: where that alone keeps every open
    level, none is crossed, and ``survival`` ends as that bound. Otherwise the slow modes tell:
    ``v M^t = Σ_m c_m λ_m^t u_m + r M^t`` for any ``c``, and ``r M^t`` stays within the largest of
    ``|r|``, since no step raises survival. An operator of which some level is not settled is left
    as it is.
    """
    survival, clock, levels, of_mean, crossing, _, _, pulled = curves
    matrices, row_scales, column_scales = operators
    n = survival.shape[1]
    out = np.empty(n)
    found = np.zeros(levels.shape[0], dtype=np.int64)
    for k in range(low, high):
        remaining = last - clock[k]
        if remaining <= 0 or crossing[k].min() >= 0:
            continue
        rates = row_scales[k] * np.diag(matrices[k]) * column_scales[k]
        rates[(row_scales[k] == 0.0) | (column_scales[k] == 0.0)] += 1.0
        still = survival[k] * rates**remaining
        crossed = False
        for c in range(levels.shape[0]):
            if crossing[k, c] < 0 and _below(still, levels[c], of_mean[c]):
                crossed = True
        if not crossed:
            clock[k] = last
            survival[k] = still
            continue
        rest = survival[k].copy()
        slow = np.flatnonzero((rates >= GONE ** (1.0 / clock[k])) & (rest > 0.0))
        if slow.shape[0] == 0 or slow.shape[0] > MODES:
            continue
        modes = np.empty((slow.shape[0], n))
        parts = (matrices[k], row_scales[k], column_scales[k], rates)
        if not pulled:
            slow = slow[::-1].copy()
            known = _pushed_modes(*parts, slow, modes)
        else:
            known = _pulled_modes(*parts, slow, modes)
        if not known:
            continue
        rates = rates[slow]
        drift = 0.0  # what one step may round off
        for m in range(slow.shape[0]):
            modes[m] *= rest[slow[m]]
            rest -= modes[m]
            drift += n * EPSILON * np.abs(modes[m]).max()
        error = np.abs(rest).max() + drift
        reached = np.int64(0)
        certain = True
        for c in range(levels.shape[0]):
            found[c] = 0
            if crossing[k, c] < 0 and certain:
                found[c] = _foreseen(
                    modes, rates, error, drift, levels[c], of_mean[c], remaining, out
                )
                certain = found[c] != 0
                reached = max(reached, found[c] if found[c] > 0 else remaining)
        if not certain:
            continue
        for c in range(levels.shape[0]):
            if found[c] > 0:
                crossing[k, c] = clock[k] + found[c]
        _later(modes, rates, reached, True, out)
        clock[k] += reached
        survival[k] = out


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
        if clock[k] >= last:
            continue
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
            if not _below(start * np.diag(powers[0]) ** remaining, levels[c], of_mean[c]):
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
