"""How soon: arrival curves and mixing times, in every convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import EngineError, choose
from .operators import Stack, Survival, heads, mixture
from .system import MultiHeadSystem
from .walks import Combine

Floats = npt.NDArray[np.float64]
Distance = Literal["tv", "l1"]
Aggregate = Literal["max", "mean"]
Direction = Literal["forward", "backward"]

MAX_STEPS = 10_000

CONVENTIONS: tuple[tuple[Distance, Aggregate], ...] = (
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
        Whether it is known to be infinite: some node cannot reach the target.
    """

    steps: int | None
    censored_at: int | None = None
    infinite: bool = False

    def __str__(self) -> str:
        if self.infinite:
            return "inf"
        return f"> {self.censored_at}" if self.steps is None else str(self.steps)

    def __float__(self) -> float:
        return float("inf") if self.steps is None else float(self.steps)

    @property
    def value(self) -> int | float | str:
        """The number of steps, ``inf``, or the text ``"> 10000"``."""
        if self.infinite:
            return float("inf")
        return f"> {self.censored_at}" if self.steps is None else self.steps


def levels(epsilon: float) -> tuple[list[float], list[bool]]:
    """Survival levels of the four `CONVENTIONS` and whether the mean is meant.

    L1 is twice total variation, so ``l1 < ε`` is ``survival < ε/2``.
    """
    if not 0 < epsilon < 1:
        raise EngineError(f"epsilon is {epsilon}; it must lie between 0 and 1.")
    return (
        [epsilon if distance == "tv" else epsilon / 2 for distance, _ in CONVENTIONS],
        [aggregate == "mean" for _, aggregate in CONVENTIONS],
    )


def arrival(system: MultiHeadSystem, steps: int, *, combine: Combine = "walks") -> Floats:
    """Arrival probabilities ``a_i(t) = (P^t)[i, τ]`` for t = 0 … steps: (steps+1, n) float64.

    O(edges) a step. Total variation distance to the stationary ``δ_τ`` is ``1 - a_i(t)``.

    >>> import engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> engine.arrival(line, 3)[:, 0]
    array([0.  , 0.  , 0.25, 0.5 ])
    """
    if steps < 0:
        raise EngineError(f"steps is {steps}; it must be 0 or more.")
    start = np.ones(system.nodes)
    start[-1] = 0.0
    survival = mixture(system, "walk", combine).trajectory(start, steps, pulled=False)
    return arrived(survival)


def arrived(survival: Floats) -> Floats:
    """Arrival from survival; rounding may put a survival an ulp above 1, never a probability."""
    return np.maximum(1.0 - survival, 0.0)


def mixing_times(
    stack: Stack,
    *,
    epsilon: float = 0.25,
    direction: Direction = "forward",
    max_steps: int = MAX_STEPS,
) -> list[dict[tuple[Distance, Aggregate], MixingTime]]:
    """All four mixing times of every operator of a stack."""
    where, of_mean = levels(epsilon)
    state = Survival.start(
        stack.count,
        stack.nodes,
        levels=where,
        of_mean=of_mean,
        pulled=choose("direction", direction, ("forward", "backward")) == "backward",
    )
    stack.survive(state, max_steps)
    return [
        {
            convention: MixingTime(int(t)) if t >= 0 else MixingTime(None, max_steps)
            for convention, t in zip(CONVENTIONS, row, strict=True)
        }
        for row in state.crossing
    ]


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
    one; [FF] plots ``distance="l1", aggregate="mean"``. ``direction="backward"`` measures the chain
    with rows ``D[j, :]`` absorbed at node 0 ([RV]). Never capped silently: beyond ``max_steps`` the
    answer says ``> max_steps``.

    >>> import engine
    >>> line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(7)]])
    >>> [engine.mixing_time(line, distance=d, aggregate=a).steps
    ...  for d in ("tv", "l1") for a in ("max", "mean")]
    [16, 11, 18, 13]
    >>> print(engine.mixing_time(line, max_steps=10))
    > 10
    """
    choose("distance", distance, ("tv", "l1"))
    choose("aggregate", aggregate, ("max", "mean"))
    choose("direction", direction, ("forward", "backward"))
    if max_steps < 0:
        raise EngineError(f"max_steps is {max_steps}; it must be 0 or more.")
    kind: Literal["walk", "diffusion"] = "walk" if direction == "forward" else "diffusion"
    stack = mixture(system, kind, combine)
    found = mixing_times(stack, epsilon=epsilon, direction=direction, max_steps=max_steps)[0]
    time = found[distance, aggregate]
    if time.steps is None:
        reach = stack.hitting() if direction == "forward" else stack.hitting_backward()
        if np.isinf(reach).any() and aggregate == "max":
            return MixingTime(None, max_steps, infinite=True)
    return time


def head_mixing_times(
    system: MultiHeadSystem, *, epsilon: float = 0.25, max_steps: int = MAX_STEPS
) -> list[MixingTime]:
    """Worst-case total-variation mixing time of every head alone."""
    found = mixing_times(heads(system, "walk"), epsilon=epsilon, max_steps=max_steps)
    return [times["tv", "max"] for times in found]
