"""The largest minimax fidelity over head weights: climbed to by gradients, bounded by routing."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.limits import report
from synergy_engine.measures.fidelity import run_peaks
from synergy_engine.measures.routing import follow
from synergy_engine.measures.sensitivity import powers
from synergy_engine.operators.dense import mixture_stack
from synergy_engine.operators.door import heads, mixture
from synergy_engine.operators.stack import Stack
from synergy_engine.system import MultiHeadSystem

HEADS = 4
"""Heads up to which the simplex of weights is searched for a proof."""

GAP = 1e-3
"""Relative width at which the interval is narrow enough."""

SIMPLICES = 512
"""Parts of the simplex that are looked at, at most."""

WORK = 1 << 30
"""Rough entries of heads that proofs may read, a few seconds: large systems are cut less often."""

SEARCH = 1e-10
"""Relative width at which the fidelity of weights that are tried counts as certain."""

BINDING = 8
"""Nodes heard least whose fidelities are kept in balance while climbing."""

TOGETHER = 1 << 20
"""Entries of dense mixtures that are tried at a time: they are still in the cache when used."""

STARTS = 4
"""Weights that are climbed from."""

MOVES = 30
"""Moves that are tried from each, at most."""


@dataclass(frozen=True)
class Interval:
    """The best weights found, what they attain (``lower``), and what none exceed.

    ``upper`` is certain of constant weights, ``cap`` of weights that change by step and node too.
    """

    weights: Floats
    lower: float
    upper: float
    cap: float
    parts: int


def fidelity_interval(
    system: MultiHeadSystem,
    weights: Floats,
    last: int,
    *,
    gap: float = GAP,
    most: int = SIMPLICES,
) -> Interval:
    """Branch and bound on the simplex of head weights, from weights already found to be good.

    On a part of the simplex with vertices β^(k) every mixture is one of the mixtures ``D(β^(k))``,
    so their routing bound caps it. The part with the highest cap is cut in two across its longest
    edge until the best found is within ``gap`` of the cap. Beyond `HEADS` heads only the cap of
    the whole simplex is taken. Fidelities are taken over ``last`` steps, bounds over all.
    """
    most = min(most, max(1, affordable(system) // system.heads))
    best, lower, peaks = weights, *_peaks(system, weights, last)
    whole = np.eye(system.heads)
    cap = upper = max(lower, _cap(system, peaks, last, 0.0))
    if not 2 <= system.heads <= HEADS or upper <= lower * (1 + gap):
        return Interval(best, lower, upper, upper, 1)
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
            bound = min(upper, _cap(_mixtures(system, part), peaks, last, lower * (1 + gap)))
            heapq.heappush(waiting, (-bound, parts, part))
    upper = max(lower, -waiting[0][0]) if waiting else lower
    return Interval(best, lower, upper, cap, parts)


def climb(system: MultiHeadSystem, last: int, starts: int = STARTS) -> tuple[Floats, float]:
    """Head weights of large minimax fidelity, and what it is there: a local search by gradients.

    From the best of the weights given, even weights, single heads and pairs of heads.
    """
    count = system.heads
    corners = np.eye(count)
    pairs = [(corners[a] + corners[b]) / 2 for a in range(count) for b in range(a)]
    points = [system.weights, np.full(count, 1 / count), *corners, *pairs]
    values = _minima(system, np.array(points), last)
    order = np.argsort(-values, kind="stable")[:starts]
    climbed = [climb_from(system, points[k], float(values[k]), last) for k in order.tolist()]
    return max(climbed, key=lambda found: found[1])


def climb_from(
    system: MultiHeadSystem, weights: Floats, value: float, last: int
) -> tuple[Floats, float]:
    """Better weights uphill of these, whose minimax fidelity within ``last`` steps is ``value``.

    Each move maximises the smallest of the linearised fidelities of the nodes heard least, within a
    distance that grows with success and shrinks without (sequential linear programming with a
    trust region). A fidelity of 0 has no slope to follow.
    """
    if system.heads == 1 or value == 0 or system.nodes == 1:
        return weights, value
    alone, reach = heads(system, "diffusion"), 0.25
    linear = _linearised(system, alone, weights, last)
    for tried in range(MOVES):
        report("climbing to better weights", tried, MOVES)
        moved, hoped = _move(weights, *linear, reach)
        if hoped <= value * (1 + 1e-6):
            break
        reached = _peaks(system, moved, last)[0]
        if reached > value * (1 + 1e-9):
            weights, value, reach = moved, reached, min(1.0, 2 * reach)
            linear = _linearised(system, alone, weights, last)
        else:
            reach /= 4
    return weights, value


def _linearised(
    system: MultiHeadSystem, alone: Stack, weights: Floats, last: int
) -> tuple[Floats, Floats]:
    """The fidelities (K,) of the nodes heard least under these weights, and gradients (K, H)."""
    stack = mixture(system.with_weights(weights), "diffusion")
    state = run_peaks(stack, tolerance=SEARCH, horizon=last, every_node=False)
    peaks = state.peak[0, :-1]
    nodes = np.argsort(peaks, kind="stable")[:BINDING]
    times = state.time[0, nodes]
    rows = powers(stack, system.sink, int(times.max()), pulled=False)
    slopes = [
        alone.carried(rows[:time], powers(stack, node, time, pulled=True), pairs=False)[0]
        for node, time in zip(nodes.tolist(), times.tolist(), strict=True)
    ]
    return peaks[nodes], np.stack(slopes)


def _move(weights: Floats, values: Floats, slopes: Floats, reach: float) -> tuple[Floats, float]:
    """The weights within ``reach`` whose smallest linearised fidelity is largest, and that."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # a third of a second to load

    size = float(values.min())
    count = len(weights)
    rows = np.vstack([np.hstack([-slopes / size, np.ones((len(values), 1))]), np.ones(count + 1)])
    rows[-1, -1] = 0.0
    # `milp` without integers solves what `linprog` does, in two thirds of its time.
    solved = milp(
        np.append(np.zeros(count), -1.0),
        constraints=LinearConstraint(
            rows,
            np.append(np.full(len(values), -np.inf), 0.0),
            np.append(values / size, 0.0),
        ),
        bounds=Bounds(
            np.append(-np.minimum(weights, reach), -np.inf),
            np.append(np.full(count, reach), np.inf),
        ),
    )
    moved = np.clip(weights + solved.x[:count], 0.0, None)
    return moved / moved.sum(), float(solved.x[-1]) * size


def affordable(system: MultiHeadSystem) -> int:
    """How many passes over all heads may be taken many times over."""
    return WORK // (64 * _entries(system))


def _entries(system: MultiHeadSystem) -> int:
    """Entries that all heads have together."""
    if system.sparse is None:
        return system.heads * system.nodes**2 // 2 + 1
    return sum(head.edges for head in system.sparse) + 1


def _peaks(system: MultiHeadSystem, weights: Floats, last: int) -> tuple[float, Floats]:
    """The minimax fidelity within ``last`` steps, and every node's."""
    stack = mixture(system.with_weights(weights), "diffusion")
    state = run_peaks(stack, tolerance=SEARCH, horizon=last, every_node=False)
    peaks = state.peak[0, :-1] if system.nodes > 1 else state.peak[0]
    return float(peaks.min()), peaks


def _minima(system: MultiHeadSystem, points: Floats, last: int) -> Floats:
    """The minimax fidelity within ``last`` steps under each row of head weights."""
    if system.dense is None:
        return np.array([_peaks(system, point, last)[0] for point in points])
    found = []
    together = max(1, TOGETHER // system.nodes**2)
    for first in range(0, len(points), together):
        report("looking for good weights", first, len(points))
        some = points[first : first + together]
        stack = mixture_stack(system.dense[None], some, "diffusion", whole=not system.learned_sinks)
        state = run_peaks(stack, tolerance=SEARCH, horizon=last, every_node=False)
        found.append(state.peak[:, : max(1, system.sink)].min(axis=1))
    return np.concatenate(found)


def _cap(system: MultiHeadSystem, peaks: Floats, last: int, enough: float) -> float:
    """What the minimax fidelity cannot exceed; no source is looked at once it is ``enough``.

    Sources that are heard least go first, since a source whose fidelity is above the cap already
    known cannot lower it.
    """
    order = np.argsort(peaks, kind="stable")
    last = min(last, max(64, WORK // _entries(system)))
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
        rows: Literal["any", "sinks"] = "sinks" if system.learned_sinks else "any"
        return MultiHeadSystem.from_attention(
            np.stack([stack.array() for stack in stacks]), rows=rows
        )
    return MultiHeadSystem.from_sparse(
        [stack.operators[0].laid.head for stack in stacks]  # type: ignore[attr-defined]
    )
