"""Head weights that make the system clearest, or soonest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import EngineError, choose
from .minimax import run_peaks
from .mixing import MAX_STEPS
from .operators import Survival, dense_mixtures
from .system import MultiHeadSystem

Floats = npt.NDArray[np.float64]
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
        The objective there: ``φ_min``, or the mixing time in steps, or the mean hitting time.
    how
        How it was searched. The objective is not concave: this is the best found, not a proof.
    evaluations
        How many weights were tried.
    """

    weights: Floats
    value: float
    how: str
    evaluations: int


def optimal_weights(
    system: MultiHeadSystem,
    objective: Objective = "fidelity",
    *,
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    seed: int = 0,
) -> OptimalWeights:
    """Search the simplex of head weights for the largest ``φ_min`` or the smallest times.

    Not concave, so several searches are run: from every single head, from uniform weights, from
    an even grid between every pair of heads, from a few random points. Each moves weight between
    pairs of heads and along random directions, takes the best of all moves tried, and halves the
    move when none is better, down to `SMALLEST_STEP`. Deterministic for a given ``seed``; dense
    heads only. Cost: a few thousand evaluations of the objective, in batches.

    Parameters
    ----------
    objective
        ``"fidelity"`` (minimax), ``"mixing"`` (worst-case total variation at ``epsilon``) or
        ``"hitting"`` (mean expected hitting time).

    >>> import engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> best = engine.optimal_weights(both)
    >>> round(float(best.weights[0]), 3), round(best.value, 4)
    (0.579, 0.4298)
    """
    choose("objective", objective, ("fidelity", "mixing", "hitting"))
    if system.dense is None:
        raise EngineError(
            f"Weights are optimised for dense heads; this one of {system.nodes:,} nodes is sparse."
        )
    if system.heads == 1:
        score = _scorer(system, objective, epsilon, max_steps)
        value = _value(float(score(np.ones((1, 1)))[0]), objective)
        return OptimalWeights(np.ones(1), value, "one head: nothing to choose", 1)
    return _Search(system, objective, epsilon, max_steps, seed).run()


def _value(score: float, objective: str) -> float:
    """The objective's own value for a score (scores are maximised)."""
    if objective == "mixing":
        return float(np.ceil(-score))
    return score if objective == "fidelity" else -score


def _scorer(
    system: MultiHeadSystem, objective: str, epsilon: float, max_steps: int
) -> Callable[[Floats], Floats]:
    """A function from head weights (S, H) to scores (S,), larger is better."""
    assert system.dense is not None
    dense = system.dense
    batch = max(1, BATCH_BYTES // (8 * system.nodes**2))

    def score(weights: Floats) -> Floats:
        heads = np.broadcast_to(dense, (len(weights), *dense.shape))
        if objective == "fidelity":
            stack = dense_mixtures(heads, weights, "diffusion")
            state = run_peaks(stack, tolerance=TOLERANCE, horizon=HORIZON, every_node=False)
            return state.interval[:, 0].copy()
        stack = dense_mixtures(heads, weights, "walk")
        if objective == "hitting":
            return -stack.hitting().mean(axis=1)
        mixing = Survival.start(stack.count, stack.nodes, levels=[epsilon], of_mean=[False])
        stack.survive(mixing, max_steps)
        crossed = np.where(mixing.crossing[:, 0] < 0, max_steps + 1, mixing.crossing[:, 0])
        # A mixing time is a whole number: how far below ε it lands orders equal ones.
        return -(crossed - 1 + np.minimum(1.0, mixing.survival.max(axis=1) / epsilon))

    return lambda weights: np.concatenate(
        [score(weights[first : first + batch]) for first in range(0, len(weights), batch)]
    )


class _Search:
    """Multi-start pattern search on the simplex."""

    def __init__(
        self,
        system: MultiHeadSystem,
        objective: str,
        epsilon: float,
        max_steps: int,
        seed: int,
    ) -> None:
        self.heads = system.heads
        self.objective = objective
        self.score = _scorer(system, objective, epsilon, max_steps)
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

    def run(self) -> OptimalWeights:
        starts = self.starts()
        scores = self.evaluate(starts)
        order = np.argsort(-scores, kind="stable")
        chosen = order[:1] if self.heads == 2 else order[:4]
        step = 1.0 / GRID if self.heads == 2 else 0.1
        climbed = [self.climb(starts[k], float(scores[k]), step) for k in chosen]
        point, value = max(climbed, key=lambda found: found[1])
        how = (
            f"pattern search from the {len(chosen)} best of {len(starts)} starts, moves down to "
            f"{SMALLEST_STEP:g}, {self.evaluations:,} evaluations; best found, not a proof"
        )
        return OptimalWeights(point, _value(value, self.objective), how, self.evaluations)
