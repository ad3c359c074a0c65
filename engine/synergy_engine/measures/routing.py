"""What no head weights can beat: every node hears, or sends, by whichever head is best there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synergy_engine.arrays import Floats, Ints
from synergy_engine.errors import EngineError, at_least
from synergy_engine.kernels import routing as kernels, sensitivity
from synergy_engine.kernels.lanes import WIDTH
from synergy_engine.kernels.sparse_rows import AHEAD
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import report, soon
from synergy_engine.measures.fidelity import run_peaks
from synergy_engine.operators import dense, sparse
from synergy_engine.operators.door import mixture
from synergy_engine.operators.joined import join
from synergy_engine.operators.layout import NEAR_BYTES
from synergy_engine.sparse import CALL_EDGES, row_bounds
from synergy_engine.system import MultiHeadSystem

SOURCES = 64
"""Of large systems only this many sources are bounded, those heard least in the mixture."""

ALL_SOURCES = 2048
"""Systems of up to this many nodes have all sources bounded."""

WORK = 1 << 29
"""Edges that the default horizon lets eight sources read together, a second or two: chains of 10^6
nodes would take as many steps, and hear of nothing in as many as anyone waits for."""

STATE_BYTES = 1 << 26
"""Memory for the states of the sources that are followed at a time."""


@dataclass(frozen=True)
class RoutingBound:
    """What fidelity no head weights can exceed, not even weights that change by step and node.

    Attributes
    ----------
    node
        (n,) float64: ``Φ_j``, an upper bound of ``φ_j`` under every weights. 1 where it was not
        looked at, and at the sink.
    minimax, argmin
        The smallest ``Φ_j`` over all nodes but the sink, and its node: no weights make the
        minimax fidelity larger.
    certified
        Whether that is ``max_t u_t[τ]`` over all steps; else it also counts what was left for
        steps beyond the horizon, and is a bound all the same.
    within
        (n,) ``max_t u_t[τ]`` over the steps taken: bounds the fidelity within ``horizon`` steps.
    horizon
        Steps at most.
    """

    node: Floats
    minimax: float
    argmin: int
    certified: bool
    within: Floats
    horizon: int


def routing_bound(
    system: MultiHeadSystem,
    *,
    horizon: int | None = None,
    sources: Sequence[int] | None = None,
) -> RoutingBound:
    """An upper bound of every node's fidelity over all head weights.

    ``Φ_j = max_t u_t[τ]`` with ``u_0 = e_j`` and ``u_{t+1} = max_h D_h u_t``, the largest in each
    row: no mixture exceeds it, since each row of ``D u`` is a mean of those of ``D_h u``. What is
    left for later steps follows ``U_0 = 1{>= j}`` by the same rule: final once ``U_t[τ] <= Φ_j``.
    So ``min_j Φ_j <= max_h φ_min(D_h)`` proves that no weights give synergy. O(T · H · edges) for
    each source.

    Parameters
    ----------
    horizon
        Steps at most, by default ``max(256, 4 n)``, or as many of those (at least 256) as read
        5·10^8 sparse edges for eight sources; heads that hardly move may not settle.
    sources
        The nodes to bound; by default all, in systems of more than `ALL_SOURCES` nodes the
        `SOURCES` that the mixture hears least. Any one of them already bounds the minimum.

    Examples
    --------
    Example 2 of [BP]: no weights are clearer than 1/2, 4/3 of the best head.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.routing_bound(both)
    >>> found.node.tolist(), found.minimax, found.certified
    ([1.0, 1.0, 0.5, 1.0], 0.5, True)
    """
    n = system.nodes
    last = _default_horizon(system) if horizon is None else at_least("horizon", horizon, 0)
    if sources is None:
        chosen = np.arange(n - 1)
        if n > ALL_SOURCES:
            stack = mixture(system, "diffusion")
            peak = run_peaks(stack, tolerance=1e-6, horizon=last, every_node=False).peak[0, :-1]
            chosen = np.sort(np.argsort(peak, kind="stable")[:SOURCES])
    else:
        chosen = np.unique(np.asarray(sources, dtype=np.int64))
        if len(chosen) and not 0 <= chosen[0] <= chosen[-1] < n - 1:
            raise EngineError(f"sources are nodes from 0 to {n - 2}, before the sink.")
    bound, within = np.ones(n), np.ones(n)
    within[chosen], bound[chosen] = follow(system, chosen, last)
    place = int(np.argmin(bound))
    return RoutingBound(
        node=bound,
        minimax=float(bound[place]),
        argmin=place,
        certified=bool(bound[place] == within[place]),
        within=within,
        horizon=last,
    )


def _default_horizon(system: MultiHeadSystem) -> int:
    """Steps that settle most systems, and of large sparse ones as many as end in time."""
    last = soon(system.nodes)
    if system.sparse is None:
        return last
    edges = sum(head.edges for head in system.sparse)
    return min(last, max(soon(0), WORK // max(1, edges)))


def follow(
    system: MultiHeadSystem, sources: Ints, last: int, cutoff: float = np.inf
) -> tuple[Floats, Floats]:
    """The best that each source attains within ``last`` steps, and its bound over all steps.

    A source whose best reaches ``cutoff`` is not followed further: its bound is loose then.
    """
    n, count = system.nodes, len(sources)
    blocks = -(-count // WIDTH)
    padded = np.resize(sources, (blocks, WIDTH)) if count else np.empty((0, WIDTH), np.int64)
    padded.ravel()[count:] = sources[-1:]
    best, upper = np.zeros((blocks, WIDTH)), np.ones((blocks, WIDTH))
    together = max(1, STATE_BYTES // (16 * WIDTH * n))
    advance = _dense_advance(system) if system.sparse is None else _sparse_advance(system)
    for first in range(0, blocks, together):
        some = slice(first, first + together)
        advance(padded[some], cutoff, last, best[some], upper[some])
    return best.ravel()[:count], upper.ravel()[:count]


Advance = Callable[[Ints, float, int, Floats, Floats], None]


def _dense_advance(system: MultiHeadSystem) -> Advance:
    assert system.dense is not None
    heads, n = system.dense, system.nodes
    scales = np.ones(heads.shape[:2]) if system.learned_sinks else dense.row_scales(heads)
    chunk = max(1, dense.WORK_A_CALL // (WIDTH * heads.size))

    def advance(sources: Ints, cutoff: float, last: int, best: Floats, upper: Floats) -> None:
        clocks = np.zeros(len(sources), dtype=np.int64)
        states = np.empty((len(sources), 2 * WIDTH * n))
        for until in [*range(chunk, last, chunk), last]:
            report("routing", until - chunk, last)

            def task(low: int, high: int, until: int = until) -> None:
                kernels.bounds(
                    heads, scales, sources, cutoff, clocks, until, states, best, upper, low, high
                )

            over_ranges(task, len(sources), WIDTH * heads.size * 8.0, pieces=len(sources))
            if np.all(clocks < until):
                return

    return advance


def _sparse_advance(system: MultiHeadSystem) -> Advance:
    assert system.sparse is not None
    laid = [sparse.lay(head) for head in system.sparse]
    joined = join([(each.head.indptr, each.head.indices, each.weights) for each in laid])
    scales = np.stack([each.sums.hearing_scale for each in laid])
    cuts = row_bounds(joined.indptr.sum(axis=0) - joined.indptr[:, 0].sum(), 1 << 19)

    def advance(sources: Ints, cutoff: float, last: int, best: Floats, upper: Floats) -> None:
        states = np.empty(2 * WIDTH * system.nodes)
        for block, some in enumerate(sources):
            kernels.start(some, states)
            low, clock = int(some.min()), 0
            while kernels.note(states, cutoff, best[block]) and clock < last:
                report("routing", clock, last)
                for piece in range(len(cuts) - 2, -1, -1):
                    if cuts[piece + 1] > low:
                        first = max(low, int(cuts[piece]))
                        kernels.sparse_step(*joined, scales, first, int(cuts[piece + 1]), states)
                clock += 1
            left = states[-WIDTH:]
            upper[block] = np.maximum(best[block], left)

    return advance


@dataclass(frozen=True)
class RoutingTimes:
    """How soon walks could be, each node sending by whichever head is soonest from there.

    Attributes
    ----------
    times
        (n,) float64: ``r``; under any weights, and any routing, ``h_i >= r_i``.
    mean
        Their mean over all starts, which no weights can undercut.
    head
        (n,) int64: the head that should carry each node, -1 at the sink and where no head surely
        arrives.
    """

    times: Floats
    mean: float
    head: Ints


def routing_times(system: MultiHeadSystem) -> RoutingTimes:
    """Lower bounds of every hitting time over all head weights, and the routing that attains them.

    ``r_i = min_h (1 + Σ_{j>i} P_h[i, j] r_j) / Σ_{j>i} P_h[i, j]``: one backward pass, O(edges of
    all heads). ``inf`` where no head surely arrives.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.routing_times(both)
    >>> found.times.tolist(), found.mean, found.head.tolist()
    ([4.0, 2.5, 2.0, 0.0], 2.125, [1, 1, 0, -1])
    """
    n, count = system.nodes, system.heads
    best, which = np.empty(n), np.empty(n, dtype=np.int64)
    if system.dense is not None:
        leave, steps = np.zeros((2, count, n))
        sensitivity.routing_times(system.dense, leave, steps, best, which)
    else:
        assert system.sparse is not None
        laid = [sparse.lay(head) for head in system.sparse]
        joined = join([each.senders for each in laid])
        sent = np.stack([each.sums.sent for each in laid])
        cuts = row_bounds(joined.indptr.sum(axis=0) - joined.indptr[:, 0].sum(), CALL_EDGES)
        ahead = -AHEAD if 8 * n > NEAR_BYTES else 0
        for low, high in zip(cuts[-2::-1].tolist(), cuts[:0:-1].tolist(), strict=True):
            report("routing times", n - high, n)
            sensitivity.sparse_routing_times(*joined, sent, ahead, low, high, best, which)
    return RoutingTimes(best, float(best.mean()), which)
