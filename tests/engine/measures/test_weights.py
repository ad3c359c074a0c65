"""Optimal head weights against grids, and in special cases."""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.measures import optimum
from synergy_engine.measures.optimum import climb
from tests.engine.measures.test_sensitivity import sparse_twin
from tests.engine.systems import attention


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


def test_the_best_weights_of_example_2_are_certified() -> None:
    both = engine.MultiHeadSystem.from_edges(
        [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    )
    best = engine.optimal_weights(both)
    assert best.weights[0] == pytest.approx(0.5787282512, abs=1e-6)
    assert best.value == best.lower == pytest.approx(0.4297880419, abs=1e-7)
    assert 0.4297880419 <= best.upper <= best.lower * (1 + 1.1e-3)
    soonest = engine.optimal_weights(both, "hitting")
    assert (soonest.lower, soonest.upper) == (2.125, 2.125)  # head 2: no weights are sooner
    assert soonest.weights.tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(6))
def test_no_weights_exceed_the_interval(seed: int) -> None:
    """A grid finds nothing above the upper end, and the lower end is attained."""
    count = 2 + seed % 2
    system = engine.MultiHeadSystem.from_attention(
        attention(count, 12, 12, seed=seed, sharp=1.0 + seed / 2, dtype=np.float64)
    )
    best = engine.optimal_weights(system)
    assert engine.fidelity(system.with_weights(best.weights)).minimax == pytest.approx(best.lower)
    assert best.lower <= best.upper <= best.lower * 1.01
    steps = 40
    grid = np.array(
        [
            (a, b, steps - a - b)[:count] if count == 3 else (a, steps - a)
            for a in range(steps + 1)
            for b in range(steps + 1 - a if count == 3 else 1)
        ]
    )
    found = [engine.fidelity(system.with_weights(w)).minimax for w in grid]
    assert max(found) <= best.upper
    assert max(found) <= best.lower * (1 + 1e-9)


def test_many_heads_are_bounded_by_routing() -> None:
    system = engine.MultiHeadSystem.from_attention(attention(6, 20, 20, dtype=np.float64))
    best = engine.optimal_weights(system)
    assert best.upper == pytest.approx(engine.routing_bound(system).minimax)
    assert best.value >= engine.fidelity(system).minimax
    assert best.value >= max(f.minimax for f in engine.head_fidelities(system)) * (1 - 1e-9)


def test_climbing_follows_the_gradient_to_a_kink() -> None:
    """Where v (t = 3) and w (t = 1) of Example 2 tie, no first-order move is left."""
    both = engine.MultiHeadSystem.from_edges(
        [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    )
    weights, value = climb(both, 1000)
    assert weights[0] == pytest.approx(0.5787282512, abs=1e-5)
    assert value == pytest.approx(0.4297880419, rel=1e-5)
    chain = engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]])
    assert climb(chain.with_weights([1, 0]), 1000)[1] >= engine.fidelity(chain).minimax > 0


def test_weights_tried_together_are_those_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = attention(4, 12, 12, seed=2, dtype=np.float64)
    heads[3] = heads[0]  # equal heads count as one
    system = engine.MultiHeadSystem.from_attention(heads)
    points = np.random.default_rng(3).dirichlet(np.ones(4), 7)
    alone = [engine.fidelity(system.with_weights(point)).minimax for point in points]
    monkeypatch.setattr(optimum, "TOGETHER", 3 * 12 * 12)  # 3, 3 and 1
    for each in (system, sparse_twin(system)):
        np.testing.assert_allclose(optimum._minima(each, points, 1000), alone, rtol=1e-9)
