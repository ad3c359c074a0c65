"""Would mixing help the best head? Conditions to first order, and the worst rate as a game."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.errors import NotDifferentiableError
from synergy_engine.measures.fidelity import TOLERANCE, fidelity, head_fidelities
from synergy_engine.measures.mixing import head_hitting_times, hitting_times
from synergy_engine.measures.sensitivity import (
    TIE,
    hitting_sensitivity,
    sensitivity,
)
from synergy_engine.measures.walks import clarity
from synergy_engine.operators.door import heads
from synergy_engine.system import MultiHeadSystem

TRIAL = 0.01
"""Weight that a head is tried with where the best head has no derivative."""

BINDING = 16
"""Nodes, and steps of each, that are taken as binding together at most."""

SELECTIONS = 256
"""Choices of one step for each binding node that are tried at most."""


@dataclass(frozen=True)
class Condition:
    """Which heads would make the best head better, if a little of them were mixed in.

    Attributes
    ----------
    best_head, value
        The best head (from 0), and its minimax fidelity or mean hitting time.
    slopes
        (H,) float64: the slope of the measure along ``(1-ε) e_best + ε e_h``; ``nan`` where the
        best head has no derivative.
    helps
        The heads (from 0) that make it better: each by itself or, where several nodes bind and no
        head raises all of them, those of `together`. Any at all prove that there is synergy; none
        does not prove the contrary, which `routing_bound` and `routing_times` may.
    together
        (H,) weights on the simplex: the direction in which it improves most to first order.
    slope
        The slope along it.
    nodes, times
        The nodes that bind the best head, and the steps at which each is heard best; empty for
        hitting times.
    how
        ``"first order"``; or ``"tried"``: where the best head has no derivative each head was
        given a weight of `TRIAL`.
    """

    best_head: int
    value: float
    slopes: Floats
    helps: tuple[int, ...]
    together: Floats
    slope: float
    nodes: tuple[int, ...]
    times: tuple[tuple[int, ...], ...]
    how: str


def synergy_condition(
    system: MultiHeadSystem, *, horizon: int | None = None, tolerance: float = TOLERANCE
) -> Condition:
    """Which heads would raise the best head's minimax fidelity, to first order.

    On the paths of the node (j, t) that binds the best head b, head k carries better than b does
    where ``d_k = Σ_s v_s D_k w_{t-1-s} - t φ > 0``: mixing in k then raises the minimum. Where
    several nodes bind, the direction is the linear program ``max_x min_j <d_j, x>``; where one of
    them has several best steps, any of these will do. O(t · H · edges) for each of these.

    Parameters
    ----------
    horizon, tolerance
        As in `engine.fidelity`.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.synergy_condition(both)
    >>> found.best_head, found.helps, found.slopes.round(6).tolist(), found.times
    (0, (1,), [0.0, 0.041667], ((3, 4),))
    """
    every = head_fidelities(system, horizon=horizon, tolerance=tolerance)
    best = int(np.argmax([found.minimax for found in every]))
    value = every[best].minimax
    alone = system.with_weights(np.eye(system.heads)[best])
    try:
        nodes, times, slopes = _binding(alone, horizon, tolerance)
    except NotDifferentiableError:
        options = {"horizon": horizon, "tolerance": tolerance}
        tried = [
            fidelity(system.with_weights(mixed), **options).minimax if k != best else value  # type: ignore[arg-type]
            for k, mixed in enumerate(_trials(system.heads, best))
        ]
        return _tried(system.heads, best, value, np.array(tried) - value)
    single = np.min([each.max(axis=0) for each in slopes], axis=0)
    together, slope = _direction(slopes, best)
    # Slopes are differences of numbers of this size.
    least = TIE * value * max(max(steps) for steps in times)
    helps = np.flatnonzero(single > least)
    if not len(helps) and slope > least:
        helps = np.flatnonzero(together > TIE)
        helps = helps[helps != best]
    return Condition(
        best, value, single, tuple(helps.tolist()), together, slope, nodes, times, "first order"
    )


def _binding(
    alone: MultiHeadSystem, horizon: int | None, tolerance: float
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], list[Floats]]:
    """The nodes that bind a system, their best steps, and the slopes (steps, H) at each."""
    first = sensitivity(alone, horizon=horizon, tolerance=tolerance)
    nodes = [first.node]
    if first.next_node_gap <= TIE * first.value:
        peak = fidelity(alone, horizon=horizon, tolerance=tolerance).node[:-1]
        nodes = np.flatnonzero(peak <= first.value * (1 + TIE))[:BINDING].tolist()
    times, slopes = [], []
    for node in nodes:
        found = sensitivity(alone, node=node, horizon=horizon, tolerance=tolerance)
        steps = [found.time]
        if found.next_time_gap <= TIE * found.value:
            assert found.next_time is not None
            heard = clarity(alone, node, max(found.time, found.next_time))
            steps = np.flatnonzero(heard >= found.value * (1 - TIE))[:BINDING].tolist()
        times.append(tuple(steps))
        slopes.append(
            np.stack(
                [
                    found.towards
                    if step == found.time
                    else sensitivity(alone, node=node, time=step).towards
                    for step in steps
                ]
            )
        )
    return tuple(nodes), tuple(times), slopes


def _direction(slopes: list[Floats], best: int) -> tuple[Floats, float]:
    """``max_x min_j max_t <d_jt, x>`` over the simplex, for slopes (steps, H) of each node j."""
    count = slopes[0].shape[1]
    if len(slopes) == 1:
        step, head = np.unravel_index(np.argmax(slopes[0]), slopes[0].shape)
        return np.eye(count)[head], float(slopes[0][step, head])
    found = np.eye(count)[best], 0.0
    for selection in islice(product(*slopes), SELECTIONS):
        x, value = _game(np.stack(selection))[:2]
        if value > found[1]:
            found = x, value
    return found


def _game(payoffs: Floats) -> tuple[Floats, float, Floats]:
    """``max_x min_j <payoffs_j, x>`` over the simplex: x, the value, and the multipliers of j."""
    from scipy.optimize import linprog  # SciPy's optimisers take a third of a second to load

    rows, count = payoffs.shape
    # Every row by its own size: its tolerance is absolute.
    size = np.abs(payoffs).max(axis=1)
    size[size == 0] = 1.0
    largest = float(size.min())
    scaled = np.hstack([-payoffs / size[:, None], (largest / size)[:, None]])
    solved = linprog(
        np.append(np.zeros(count), -1.0),
        A_ub=scaled,
        b_ub=np.zeros(rows),
        A_eq=np.append(np.ones(count), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * count + [(None, None)],
        method="highs",
    )
    x = np.clip(solved.x[:count], 0.0, None)
    x /= x.sum()
    multipliers = -solved.ineqlin.marginals * largest / size
    return x, float((payoffs @ x).min()), multipliers / multipliers.sum()


def _trials(count: int, best: int) -> Floats:
    """(H, H) weights: the best head with `TRIAL` of each."""
    return (1 - TRIAL) * np.eye(count)[best] + TRIAL * np.eye(count)


def _tried(count: int, best: int, value: float, gains: Floats) -> Condition:
    """The condition where each head was tried, which raises the measure by ``gains`` (H,)."""
    helps = np.flatnonzero(gains > TIE * abs(value)) if np.isfinite(value) else np.array([])
    return Condition(
        best_head=best,
        value=value,
        slopes=np.full(count, np.nan),
        helps=tuple(helps.tolist()),
        together=np.eye(count)[int(np.argmax(gains))],
        slope=np.nan,
        nodes=(),
        times=(),
        how="tried",
    )


def speed_condition(system: MultiHeadSystem) -> Condition:
    """Which heads would shorten the best head's mean hitting time, to first order.

    One step of head k, then the best head again, is sooner on average over its visits y where
    ``d_k = Σ_i y_i (1 + Σ_{j>i} P_k[i, j] (h_j - h_i)) < 0`` (policy improvement). O(H · edges).

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.speed_condition(both)  # head 2 is the best there can be
    >>> found.best_head, found.value, found.helps
    (1, 2.125, ())
    """
    every = head_hitting_times(system).mean(axis=1)
    best = int(np.argmin(every))
    value, count = float(every[best]), system.heads
    if not np.isfinite(value):
        tried = [hitting_times(system.with_weights(w)).mean() for w in _trials(count, best)]
        helps = np.flatnonzero(np.isfinite(tried))
        return Condition(
            best, value, np.full(count, np.nan), tuple(helps.tolist()),
            np.eye(count)[int(np.argmin(tried))], np.nan, (), (), "tried",
        )  # fmt: skip
    slopes = hitting_sensitivity(system.with_weights(np.eye(count)[best])).head
    helps = np.flatnonzero(slopes < -TIE * value)
    soonest = int(np.argmin(slopes))
    return Condition(
        best, value, slopes, tuple(helps.tolist()), np.eye(count)[soonest],
        float(slopes[soonest]), (), (), "first order",
    )  # fmt: skip


@dataclass(frozen=True)
class WorstRate:
    """The largest ``p = min_{i≠τ} Σ_h α_h (1 - P_h[i, i])``, the worst rate of moving on.

    Attributes
    ----------
    rate, weights
        p at ``weights`` (H,), the best there are. Worst-case mixing takes at most ``2 (n-1) / p``.
    at_most
        What the dual proves no weights exceed.
    heads
        (H,) float64: the rate of each head alone. The mixture beats them all where ``rate`` is
        larger.
    bottlenecks, multipliers
        The nodes that hold it down, and their shares in the dual, which sum to one.
    """

    rate: float
    weights: Floats
    at_most: float
    heads: Floats
    bottlenecks: tuple[int, ...]
    multipliers: tuple[float, ...]


def worst_rate(system: MultiHeadSystem) -> WorstRate:
    """Head weights whose slowest node moves on soonest: a matrix game, solved exactly.

    The walk is triangular, so its eigenvalues are its self-loops: ``1 - p`` is the largest below 1.
    p bounds mixing ([BP] Thm 2.9 with the sharper p of `bounds`). A linear program over the nodes
    that bind, added one by one. O(H · edges) and a program of a few rows.

    Two heads that are slow on opposite halves:

    >>> import numpy as np, synergy_engine as engine
    >>> forward = np.array([[0.05, 0.05, 0.95, 0.95], [0.95, 0.95, 0.05, 0.05]])
    >>> walks = [np.diag(np.append(1 - f, 1)) + np.diag(f, -1) for f in forward]
    >>> found = engine.worst_rate(engine.MultiHeadSystem.from_weights(walks))
    >>> round(found.rate, 9), found.heads.round(9).tolist(), found.weights.round(9).tolist()
    (0.5, [0.05, 0.05], [0.5, 0.5])
    """
    if system.nodes == 1:
        alone = np.full(system.heads, 1.0 / system.heads)
        return WorstRate(1.0, alone, 1.0, np.ones(system.heads), (), ())
    moving = heads(system, "walk").leaving()[:, :-1].T
    every = moving.min(axis=0)
    best = int(np.argmax(every))
    rows = sorted({*np.argmin(moving, axis=0).tolist(), int(np.argmin(moving.max(axis=1)))})
    while True:
        if not moving[rows].any(axis=1).all():
            stuck = int(np.argmin(moving.max(axis=1)))
            return WorstRate(0.0, np.eye(system.heads)[best], 0.0, every, (stuck,), (1.0,))
        weights, rate, multipliers = _game(moving[rows])
        worst = int(np.argmin(mixed := moving @ weights))
        if worst in rows or mixed[worst] >= rate * (1 - TOLERANCE):
            break
        rows.append(worst)
    at_most = float((multipliers @ moving[rows]).max())
    rate = float(mixed[worst])
    if every[best] >= rate:  # a single head is as good: no rounding of the program in its answer
        weights, rate = np.eye(system.heads)[best], float(every[best])
    held = [place for place in np.argsort(rows) if multipliers[place] > TIE]
    return WorstRate(
        rate=rate,
        weights=weights,
        at_most=max(rate, at_most),
        heads=every,
        bottlenecks=tuple(rows[place] for place in held),
        multipliers=tuple(float(multipliers[place]) for place in held),
    )
