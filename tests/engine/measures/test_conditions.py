"""When mixing helps: conditions against mixing a little, and the worst rate as a game."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import synergy_engine as engine
from tests.engine.measures.test_sensitivity import complementary, example
from tests.engine.systems import attention

both_storages = pytest.mark.parametrize("storage", ["dense", "sparse"])


@both_storages
def test_example_2(storage: str) -> None:
    both = example(storage)
    found = engine.synergy_condition(both)
    assert (found.best_head, found.value, found.helps) == (0, 0.375, (1,))
    assert (found.nodes, found.times, found.how) == ((1,), ((3, 4),), "first order")
    assert found.slope == pytest.approx(1 / 24)
    np.testing.assert_allclose(found.slopes, [0, 1 / 24], atol=1e-15)
    soon = engine.speed_condition(both)
    assert (soon.best_head, soon.value, soon.helps) == (1, 2.125, ())


def test_complementary_paths_help_one_another() -> None:
    both = complementary()
    found = engine.speed_condition(both)
    assert (found.best_head, found.helps) == (0, (1,))
    assert found.slope == pytest.approx(-983.268698, abs=5e-7)
    rate = engine.worst_rate(both)
    assert rate.rate == pytest.approx(0.5)
    np.testing.assert_allclose(rate.weights, [0.5, 0.5])
    np.testing.assert_allclose(rate.heads, [0.05, 0.05])
    assert rate.at_most == pytest.approx(0.5)
    assert len(rate.bottlenecks) == 2
    assert {node < 10 for node in rate.bottlenecks} == {True, False}


@pytest.mark.parametrize("seed", range(30))
def test_heads_that_help_to_first_order_do(seed: int) -> None:
    system = engine.MultiHeadSystem.from_attention(
        attention(3, 12, 12, seed=seed, sharp=1 + seed % 3, dtype=np.float64)
    )
    found, soon = engine.synergy_condition(system), engine.speed_condition(system)
    little = 1e-6
    corner = np.eye(3)[found.best_head]
    for h in range(3):
        mixed = system.with_weights((1 - little) * corner + little * np.eye(3)[h])
        gained = (engine.fidelity(mixed).minimax - found.value) / little
        # Others may come to bind: the slope at hand is that of the node that binds now.
        assert gained == pytest.approx(found.slopes[h], rel=1e-3, abs=1e-6)
        assert (h in found.helps) == (found.slopes[h] > 1e-9) == (gained > 1e-7)
        mixed = system.with_weights(
            (1 - little) * np.eye(3)[soon.best_head] + little * np.eye(3)[h]
        )
        gained = (engine.hitting_times(mixed).mean() - soon.value) / little
        assert gained == pytest.approx(soon.slopes[h], rel=1e-3, abs=1e-5)
        assert (h in soon.helps) == (gained < -1e-5)


def test_several_binding_nodes_are_a_linear_program() -> None:
    """Nodes 1 and 2 bind head 1 equally; head 2 raises the one, head 3 the other, by less."""
    heads = np.zeros((3, 4, 4))
    heads[:, 0, 0] = heads[:, 1, 0] = heads[:, 2, 0] = 1.0
    heads[:, 3] = [[0.6, 0.2, 0.2, 0], [0.1, 0.8, 0.1, 0], [0.2, 0, 0.8, 0]]
    system = engine.MultiHeadSystem.from_attention(heads)
    found = engine.synergy_condition(system)
    assert (found.best_head, found.nodes, found.times) == (0, (1, 2), ((1,), (1,)))
    np.testing.assert_allclose(found.slopes, [0, -0.1, -0.2], atol=1e-12)
    # .6 x - .2 y = -.1 x + .6 y with x + y = 1: x = 8/15, where both rise by .6 x - .2 y.
    np.testing.assert_allclose(found.together, [0, 8 / 15, 7 / 15], atol=1e-9)
    assert found.slope == pytest.approx(0.6 * 8 / 15 - 0.2 * 7 / 15)
    assert found.helps == (1, 2)
    mixed = 0.99 * np.eye(3)[0] + 0.01 * found.together
    gained = engine.fidelity(system.with_weights(mixed)).minimax - 0.2
    assert gained == pytest.approx(0.01 * found.slope)


@both_storages
def test_where_the_best_head_has_no_derivative_heads_are_tried(storage: str) -> None:
    """Example 1 of [BP]: either head alone hears nothing of u; together they do."""
    split = engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]], storage=storage)
    found = engine.synergy_condition(split)
    assert (found.value, found.helps, found.how) == (0.0, (1,), "tried")
    soon = engine.speed_condition(split)
    assert (soon.value, soon.helps, soon.how) == (np.inf, (1,), "tried")


@pytest.mark.parametrize("seed", range(20))
def test_the_worst_rate_is_that_of_the_whole_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, n = 2 + seed % 4, 40
    heads = np.tril(rng.random((count, n, n)) ** 4) + np.eye(n) * rng.choice(
        [0, 1, 30], (count, n, 1)
    )
    system = engine.MultiHeadSystem.from_weights(heads)
    moving = np.stack(
        [1 - engine.walk(system.head(h)).diagonal()[:-1] for h in range(count)], axis=1
    )
    whole = linprog(
        [*[0] * count, -1],
        A_ub=np.hstack([-moving, np.ones((n - 1, 1))]), b_ub=np.zeros(n - 1),
        A_eq=[[1] * count + [0]], b_eq=[1],
    )  # fmt: skip
    found = engine.worst_rate(system)
    assert found.rate == pytest.approx(-whole.fun, rel=1e-7)
    assert found.rate == pytest.approx((moving @ found.weights).min(), rel=1e-9)
    assert found.rate <= found.at_most * (1 + 1e-12)
    assert found.at_most == pytest.approx(found.rate, rel=1e-7)
    assert sum(found.multipliers) == pytest.approx(1)
    sharper = {b.name: b for b in engine.bounds(system.with_weights(found.weights))}["sharper"]
    assert sharper.bound == pytest.approx(2 * (n - 1) / found.rate, rel=1e-9)


def test_rates_of_next_to_nothing_lose_no_digits() -> None:
    """Self-loops of trained heads are 1 - 1e-13; the tolerance of a solver is 1e-7."""
    gaps = np.array([[2e-13, 1e-13], [1e-13, 5e-13]])
    walks = [np.diag(np.append(1 - g, 1)) + np.diag(g, -1) for g in gaps]
    found = engine.worst_rate(engine.MultiHeadSystem.from_weights(walks))
    # 2 a + (1 - a) = a + 5 (1 - a) at a = 4/5: 1.8e-13.
    assert found.rate == pytest.approx(1.8e-13, rel=1e-6)
    np.testing.assert_allclose(found.weights, [0.8, 0.2], rtol=1e-6)


def test_a_node_that_never_moves_on_is_the_bottleneck() -> None:
    stuck = engine.MultiHeadSystem.from_edges([[(0, 2)]] * 2, nodes=3, unreachable="allow")
    found = engine.worst_rate(stuck)
    assert (found.rate, found.at_most, found.bottlenecks) == (0.0, 0.0, (1,))
