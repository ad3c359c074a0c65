"""Head weights that make the system clearest, or soonest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.errors import choose, whole_number
from synergy_engine.kernels.states import Survival
from synergy_engine.measures.fidelity import minima, run_peaks
from synergy_engine.measures.mixing import MAX_STEPS, levels, mixing_time
from synergy_engine.measures.optimum import climb, climb_from, fidelity_interval
from synergy_engine.measures.routing import routing_times
from synergy_engine.operators import sparse
from synergy_engine.operators.dense import mixture_stack
from synergy_engine.operators.stack import COMBINATIONS, Combine, Kind, Stack
from synergy_engine.system import MultiHeadSystem

Objective = Literal["fidelity", "mixing", "hitting"]

SMALLEST_STEP = 1e-7
GRID = 201
BATCH_BYTES = 256 * 2**20
TOLERANCE = 1e-10
HORIZON = 10_000


@dataclass(frozen=True)
class OptimalWeights:
    """The best head weights that were found.

    Attributes
    ----------
    weights
        (H,) float64, summing to one.
    value
        The objective there: ``φ_min``, or the mixing time in steps (``inf`` where it lies beyond
        ``max_steps``), or the mean hitting time.
    objective, epsilon, combine
        What was asked for; `optimal_weights` explains it.
    lower, upper
        The best value that any weights give lies between them, up to rounding. For fidelity
        ``upper`` comes from branch and bound up to four heads, beyond them from `routing_bound`;
        for hitting times ``lower`` is the mean of `routing_times`; for mixing times it is 0: no
        bound is known.
    how
        How it was searched. The objective is not concave: the best found is not a proof.
    evaluations
        How many weights were tried.
    """

    weights: Floats
    value: float
    lower: float
    upper: float
    how: str
    evaluations: int
    objective: Objective
    epsilon: float
    combine: Combine


def optimal_weights(
    system: MultiHeadSystem,
    objective: Objective = "fidelity",
    *,
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    combine: Combine = "walks",
    seed: int = 0,
) -> OptimalWeights:
    """Search the simplex of head weights for the largest ``φ_min`` or the smallest times.

    Not concave, so several searches are run: from every single head, from uniform weights, from
    an even grid between every pair of heads, from a few random points. Each moves weight between
    pairs of heads and along random directions, takes the best of all moves tried, and halves the
    move when none is better, down to `SMALLEST_STEP`; fidelity is first climbed by its gradients.
    Deterministic for a given ``seed``. Cost: a few hundred evaluations of the objective for two
    heads, some thousands for more, O(H · edges) a step each; in batches where heads are dense.

    What is found is then bounded, however it was found: no fidelity exceeds ``upper``, and no mean
    hitting time undercuts ``lower``.

    Parameters
    ----------
    objective
        ``"fidelity"`` (minimax), ``"mixing"`` (worst-case total variation at ``epsilon``) or
        ``"hitting"`` (mean expected hitting time).
    epsilon, max_steps
        Of the mixing time.
    combine
        How walks are mixed, as in `engine.walk`; it does not concern fidelity.
    seed
        Of the random points and directions.

    Examples
    --------
    Example 2 of [BP], whose heads are best together at β₁ = .579:

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> best = engine.optimal_weights(both)
    >>> round(float(best.weights[0]), 3), round(best.value, 4), round(best.upper, 4)
    (0.579, 0.4298, 0.43)
    """
    choose("objective", objective, ("fidelity", "mixing", "hitting"))
    choose("combine", combine, COMBINATIONS)
    levels(epsilon)
    score = scorer(system, objective, epsilon, max_steps, combine)
    uphill = None
    if objective == "fidelity":

        def uphill(weights: Floats, value: float) -> tuple[Floats, float]:
            one, other = climb(system, HORIZON), climb_from(system, weights, value, HORIZON)
            return max(one, other, key=lambda found: found[1])

    search = _Search(system.heads, score, whole_number("seed", seed, 0), uphill)
    weights, best, how = search.run()
    if objective == "mixing":
        mixed = system.with_weights(weights)
        time = mixing_time(mixed, epsilon=epsilon, max_steps=max_steps, combine=combine)
        value, lower, upper = float(time), 0.0, float(time)
    elif objective == "hitting":
        value = upper = -best
        # What is known of heads' walks says nothing of attention mixed before it is normalised.
        lower = min(value, routing_times(system).mean) if combine == "walks" else 0.0
    else:
        bounded = fidelity_interval(system, weights, HORIZON)
        value = lower = best
        if bounded.lower > best * (1 + TOLERANCE):
            weights, value, lower = bounded.weights, bounded.lower, bounded.lower
        upper = max(value, bounded.upper)
    return OptimalWeights(
        weights, value, lower, upper, how, search.evaluations, objective, epsilon, combine
    )


def scorer(
    system: MultiHeadSystem, objective: str, epsilon: float, max_steps: int, combine: Combine
) -> Callable[[Floats], Floats]:
    """A function from head weights (S, H) to scores (S,), larger is better."""
    batch = max(1, BATCH_BYTES // _operator_bytes(system))

    def score(weights: Floats) -> Floats:
        stack = _mixtures(
            system, weights, "diffusion" if objective == "fidelity" else "walk", combine
        )
        if objective == "fidelity":
            state = run_peaks(stack, tolerance=TOLERANCE, horizon=HORIZON, every_node=False)
            return minima(state, stack, "excluded").minimax
        if objective == "hitting":
            return -stack.hitting().mean(axis=1)
        mixing = Survival.start(stack.count, stack.nodes, levels=[epsilon], of_mean=[False])
        stack.survive(mixing, max_steps)
        crossed, left = mixing.crossing[:, 0], mixing.survival.max(axis=1)
        # A mixing time is a whole number: how far below ε it lands orders equal ones.
        return -np.where(
            crossed < 0, max_steps + 1.0 + left, crossed + np.minimum(left / epsilon, 1.0)
        )

    return lambda weights: np.concatenate(
        [score(weights[first : first + batch]) for first in range(0, len(weights), batch)]
    )


def _mixtures(system: MultiHeadSystem, weights: Floats, kind: Kind, combine: Combine) -> Stack:
    """The operators of the same heads under each of S head weights (S, H)."""
    if system.dense is not None:
        heads = np.broadcast_to(system.dense, (len(weights), *system.dense.shape))
        return mixture_stack(heads, weights, kind, combine, whole=not system.learned_sinks)
    stacks = [sparse.mixture_stack(system.with_weights(row), kind, combine) for row in weights]
    return sparse.SparseStack([operator for stack in stacks for operator in stack.operators])


def _operator_bytes(system: MultiHeadSystem) -> int:
    """What one mixture takes: a matrix, or edges with weights by receiver and by sender."""
    if system.sparse is None:
        return 8 * system.nodes**2
    return 24 * sum(head.edges for head in system.sparse) + 64 * system.nodes


class _Search:
    """Multi-start pattern search on the simplex."""

    def __init__(
        self,
        heads: int,
        score: Callable[[Floats], Floats],
        seed: int,
        uphill: Callable[[Floats, float], tuple[Floats, float]] | None,
    ) -> None:
        self.heads, self.score, self.uphill = heads, score, uphill
        self.random = np.random.default_rng(seed)
        self.evaluations = 0

    def evaluate(self, weights: Floats) -> Floats:
        self.evaluations += len(weights)
        return self.score(weights)

    def starts(self) -> Floats:
        """Vertices, the centre, points along edges (a fine grid for two heads), random points."""
        count = self.heads
        points = [np.eye(count), np.full((1, count), 1.0 / count)]
        inner = GRID if count == 2 else max(3, 60 // count)
        share = np.linspace(0, 1, inner + 2)[1:-1]
        for a in range(count):
            for b in range(a + 1, count):
                pair = np.zeros((inner, count))
                pair[:, a], pair[:, b] = share, 1 - share
                points.append(pair)
        points.append(self.random.dirichlet(np.ones(count), size=16 * count))
        return np.concatenate(points)

    def directions(self) -> Floats:
        """Moves that keep the sum: one head's gain is another's loss, and random ones."""
        count = self.heads
        pairs = [np.eye(count)[a] - np.eye(count)[b] for a in range(count) for b in range(count)]
        exchange = np.array([p for p in pairs if p.any()])
        spread = self.random.standard_normal((4 * count, count))
        spread -= spread.mean(axis=1, keepdims=True)
        spread /= np.abs(spread).max(axis=1, keepdims=True) + 1e-300
        return np.concatenate([exchange, spread])

    def climb(self, point: Floats, value: float, step: float) -> tuple[Floats, float]:
        while step > SMALLEST_STEP:
            moved = np.clip(point + step * self.directions(), 0.0, None)
            moved /= moved.sum(axis=1, keepdims=True)
            scores = self.evaluate(moved)
            best = int(np.argmax(scores))
            if scores[best] > value:
                point, value = moved[best], float(scores[best])
            else:
                step /= 2
        return point, value

    def run(self) -> tuple[Floats, float, str]:
        """The best weights found, their score, and how they were found."""
        if self.heads == 1:
            alone = np.ones(1)
            return alone, float(self.evaluate(alone[None])[0]), "one head: nothing to choose"
        starts = self.starts()
        scores = self.evaluate(starts)
        order = np.argsort(-scores, kind="stable")
        chosen = order[:1] if self.heads == 2 else order[:4]
        step = 1.0 / GRID if self.heads == 2 else 0.1
        if self.uphill is None:
            climbed = [self.climb(starts[k], float(scores[k]), step) for k in chosen]
            point, value = max(climbed, key=lambda found: found[1])
        else:
            point, value = self.uphill(starts[order[0]], float(scores[order[0]]))
            point, value = self.climb(point, value, step / 10)
        how = (
            f"pattern search from the {len(chosen)} best of {len(starts)} starts, moves down to "
            f"{SMALLEST_STEP:g}, {self.evaluations:,} evaluations; best found, not a proof"
        )
        return point, value, how
