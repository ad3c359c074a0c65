"""How soon: arrival curves and mixing times, in every convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synergy_engine.arrays import Bools, Floats
from synergy_engine.errors import EngineError, at_least, choose
from synergy_engine.kernels.states import Survival
from synergy_engine.operators.dense import raw_hitting
from synergy_engine.operators.door import heads, mixture
from synergy_engine.operators.stack import Combine, Kind, Stack
from synergy_engine.system import MultiHeadSystem

Distance = Literal["tv", "l1"]
Aggregate = Literal["max", "mean"]
Direction = Literal["forward", "backward"]

MAX_STEPS = 10_000

SMALLEST_EPSILON = 1e-20
"""Survival below 1e-30 is cut to zero on the way; a distance this small still stands clear."""

MIXING_TIMES: tuple[tuple[Distance, Aggregate], ...] = (
    ("tv", "max"),
    ("tv", "mean"),
    ("l1", "max"),
    ("l1", "mean"),
)


@dataclass(frozen=True)
class MixingTime:
    """A mixing time, or the fact that it lies beyond the steps looked at.

    Attributes
    ----------
    steps
        The mixing time; ``None`` when censored.
    censored_at
        How many steps were looked at when it is censored, else ``None``.
    infinite
        Whether it is known to be infinite: too many starts cannot reach the target.
    distance, aggregate, epsilon, direction, combine
        The convention that was followed; `mixing_time` explains it.
    """

    steps: int | None
    censored_at: int | None = None
    infinite: bool = False
    distance: Distance = "tv"
    aggregate: Aggregate = "max"
    epsilon: float = 0.25
    direction: Direction = "forward"
    combine: Combine = "walks"

    def __str__(self) -> str:
        return str(self.value)

    def __float__(self) -> float:
        return float("inf") if self.steps is None else float(self.steps)

    @property
    def value(self) -> int | float | str:
        """The number of steps, ``inf``, or the text ``"> 10000"``."""
        if self.infinite:
            return float("inf")
        return f"> {self.censored_at}" if self.steps is None else self.steps


@dataclass(frozen=True)
class ArrivalTimes:
    """When a share of the walks has arrived.

    Attributes
    ----------
    steps
        (n,) float64: the first ``t`` with ``a_i(t) >= share`` for walks from each node; ``inf``
        where there is none within ``max_steps``.
    from_anywhere
        The same for a walk from a node drawn uniformly: the first ``t`` with mean ``a_i(t) >=
        share``.
    censored
        (n,) bool: where ``inf`` only means ``> max_steps``. Elsewhere it means never: the node has
        no way to the sink.
    share, max_steps, combine
        What was asked for.
    """

    steps: Floats
    from_anywhere: float
    censored: Bools
    share: float
    max_steps: int
    combine: Combine


def levels(epsilon: float) -> tuple[list[float], list[bool]]:
    """Survival levels of the four `MIXING_TIMES` and whether the mean is meant.

    L1 is twice total variation, so ``l1 < ε`` is ``survival < ε/2``.
    """
    if not SMALLEST_EPSILON <= epsilon <= 2:
        raise EngineError(
            f"epsilon is {epsilon}; it must lie between {SMALLEST_EPSILON:g} and 2, "
            "the largest L1 distance."
        )
    return (
        [epsilon if distance == "tv" else epsilon / 2 for distance, _ in MIXING_TIMES],
        [aggregate == "mean" for _, aggregate in MIXING_TIMES],
    )


def arrival(system: MultiHeadSystem, steps: int, *, combine: Combine = "walks") -> Floats:
    """Arrival probabilities ``a_i(t) = (P^t)[i, τ]`` for t = 0 … steps: (steps+1, n) float64.

    The distribution function of the arrival, one column per start; `arrival_times` has its median.
    Total variation distance to the stationary ``δ_τ`` is ``1 - a_i(t)``, L1 twice that. O(edges) a
    step; refused where that many numbers would not fit in memory. ``combine`` is as in
    `engine.walk`. Source: [FF].

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> engine.arrival(line, 3)[:, 0]
    array([0.  , 0.  , 0.25, 0.5 ])
    """
    stack = mixture(system, "walk", combine)
    survival = stack.trajectory(stack.all_but_sink(), at_least("steps", steps, 0), pulled=False)
    return arrived(survival)


def arrival_times(
    system: MultiHeadSystem,
    share: float = 0.5,
    *,
    combine: Combine = "walks",
    max_steps: int = MAX_STEPS,
) -> ArrivalTimes:
    """First step by which ``share`` of the walks from each node has arrived; ½ is the median.

    ``min{t : a_i(t) >= share}`` with ``a_i(t) = (P^t)[i, τ]``, the distribution function of the
    arrival (`arrival`). It stays small where the mean is dominated by rare, endless walks. O(edges)
    a step, until all nodes that can have passed.

    Parameters
    ----------
    share
        Above 0, at most 1.
    combine
        As in `engine.walk`.
    max_steps
        How far to look.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    >>> engine.arrival_times(line).steps
    array([5., 3., 1., 0.])
    """
    if not 0 < share <= 1:
        raise EngineError(f"share is {share}; it must lie above 0 and at most at 1.")
    at_least("max_steps", max_steps, 0)
    stack = mixture(system, "walk", combine)
    lost = ~stack.reaching()[0]
    steps, from_anywhere = np.full(system.nodes, np.inf), np.inf
    for first, survival in stack.survival_blocks(max_steps + 1):
        passed = survival <= 1 - share
        new = passed.any(axis=0) & np.isinf(steps)
        steps[new] = first + passed[:, new].argmax(axis=0)
        enough = survival.mean(axis=1) <= 1 - share
        if np.isinf(from_anywhere) and enough.any():
            from_anywhere = float(first + enough.argmax())
        if np.all(np.isfinite(steps) | lost) and np.isfinite(from_anywhere):
            break
    return ArrivalTimes(steps, from_anywhere, np.isinf(steps) & ~lost, share, max_steps, combine)


def arrived(survival: Floats) -> Floats:
    """Arrival from survival; rounding may put a survival an ulp above 1, never a probability."""
    return np.maximum(1.0 - survival, 0.0)


def mixing_times(
    stack: Stack,
    *,
    epsilon: float = 0.25,
    direction: Direction = "forward",
    max_steps: int = MAX_STEPS,
    combine: Combine = "walks",
) -> list[dict[tuple[Distance, Aggregate], MixingTime]]:
    """All four mixing times of every operator of a stack, made with ``combine``."""
    where, of_mean = levels(epsilon)
    at_least("max_steps", max_steps, 0)
    state = Survival.start(
        stack.count,
        stack.nodes,
        levels=where,
        of_mean=of_mean,
        pulled=choose("direction", direction, ("forward", "backward")) == "backward",
    )
    stack.survive(state, max_steps)
    never = np.zeros(state.crossing.shape, dtype=bool)
    if np.any(state.crossing < 0):
        never = _never(stack, where, of_mean, direction)
    return [
        {
            (distance, aggregate): MixingTime(
                int(crossing[c]) if crossing[c] >= 0 else None,
                None if crossing[c] >= 0 else max_steps,
                bool(crossing[c] < 0 and infinite[c]),
                distance,
                aggregate,
                epsilon,
                direction,
                combine,
            )
            for c, (distance, aggregate) in enumerate(MIXING_TIMES)
        }
        for crossing, infinite in zip(state.crossing, never, strict=True)
    ]


def _never(stack: Stack, where: list[float], of_mean: list[bool], direction: Direction) -> Bools:
    """Which levels survival surely never falls below, (count, levels)."""
    if direction == "forward":
        lost, cut_off = np.isinf(stack.hitting()), ~stack.reaching()
    else:
        # Who may end elsewhere hears a source that is not node 0, and that source never arrives.
        lost = np.isinf(stack.hitting_backward())
        cut_off = np.zeros_like(lost)
    # A start that may miss the target passes a node that never arrives, whose survival stays 1.
    worst, share = lost.any(axis=1).astype(float), cut_off.mean(axis=1)
    limit = np.where(of_mean, share[:, None], worst[:, None])
    return limit >= where


def mixing_time(
    system: MultiHeadSystem,
    *,
    distance: Distance = "tv",
    aggregate: Aggregate = "max",
    epsilon: float = 0.25,
    direction: Direction = "forward",
    max_steps: int = MAX_STEPS,
    combine: Combine = "walks",
) -> MixingTime:
    """Smallest ``t >= 0`` at which the distance to the stationary state is below ``epsilon``.

    ``min{t : agg_i dist_i(t) < ε}``, strict, with ``dist`` total variation (``1 - a_i(t)``) or L1
    (twice that) and ``agg`` the worst or the mean over all n starts. The default is the textbook
    one; [FF] plots ``distance="l1", aggregate="mean"``. Never capped silently: beyond ``max_steps``
    the result is ``> max_steps``, or ``inf`` where some start (in the mean: enough of them) has
    no way to the target. O(edges) per step; dense systems look far ahead by their slow modes, and
    up to 320 nodes by squaring. Distances within rounding of ``ε`` (1e-13 or so) may fall on
    either side.

    Parameters
    ----------
    distance, aggregate
        ``"tv"`` or ``"l1"``; ``"max"`` or ``"mean"``.
    epsilon
        From 1e-20 to 2.
    direction
        ``"forward"`` is the walk to the sink; ``"backward"`` the chain with rows ``D[j, :]``
        absorbed at node 0 ([RV]).
    max_steps
        How far to look.
    combine
        As in `engine.walk`; it concerns forward walks only.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(7)]])
    >>> [engine.mixing_time(line, distance=d, aggregate=a).steps
    ...  for d in ("tv", "l1") for a in ("max", "mean")]
    [16, 11, 18, 13]
    >>> print(engine.mixing_time(line, max_steps=10))
    > 10
    """
    _check(distance, aggregate, direction)
    stack = mixture(system, _kind(direction), combine)
    found = mixing_times(
        stack, epsilon=epsilon, direction=direction, max_steps=max_steps, combine=combine
    )
    return found[0][distance, aggregate]


def head_mixing_times(
    system: MultiHeadSystem,
    *,
    distance: Distance = "tv",
    aggregate: Aggregate = "max",
    epsilon: float = 0.25,
    direction: Direction = "forward",
    max_steps: int = MAX_STEPS,
) -> list[MixingTime]:
    """Mixing time of every head alone, computed together; options as in `mixing_time`.

    O(H · edges) per step.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> [time.steps for time in engine.head_mixing_times(both)]
    [7, 5]
    """
    _check(distance, aggregate, direction)
    stack = heads(system, _kind(direction))
    found = mixing_times(stack, epsilon=epsilon, direction=direction, max_steps=max_steps)
    return [times[distance, aggregate] for times in found]


def _check(distance: str, aggregate: str, direction: str) -> None:
    choose("distance", distance, ("tv", "l1"))
    choose("aggregate", aggregate, ("max", "mean"))
    choose("direction", direction, ("forward", "backward"))


def _kind(direction: Direction) -> Kind:
    """The chain of a direction: the walk to the sink, or the diffusion's rows back to node 0."""
    return "walk" if direction == "forward" else "diffusion"


def hitting_times(
    system: MultiHeadSystem, *, combine: Combine = "walks", cap: int | None = None
) -> Floats:
    """Expected steps of the walk from every node to the sink, exactly: (n,) float64.

    ``h_τ = 0`` and ``h_i = (1 + Σ_{j>i} P_ij h_j) / Σ_{j>i} P_ij``: one backward substitution over
    a triangular matrix, O(edges). Off-diagonals are summed and ``1 - P_ii`` is never formed (the
    idea of Grassmann, Taksar and Heyman, 1985), so a self-loop of 1 - 1e-14 costs no digits.
    ``inf`` where the walk may never arrive. Source: [BP].

    Parameters
    ----------
    combine
        As in `engine.walk`.
    cap
        Cut walks off after that many steps: ``E_i[min(steps, cap)] = Σ_{t<cap} P_i(steps > t)``,
        finite always; O(cap · edges).

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    >>> engine.hitting_times(line)
    array([6., 4., 2., 0.])
    >>> engine.hitting_times(line, cap=3)
    array([3.  , 2.75, 1.75, 0.  ])
    """
    stack = mixture(system, "walk", combine)
    if cap is None:
        return stack.hitting()[0]
    total = np.zeros(system.nodes)
    for _, survival in stack.survival_blocks(at_least("cap", cap, 0)):
        total += survival.sum(axis=0)
    return total


def head_hitting_times(system: MultiHeadSystem) -> Floats:
    """Expected steps to the sink in every head alone: (H, n) float64, O(edges).

    `hitting_times` of ``P_h``, all heads together; ``inf`` where the head's walk may never arrive.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2), (1, 2)]])
    >>> engine.head_hitting_times(both)
    array([[4., 2., 0.],
           [2., 2., 0.]])
    """
    if system.dense is not None:
        return raw_hitting(system.dense)
    return heads(system, "walk").hitting()


def backward_hitting_times(system: MultiHeadSystem) -> Floats:
    """Expected steps of the reversed chain from every node to node 0: (n,) float64, O(edges).

    The chain has rows ``D[j, :]`` and stops at node 0: ``h_0 = 0`` and ``h_j = (1 + Σ_{i<j} D_ji
    h_i) / Σ_{i<j} D_ji``. ``inf`` where it may end at another node that hears none. Source: [RV].

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    >>> engine.backward_hitting_times(line)
    array([0., 2., 4., 6.])
    """
    return mixture(system, "diffusion").hitting_backward()[0]
