"""Shapley values against their definition over all orders of joining."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from synergy_engine.measures import contributions as measured
from tests.engine.systems import attention


def value(system: engine.MultiHeadSystem, heads: tuple[int, ...]) -> float:
    return engine.fidelity(system.subset(heads)).minimax if heads else 0.0


def test_reference_values_of_example_2() -> None:
    both = engine.MultiHeadSystem.from_edges(
        [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    )
    found = engine.contributions(both)
    assert found.shapley == pytest.approx([0.2708333, 0.1458333], abs=5e-8)
    assert found.interaction is not None
    assert found.interaction[0, 1] == pytest.approx(-0.2083333, abs=5e-8)
    assert found.surplus[0, 1] == pytest.approx(0.0416667, abs=5e-8)
    assert found.exact


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 4), st.booleans())
def test_against_all_orders_of_joining(seed: int, count: int, idle: bool) -> None:
    weights = np.random.default_rng(seed).random(count) + 0.01
    if idle:
        weights[0] = 0 if count > 1 else 1
    a = attention(count, 7, 7, seed=seed, dtype=np.float64)
    system = engine.MultiHeadSystem.from_attention(a, weights)
    found = engine.contributions(system)
    orders = list(permutations(range(count)))
    truth = np.zeros(count)
    for order in orders:
        for place, head in enumerate(order):
            before = tuple(sorted(order[:place]))
            after = tuple(sorted(order[: place + 1]))
            truth[head] += (value(system, after) - value(system, before)) / len(orders)
    assert found.shapley == pytest.approx(truth, rel=1e-8, abs=1e-12)
    assert found.shapley.sum() == pytest.approx(engine.fidelity(system).minimax, rel=1e-8)
    assert found.interaction is not None
    # Merging a pair into one player is worth what both are worth, plus their interaction.
    for h, k in combinations(range(count), 2):
        rest = [x for x in range(count) if x not in (h, k)]
        players = [(h, k), *((x,) for x in rest)]
        merged = np.mean(
            [
                value(system, tuple(sorted(sum(order[: order.index((h, k)) + 1], ()))))
                - value(system, tuple(sorted(sum(order[: order.index((h, k))], ()))))
                for order in permutations(players)
            ]
        )
        alone = sum(_shapley_without(system, one, other) for one, other in ((h, k), (k, h)))
        assert found.interaction[h, k] == pytest.approx(merged - alone, rel=1e-6, abs=1e-10)
    for heads, surplus in found.surplus.items():
        smaller = [
            value(system, part) for size in range(len(heads)) for part in combinations(heads, size)
        ]
        assert surplus == pytest.approx(value(system, heads) - max(smaller), rel=1e-6, abs=1e-10)


def _shapley_without(system: engine.MultiHeadSystem, head: int, other: int) -> float:
    """The Shapley value of ``head`` where ``other`` never joins."""
    players = [x for x in range(system.heads) if x != other]
    orders = list(permutations(players))
    total = 0.0
    for order in orders:
        place = order.index(head)
        total += value(system, tuple(sorted(order[: place + 1])))
        total -= value(system, tuple(sorted(order[:place])))
    return total / len(orders)


def test_identical_heads_share_equally() -> None:
    a = np.repeat(attention(1, 9, 9), 4, axis=0)
    found = engine.contributions(engine.MultiHeadSystem.from_attention(a))
    assert found.shapley == pytest.approx(found.value[0, 1, 2, 3] / 4, rel=1e-9)
    assert found.surplus[0, 1, 2, 3] == 0


def test_sampling_agrees_within_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    system = engine.MultiHeadSystem.from_attention(attention(5, 10, 10, sharp=2))
    truth = engine.contributions(system)
    monkeypatch.setattr(measured, "EXACT_HEADS", 4)
    found = engine.contributions(system, permutations=400, seed=1)
    assert not found.exact
    assert found.interaction is None
    off = (found.shapley - truth.shapley) / found.standard_error
    assert np.abs(off).max() < 4
    assert found.shapley.sum() == pytest.approx(truth.shapley.sum(), rel=1e-9)
    assert found.surplus[tuple(range(5))] >= truth.surplus[tuple(range(5))] - 1e-12
    again = engine.contributions(system, permutations=400, seed=1)
    np.testing.assert_array_equal(found.shapley, again.shapley)


def test_wrong_options_are_named() -> None:
    system = engine.MultiHeadSystem.from_edges([[(0, 1)]])
    with pytest.raises(engine.OptionError, match="permutations"):
        engine.contributions(system, permutations=1)
    with pytest.raises(engine.OptionError, match="seed"):
        engine.contributions(system, seed=-1)
