"""Because of what: derivatives of fidelity and of hitting times by head, by edge and by logit."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.errors import NotDifferentiableError, at_least
from synergy_engine.limits import refuse_if_too_large, report
from synergy_engine.measures.fidelity import TOLERANCE, run_peaks
from synergy_engine.measures.walks import check_node, refuse_large
from synergy_engine.operators.door import heads, mixture
from synergy_engine.operators.layout import reciprocal
from synergy_engine.operators.stack import Stack
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem

TIE = 1e-9
"""Relative difference within which two nodes, or two steps, bind together."""


@dataclass(frozen=True)
class Sensitivity:
    """Derivatives of ``f = (D^t)[τ, j]``, the fidelity of one node at its best step.

    Attributes
    ----------
    node, time, value
        ``j``, ``t`` and ``f``.
    head
        (H,) float64: ``g_h = ∂f/∂β_h``, each weight changed alone.
    towards
        (H,) ``d_h = g_h - t f``: the slope of ``β ← (1-ε) β + ε e_h``, which keeps the sum at one;
        ``Σ β_h d_h = 0``.
    carriage
        (H,) ``β_h g_h / (t f)``: the share of the steps on the node's paths to the sink that head h
        carries. Sums to 1.
    switch
        (H, H): ``[h, k]`` is the expected number of times that head h carries the step right after
        one carried by head k. Sums to ``t - 1``; all zero at ``t = 1``, where nothing composes.
    next_node, next_node_gap
        The other node with the smallest fidelity seen, and how far that lies above ``value``
        (negative where ``node`` was asked for and does not bind). Where it still grew when the
        minimum was certified, the gap is a lower bound.
    next_time, next_time_gap
        The second best step of the node, and how far it falls short of ``value``. ``None`` and
        ``inf`` where ``time`` was given.
    kink
        Whether another node or another step ties within `TIE`, relatively: the minimum, or the
        maximum, then has no single gradient and this is one of several.
    converged
        Whether the certificate of the node's fidelity closed within the horizon.
    """

    node: int
    time: int
    value: float
    head: Floats
    towards: Floats
    carriage: Floats
    switch: Floats
    next_node: int | None
    next_node_gap: float
    next_time: int | None
    next_time_gap: float
    kink: bool
    converged: bool
    system: MultiHeadSystem = field(repr=False)
    rows: Floats = field(repr=False)
    """(t, n) ``v_0 … v_{t-1}``: the sink's row ``e_τ D^s``."""
    columns: Floats = field(repr=False)
    """(t, n) ``w_0 … w_{t-1}``: the node's column ``D^s e_j``."""

    @property
    def composes(self) -> bool:
        """Whether the best paths take more than one step, so that heads can compose at all."""
        return self.time > 1

    @cached_property
    def edge(self) -> Floats | tuple[Floats, ...]:
        """``G[a, b] = ∂f/∂D[a, b] = Σ_s v_s[a] w_{t-1-s}[b]`` for receiver a and sender b.

        (n, n) for dense heads, zero above the diagonal, where no edge can be; for sparse heads a
        tuple with one (edges,) array for each, in its storage order. O(t · edges).
        """
        if self.system.sparse is None:
            refuse_large(self.system)
            return np.tril(self.rows.T @ self.columns[::-1])
        return tuple(self._on_edges(head) for head in self.system.sparse)

    def logits(self) -> Floats | tuple[Floats, ...]:
        """``∂f/∂S_h[a, b] = β_h D_h[a, b] (G[a, b] - Σ_k D_h[a, k] G[a, k])`` for logits S.

        (H, n, n) for dense heads, or one (edges,) array for each sparse head. O(H · edges), and
        O(t · edges) for `edge`.
        """
        return self._by_head(of_logits=True)

    def weights(self) -> Floats | tuple[Floats, ...]:
        """``∂f/∂A_h[a, b] = β_h (G[a, b] - Σ_k D_h[a, k] G[a, k]) / r_h[a]`` for raw weights A.

        ``r`` are the row sums; ``nan`` in rows that hear nothing, where any weight takes all.
        Shapes and cost are those of `logits`.
        """
        return self._by_head(of_logits=False)

    def _by_head(self, *, of_logits: bool) -> Floats | tuple[Floats, ...]:
        shares = self.system.weights
        if self.system.dense is not None:
            raw = self.system.dense.astype(np.float64)
            sums = np.ones(raw.shape[:2]) if self.system.learned_sinks else raw.sum(axis=2)
            scale = reciprocal(sums)[:, :, None]
            gradient = np.asarray(self.edge)
            own = gradient - (raw * scale * gradient).sum(axis=2, keepdims=True)
            slope = shares[:, None, None] * own * scale
            if of_logits:
                return slope * raw
            return np.tril(np.where(scale > 0, slope, np.nan))
        assert self.system.sparse is not None
        found = []
        for head, share, gradient in zip(self.system.sparse, shares, self.edge, strict=True):
            receivers = head.receivers()
            raw = np.ones(head.edges) if head.weights is None else head.weights
            scale = reciprocal(np.bincount(receivers, raw, head.nodes).astype(np.float64))
            mean = scale * np.bincount(receivers, raw * gradient, head.nodes)
            slope = share * scale[receivers] * (gradient - mean[receivers])
            found.append(slope * raw if of_logits else slope)
        return tuple(found)

    def _on_edges(self, head: SparseHead) -> Floats:
        receivers, total = head.receivers(), np.zeros(head.edges)
        for s, (row, column) in enumerate(zip(self.rows, self.columns[::-1], strict=True)):
            report("gradient by edge", s, self.time)
            total += row[receivers] * column[head.indices]
        return total


def sensitivity(
    system: MultiHeadSystem,
    *,
    node: int | None = None,
    time: int | None = None,
    horizon: int | None = None,
    tolerance: float = TOLERANCE,
) -> Sensitivity:
    """Derivatives of the minimax fidelity by head, edge and logit, and who carries it.

    With ``v_s = e_τ D^s`` and ``w_s = D^s e_j``, ``∂f/∂D[a, b] = Σ_s v_s[a] w_{t-1-s}[b]`` for the
    binding node j at its best step t (the adjoint method), hence ``g_h = Σ_s v_s D_h w_{t-1-s}``.
    f is homogeneous of degree t in the head weights, so ``Σ β_h g_h = t f`` (Euler) and shares of
    it say which head carries how many of the steps. Exact; O(t · H · edges) time, O(t · n) memory.

    Parameters
    ----------
    node
        The node to ask about; by default the one whose fidelity is the smallest, the sink
        excluded.
    time
        The step to ask about, for the derivative of ``(D^t)[τ, j]`` itself, as for a depth-limited
        fidelity (`fidelity` with a horizon gives node and step); by default the node's best one.
    horizon, tolerance
        As in `engine.fidelity`.

    Raises
    ------
    NotDifferentiableError
        Where the supremum is not attained (or only at the horizon, which then cuts it off), where f
        is 0, and for a single node.

    Examples
    --------
    Example 2 of [BP]: node w binds after one step, of which head 1 carries .6.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.sensitivity(both)
    >>> found.node, found.time, found.carriage.round(9).tolist(), found.composes
    (2, 1, [0.6, 0.4], False)
    >>> engine.sensitivity(both, node=1).switch.round(6).tolist()
    [[0.440154, 0.509653], [0.432432, 0.617761]]
    """
    if system.nodes == 1:
        raise NotDifferentiableError("There is one node, the sink: nothing is to be heard there.")
    if node is not None:
        check_node(system, node)
    stack = mixture(system, "diffusion")
    if time is None:
        best = _best_step(system, stack, node, horizon, tolerance)
    else:
        best = _given_step(system, stack, node, at_least("time", time, 1))
    if best.value == 0:
        raise NotDifferentiableError(
            f"The sink never hears node {system.name(best.node)}: its fidelity is 0, of which "
            "there are no shares."
        )
    columns = powers(stack, best.node, best.time, pulled=True)
    head, pairs = heads(system, "diffusion").carried(best.rows, columns)
    t, f, shares = best.time, best.value, system.weights
    return Sensitivity(
        node=best.node,
        time=t,
        value=f,
        head=head,
        towards=head - t * f,
        carriage=shares * head / (t * f),
        switch=shares[:, None] * shares * pairs / f,
        next_node=best.next_node,
        next_node_gap=best.next_node_gap,
        next_time=best.next_time,
        next_time_gap=best.next_time_gap,
        kink=(node is None and best.next_node_gap <= TIE * f) or best.next_time_gap <= TIE * f,
        converged=best.converged,
        system=system,
        rows=best.rows,
        columns=columns,
    )


@dataclass(frozen=True)
class _Step:
    """The node and the step to differentiate, and what comes next to them."""

    node: int
    time: int
    value: float
    rows: Floats
    converged: bool
    next_node: int | None
    next_node_gap: float
    next_time: int | None
    next_time_gap: float


def _best_step(
    system: MultiHeadSystem, stack: Stack, node: int | None, horizon: int | None, tolerance: float
) -> _Step:
    """The node that binds, or ``node``, at its best step; refused where there is none."""
    state = run_peaks(stack, tolerance=tolerance, horizon=horizon, every_node=False)
    peak, clock = state.peak[0], int(state.clock[0])
    j = int(np.argmin(peak[:-1])) if node is None else node
    converged = bool(state.state[0, j:].sum() <= peak[j] * (1 + tolerance))
    if not converged and (horizon is None or clock < horizon):
        # The minimum is certain, this node is not yet: the certificate of each closes its own.
        state = run_peaks(stack, tolerance=tolerance, horizon=horizon, every_node=True)
        peak, clock = state.peak[0], int(state.clock[0])
        converged = bool(state.state[0, j:].sum() <= peak[j] * (1 + tolerance))
    time, value, name = int(state.time[0, j]), float(peak[j]), system.name(j)
    if time == 0 and value > 0:
        raise NotDifferentiableError("The sink hears itself at once: no head has a part in it.")
    if value > 0 and time == clock and not converged:
        raise NotDifferentiableError(
            f"The sink hears node {name} best after {clock:,} steps, where the horizon cut it off: "
            "the supremum is not known to be attained. A larger horizon may attain it; with a time "
            "the derivative is that of this step."
        )
    if stack.hears_none(j) and value > 0:
        _refuse_approached(system, stack, j, time, value)
    rows, curve = _rows_and_curve(stack, j, time, max(clock, time + 1))
    others = np.delete(peak[:-1], j) if j < system.sink else peak[:-1]
    second = int(np.argmin(others)) if len(others) else None
    curve[time] = -np.inf
    later = int(np.argmax(curve))
    return _Step(
        node=j,
        time=time,
        value=value,
        rows=rows,
        converged=converged,
        next_node=None if second is None else second + (second >= j),
        next_node_gap=np.inf if second is None else float(others[second]) - value,
        next_time=later,
        next_time_gap=value - float(curve[later]),
    )


def _given_step(system: MultiHeadSystem, stack: Stack, node: int | None, time: int) -> _Step:
    """The node that is heard least after ``time`` steps, or ``node``."""
    rows = powers(stack, system.sink, time + 1, pulled=False)
    heard = rows[-1]
    j = int(np.argmin(heard[:-1])) if node is None else node
    others = heard[:-1].copy()
    others[j : j + 1] = np.inf
    second = int(np.argmin(others)) if np.isfinite(others).any() else None
    gap = np.inf if second is None else float(others[second] - heard[j])
    return _Step(j, time, float(heard[j]), rows[:-1], True, second, gap, None, np.inf)


def _refuse_approached(
    system: MultiHeadSystem, stack: Stack, j: int, time: int, value: float
) -> None:
    """Refuse a node that keeps all that it is ever heard with, while more is still on its way.

    A node that hears no other only gains: it is at its best once nothing can reach it any more.
    """
    row = powers(stack, system.sink, time + 1, pulled=False)[-1]
    if row[j + 1 :][stack.ways_to(j)[j + 1 :]].any():
        raise NotDifferentiableError(
            f"Node {system.name(j)} hears no other, and the sink hears it ever more clearly, up to "
            f"{value:.6g}: the supremum is approached and not attained. With a time the derivative "
            "is that of this step."
        )


def powers(stack: Stack, node: int, count: int, *, pulled: bool) -> Floats:
    """(count, n): ``e M^s``, or ``M^s e`` when ``pulled``, of the unit vector of a node."""
    start = np.zeros(stack.nodes)
    start[node] = 1.0
    return stack.trajectory(start, count - 1, pulled=pulled)


def _rows_and_curve(stack: Stack, node: int, time: int, last: int) -> tuple[Floats, Floats]:
    """The sink's rows before ``time``, and how clearly it hears ``node`` at times 0 … last."""
    n = stack.nodes
    refuse_if_too_large(8 * (2 * time * n + last), f"{time:,} steps of {n:,} nodes, twice")
    rows, curve = np.empty((time, n)), np.empty(last + 1)
    start = np.zeros(n)
    start[-1] = 1.0
    for first, block in stack.trajectory_blocks(start, last):
        curve[first : first + len(block)] = block[:, node]
        kept = block[: max(0, time - first)]
        rows[first : first + len(kept)] = kept
    return rows, curve


@dataclass(frozen=True)
class HittingSensitivity:
    """Derivatives of the mean hitting time ``T = Σ_i h_i / n``.

    Attributes
    ----------
    mean
        T, in steps.
    hitting
        (n,) float64: ``h``, the expected steps from each node.
    visits
        (n,) ``y``: how often a walk from a start drawn evenly is expected to be at each node, 0 at
        the sink. ``∂T/∂P[i, j] = y_i h_j`` where ``P[i, i]`` is left alone.
    head
        (H,) ``d_h``: the slope of ``α ← (1-ε) α + ε e_h``, negative where more of head h is
        sooner; ``Σ α_h d_h = 0``.
    """

    mean: float
    hitting: Floats
    visits: Floats
    head: Floats
    system: MultiHeadSystem = field(repr=False)

    @cached_property
    def edge(self) -> Floats | tuple[Floats, ...]:
        """``y_i (h_j - h_i)``: the slope by ``P[i, j]``, self-loop i → i giving what it takes.

        (n, n) upper triangular, rows = senders, as `engine.walk`; for sparse heads a tuple with
        one (edges,) array for each, in its storage order.
        """
        h, y = self.hitting, self.visits
        if self.system.sparse is None:
            refuse_large(self.system)
            return np.triu(y[:, None] * (h - h[:, None]))
        return tuple(
            y[head.indices] * (h[head.receivers()] - h[head.indices]) for head in self.system.sparse
        )


def hitting_sensitivity(system: MultiHeadSystem) -> HittingSensitivity:
    """Derivatives of the mean hitting time by head and by edge, in one more pass.

    With visits ``y_i = (1/n + Σ_{k<i} y_k P_ki) / Σ_{j>i} P_ij``, found by forward substitution,
    ``d_h = Σ_{i≠τ} y_i (1 + Σ_{j>i} P_h[i, j] (h_j - h_i))``. Exact; O(H · edges). Walks are
    mixed as `engine.walk` does by default.

    Raises
    ------
    NotDifferentiableError
        Where some walk may never arrive: T is infinite.

    Examples
    --------
    Example 2 of [BP]: at even weights more of head 2 is sooner.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> engine.hitting_sensitivity(both).head.round(6).tolist()
    [0.418367, -0.418367]
    """
    stack = mixture(system, "walk")
    h = stack.hitting()[0]
    if not np.isfinite(h[0]) or not np.isfinite(h).all():
        lost = np.flatnonzero(~np.isfinite(h))
        raise NotDifferentiableError(
            f"From {len(lost):,} of {system.nodes:,} nodes, node {system.name(int(lost[0]))} the "
            "first, the walk may never arrive: the mean hitting time is infinite."
        )
    y = stack.visits()[0]
    # The time that each step itself takes, and what is gained by where it leads.
    head = float(y.sum()) + heads(system, "walk").slopes(h, y)
    return HittingSensitivity(float(h.mean()), h, y, head, system)
