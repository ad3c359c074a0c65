"""The largest minimax fidelity over head weights: climbed to by gradients, bounded by routing."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.limits import report
from synergy_engine.measures.fidelity import run_peaks
from synergy_engine.measures.routing import default_horizon, follow
from synergy_engine.operators.door import mixture
from synergy_engine.system import MultiHeadSystem

HEADS = 4
"""Heads up to which the simplex of weights is searched for a proof."""

GAP = 1e-3
"""Relative width at which the interval is narrow enough."""

SIMPLICES = 512
"""Parts of the simplex that are looked at, at most."""


@dataclass(frozen=True)
class Interval:
    """The best weights found, what they attain, and what none exceed."""

    weights: Floats
    lower: float
    upper: float
    parts: int


def fidelity_interval(
    system: MultiHeadSystem,
    weights: Floats,
    *,
    horizon: int | None = None,
    gap: float = GAP,
    most: int = SIMPLICES,
) -> Interval:
    """Branch and bound on the simplex of head weights, from weights already found to be good.

    On a part of the simplex with vertices β^(k) every mixture is one of the mixtures ``D(β^(k))``,
    so their routing bound caps it. The part with the highest cap is cut in two across its longest
    edge until the best found is within ``gap`` of the cap. Beyond `HEADS` heads only the cap of
    the whole simplex is taken.
    """
    last = default_horizon(system.nodes) if horizon is None else horizon
    best, lower, peaks = weights, *_peaks(system, weights, last)
    whole = np.eye(system.heads)
    upper = max(lower, _cap(system, peaks, last, 0.0))
    if not 2 <= system.heads <= HEADS or upper <= lower * (1 + gap):
        return Interval(best, lower, upper, 1)
    waiting = [(-upper, 0, whole)]
    parts = 1
    while waiting and parts < most:
        upper = max(lower, -waiting[0][0])
        if upper <= lower * (1 + gap):
            break
        report("certifying the best weights", parts, most)
        _, _, vertices = heapq.heappop(waiting)
        for part in _halves(vertices):
            parts += 1
            centre = part.mean(axis=0)
            value, peaks = _peaks(system, centre, last)
            if value > lower:
                best, lower = centre, value
            cap = min(upper, _cap(_mixtures(system, part), peaks, last, lower * (1 + gap)))
            heapq.heappush(waiting, (-cap, parts, part))
    upper = max(lower, -waiting[0][0]) if waiting else lower
    return Interval(best, lower, upper, parts)


def _peaks(system: MultiHeadSystem, weights: Floats, last: int) -> tuple[float, Floats]:
    """The minimax fidelity within ``last`` steps, and every node's."""
    stack = mixture(system.with_weights(weights), "diffusion")
    state = run_peaks(stack, tolerance=1e-10, horizon=last, every_node=False)
    peaks = state.peak[0, :-1] if system.nodes > 1 else state.peak[0]
    return float(peaks.min()), peaks


def _cap(system: MultiHeadSystem, peaks: Floats, last: int, enough: float) -> float:
    """What the minimax fidelity cannot exceed; no source is looked at once it is ``enough``.

    Sources that are heard least go first, since a source whose fidelity is above the cap already
    known cannot lower it.
    """
    order = np.argsort(peaks, kind="stable")
    cap = 1.0
    for first in (0, 8):
        some = order[first : 8 if first == 0 else None]
        some = some[peaks[some] < cap]
        if not len(some) or cap <= enough:
            break
        cap = min(cap, float(follow(system, some, last, cutoff=cap)[1].min()))
    return cap


def _halves(vertices: Floats) -> tuple[Floats, Floats]:
    """The two parts of a simplex on either side of the middle of its longest edge."""
    lengths = np.linalg.norm(vertices[:, None] - vertices, axis=2)
    a, b = np.unravel_index(np.argmax(lengths), lengths.shape)
    middle = (vertices[a] + vertices[b]) / 2
    one, other = vertices.copy(), vertices.copy()
    one[a], other[b] = middle, middle
    return one, other


def _mixtures(system: MultiHeadSystem, weights: Floats) -> MultiHeadSystem:
    """The system whose heads are the mixtures of these heads under each row of ``weights``."""
    stacks = [mixture(system.with_weights(row), "diffusion") for row in weights]
    if system.sparse is None:
        return MultiHeadSystem.from_weights(np.stack([stack.array() for stack in stacks]))
    return MultiHeadSystem.from_sparse(
        [stack.operators[0].laid.head for stack in stacks]  # type: ignore[attr-defined]
    )
