"""Optimal head weights against grids, and in special cases."""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine


@pytest.mark.parametrize("objective", ["fidelity", "mixing", "hitting"])
def test_optimal_weights_are_no_worse_than_a_grid(objective: str) -> None:
    rng = np.random.default_rng(1)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((3, 8, 8)) ** 6) + np.eye(8))
    best = engine.optimal_weights(system, objective)
    assert best.weights.sum() == pytest.approx(1)
    grid = [(a / 12, b / 12, (12 - a - b) / 12) for a in range(13) for b in range(13 - a)]
    for weights in grid:
        other = system.with_weights(weights)
        if objective == "fidelity":
            assert best.value >= engine.fidelity(other).minimax * (1 - 1e-9)
        elif objective == "mixing":
            assert best.value <= float(engine.mixing_time(other))
        else:
            assert best.value <= engine.hitting_times(other).mean() * (1 + 1e-9)


@pytest.mark.parametrize("objective", ["fidelity", "mixing", "hitting"])
def test_optimal_weights_of_sparse_heads_are_those_of_dense_ones(objective: str) -> None:
    edges = [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    dense, sparse = (
        engine.optimal_weights(
            engine.MultiHeadSystem.from_edges(edges, storage=storage),
            objective,
            combine="attention",
        )
        for storage in ("dense", "sparse")
    )
    assert sparse.value == pytest.approx(dense.value, rel=1e-9)
    assert (sparse.objective, sparse.combine, sparse.epsilon) == (objective, "attention", 0.25)
    if objective == "fidelity":
        np.testing.assert_allclose(sparse.weights, dense.weights, atol=1e-5)


def test_the_best_mixing_time_is_the_mixing_time_there() -> None:
    """Without self-loops everybody arrives at once: survival 0 at the crossing, not 1 below ε."""
    walks = np.stack([np.eye(4, k=-1), (np.eye(4, k=-1) + np.eye(4)) / 2])
    system = engine.MultiHeadSystem.from_weights(walks)
    best = engine.optimal_weights(system, "mixing")
    assert best.value == engine.mixing_time(system.with_weights(best.weights)).steps == 3
    slow = np.array([[[1 - gap, 0], [gap, 1]] for gap in (1e-9, 1e-8)])
    beyond = engine.optimal_weights(
        engine.MultiHeadSystem.from_weights(slow), "mixing", max_steps=100
    )
    assert beyond.value == np.inf
    assert beyond.weights.tolist() == [0, 1]  # no time is known, but the quicker head is


@pytest.mark.parametrize(("objective", "value"), [("fidelity", 1), ("mixing", 0), ("hitting", 0)])
@pytest.mark.parametrize("heads", [1, 2])
def test_one_node_alone_needs_no_weights(objective: str, value: float, heads: int) -> None:
    alone = engine.MultiHeadSystem.from_weights(np.ones((heads, 1, 1)))
    assert engine.optimal_weights(alone, objective).value == value
