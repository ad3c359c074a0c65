"""The worked examples of the papers."""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine


@pytest.fixture
def example_1() -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]], names=["u", "v", "τ"])


@pytest.fixture
def example_2() -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_edges(
        [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]], names=["u", "v", "w", "τ"]
    )


def test_example_1_no_head_reaches_the_sink_alone(example_1: engine.MultiHeadSystem) -> None:
    for h in range(2):
        alone = engine.fidelity(example_1.head(h))
        assert alone.node[0] == 0
        assert 0 in alone.unreachable
    assert engine.clarity(example_1, 0, 2)[2] == 1 / 16
    for beta in (0.2, 0.7):
        mixed = example_1.with_weights([beta, 1 - beta])
        assert engine.clarity(mixed, 0, 2)[2] == pytest.approx(beta * (1 - beta) / 4, rel=1e-15)
    assert engine.amplification(example_1) == float("inf")
    assert engine.novel_path_share(example_1, 0).share == 1
    assert engine.cross_head_share(example_1, 0).share == 1


def test_example_2_the_mixture_beats_its_best_head(example_2: engine.MultiHeadSystem) -> None:
    first, second = (engine.fidelity(example_2.head(h)) for h in range(2))
    np.testing.assert_allclose(first.node[:3], [1, 3 / 8, 1 / 2], rtol=1e-11)
    np.testing.assert_allclose(second.node[:3], [1 / 4, 3 / 4, 1 / 3], rtol=1e-11)
    both = engine.fidelity(example_2)
    np.testing.assert_allclose(both.node[:3], [1, 259 / 576, 5 / 12], rtol=1e-11)
    assert engine.amplification(example_2) == pytest.approx((5 / 12) / (3 / 8), rel=1e-12)
    found = engine.analyze(example_2)
    assert found["fidelity"]["minimax"] == pytest.approx(5 / 12, rel=1e-12)
    assert [h["fidelity_minimax"] for h in found["per_head"]] == pytest.approx([3 / 8, 1 / 4])


def test_example_2_has_better_weights_than_equal_ones(example_2: engine.MultiHeadSystem) -> None:
    best = engine.optimal_weights(example_2)
    assert best.weights[0] == pytest.approx(0.5787, abs=5e-5)
    assert best.value == pytest.approx(0.42979, abs=5e-6)
    assert best.value == pytest.approx(
        engine.fidelity(example_2.with_weights(best.weights)).minimax, rel=1e-9
    )
    assert "not a proof" in best.how


def complementary() -> engine.MultiHeadSystem:
    """Two path heads over 20 nodes, each quick where the other is slow."""
    n = 20
    heads = np.zeros((2, n, n))
    for i in range(n - 1):
        forward = (0.05, 0.95) if i < (n - 1) / 2 else (0.95, 0.05)
        for h in range(2):
            heads[h, i, i] = 1 - forward[h]
            heads[h, i + 1, i] = forward[h]
    heads[:, -1, -1] = 1
    return engine.MultiHeadSystem.from_weights(heads)


def test_complementary_heads_mix_together_and_the_sharper_bound_sees_it() -> None:
    system = complementary()
    alone = sorted(engine.mixing_time(system.head(h)).steps or 0 for h in range(2))
    assert alone == [226, 247]
    assert engine.mixing_time(system).steps == 42
    assert engine.mixing_gain(system) == pytest.approx(226 / 42)
    bounds = {bound.name: bound for bound in engine.bounds(system)}
    assert bounds["thm_2_9"].bound == pytest.approx(760)
    assert bounds["sharper"].bound == pytest.approx(76)
    assert bounds["thm_2_9"].holds
    assert bounds["sharper"].holds
    assert bounds["sharper"].applies


def test_the_published_bound_fails_where_its_condition_does() -> None:
    """One step, p = .05, ε = .1: T = 45 > 40 = 2N/p."""
    system = engine.MultiHeadSystem.from_weights([[0.95, 0], [0.05, 1]])
    bound = engine.bounds(system, epsilon=0.1)[0]
    assert (bound.measured, round(bound.bound, 9), bound.holds, bound.applies) == (
        45,
        40,
        False,
        False,
    )


def test_a_censored_time_leaves_a_bound_open() -> None:
    system = engine.MultiHeadSystem.from_weights([[1 - 1e-9, 0], [1e-9, 1]])
    bound = engine.bounds(system, max_steps=1000)[0]
    assert bound.measured == "> 1000"
    assert bound.holds is None


def test_the_backward_bound_is_about_a_quarter_whatever_epsilon_is_asked_for() -> None:
    line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(9)]])
    slow = engine.mixing_time(line, distance="l1", aggregate="mean", direction="backward").steps
    for epsilon in (0.01, 0.25, 0.9):
        bound = engine.bounds(line, epsilon=epsilon)[2]
        assert bound.name == "fidelity_backward"
        assert bound.bound == pytest.approx(20 / 7 * (slow or 0), rel=1e-15)
        assert bound.applies
    alone = engine.bounds(engine.MultiHeadSystem.from_weights([[1.0]]))[2]
    assert not alone.applies


@pytest.mark.parametrize(("nodes", "factor"), [(4, 8 / 3), (32, 8 / 3), (33, 2.75), (49, 98 / 36)])
def test_the_backward_bound_is_the_one_that_is_proved_for_any_weights(
    nodes: int, factor: float
) -> None:
    line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(nodes - 1)]])
    slow = engine.mixing_time(line, distance="l1", aggregate="mean", direction="backward").steps
    assert engine.bounds(line)[2].bound == pytest.approx(factor * (slow or 0), rel=1e-15)


def test_who_is_heard_late_or_faintly_is_not_called_unreachable() -> None:
    line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(9)]])
    early = engine.fidelity(line, horizon=3)
    assert (early.node[0], early.unreachable, early.converged) == (0, (), False)
    assert engine.analyze(line, horizon=3)["fidelity"]["unreachable"] == []
    n = 16  # φ of nodes far from the sink is 1e-3 a step: below what is kept
    faint = np.zeros((n, n))
    faint[:, 0] = 1 - 1e-3
    faint[np.arange(1, n), np.arange(n - 1)] = 1e-3
    faint[0] = 0
    faint[0, 0] = 1
    dense = engine.MultiHeadSystem.from_weights(faint)
    for system in (
        dense,
        engine.MultiHeadSystem.from_sparse([engine.SparseHead.from_dense(faint)]),
    ):
        found = engine.fidelity(system)
        assert (found.minimax, found.unreachable) == (0, ())
    cut = faint.copy()
    cut[9, 8] = 0  # now 1 … 8 are heard by node 9 no more, nor by anybody behind it
    assert engine.fidelity(engine.MultiHeadSystem.from_weights(cut)).unreachable == (*range(1, 9),)
