"""Kernels for the largest values of diffusions, and how far they are certain."""

from __future__ import annotations

import numpy as np
from numba import njit

from synergy_engine.kernels.lanes import WIDTH, load, spread, store, where_above
from synergy_engine.kernels.panels import (
    FLUSH,
    STEPS,
    advance,
    ahead,
    aligned,
    begin,
    pack,
    restart,
    workspace,
)


@njit(cache=True, nogil=True)
def certificate(v, peak, every_node, tolerance):
    """Lower and upper end for the smallest peak, and whether what was asked for is settled.

    ``φ_j`` can still grow to at most ``reach``, the mass at nodes ``>= j``. Returns ``(lower,
    upper, settled)`` over all nodes but the sink: settled when the relative gap ``(reach - φ_j) /
    reach`` of every node is within ``tolerance`` when ``every_node``, else that of the minimum;
    never when ``tolerance`` is negative.
    """
    n = v.shape[0]
    mass = v[n - 1]
    lower = np.inf
    upper = np.inf
    settled = True
    for j in range(n - 2, -1, -1):
        mass += v[j]
        reach = max(peak[j], mass)
        lower = min(lower, peak[j])
        upper = min(upper, reach)
        settled &= reach - peak[j] <= tolerance * reach
    if not every_node:
        settled = upper - lower <= tolerance * upper
    return lower, upper, settled and tolerance >= 0.0


@njit(cache=True, nogil=True)
def _note(v, done, steps, clock, peak, time):
    """Raise ``peak`` to the values in ``v[done + 1 … done + steps]`` and set ``time`` to when.

    ``v[done]`` is the state at ``clock``; ``peak`` and ``time`` (size) float64.
    """
    size = v.shape[1]
    for low in range(0, size, WIDTH):
        best, when = load(peak, low), load(time, low)
        for t in range(1, steps + 1):
            x = load(v, (done + t) * size + low)
            when = where_above(x, best, spread(float(clock + t)), when)
            best = where_above(x, best, x, best)
        store(peak, low, best)
        store(time, low, when)


@njit(cache=True, nogil=True)
def peaks(operators, rows, last, room, low, high):
    """Advance sink rows (`states.Peaks`), ``v[k] ← v[k] M_k``, until certified or ``last`` steps.

    The certificate is looked at whenever the clock is a multiple of `STEPS`, however a run is cut
    into calls. ``room`` (`panels.room_for`) is scratch.
    """
    v, clock, tolerance, every_node, peak, peak_time, interval, closed = rows
    n = v.shape[1]
    packed, block, sums = workspace(n, room)
    best = aligned(block.shape[1])
    when = aligned(block.shape[1])
    best[n:] = 0.0
    when[n:] = 0.0
    for k in range(low, high):
        if closed[k]:
            continue
        pack(operators, k, False, packed)
        best[:n] = peak[k]
        when[:n] = peak_time[k]
        end = begin(block, v[k], False)
        while clock[k] < last:
            steps = min(ahead(block, clock[k]) - clock[k] % STEPS, last - clock[k])
            advance(packed, block, end, steps, FLUSH, sums)
            done = 0
            settled = False
            while done < steps and not settled:
                some = min(STEPS - clock[k] % STEPS, steps - done)
                _note(block, done, some, clock[k], best, when)
                done += some
                clock[k] += some
                if tolerance >= 0.0 and clock[k] % STEPS == 0:
                    settled = certificate(block[done, :n], best[:n], every_node, tolerance)[2]
            end = restart(block, done, end)
            if settled:
                break
        v[k] = block[0, :n]
        peak[k] = best[:n]
        for i in range(n):
            peak_time[k, i] = np.int64(when[i])
        lower, upper, settled = certificate(v[k], peak[k], every_node, tolerance)
        interval[k, 0] = lower
        interval[k, 1] = upper
        closed[k] = settled
