"""What must hold for every system, whatever its numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from tests.engine import exact, systems

Case = tuple[np.ndarray, list[int]]
several = settings(max_examples=40, deadline=None)


def attention(seed: int, heads: int = 3, nodes: int = 12, sharp: float = 4.0) -> np.ndarray:
    return systems.attention(heads, nodes, nodes, seed=seed, sharp=sharp, dtype=np.float64)


@several
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_the_order_of_heads_does_not_matter(seed: int, order: list[int]) -> None:
    a = attention(seed, heads=4)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    one = engine.analyze(engine.MultiHeadSystem.from_attention(a, weights))
    other = engine.analyze(engine.MultiHeadSystem.from_attention(a[order], weights[order]))
    for group, name in (
        ("mixing", "hitting_time_mean"),
        ("fidelity", "minimax"),
        ("synergy", "fidelity_amplification"),
        ("synergy", "mixing_gain"),
        ("diversity", "jensen_shannon"),
        ("diversity", "cosine_disagreement"),
    ):
        assert one[group][name] == pytest.approx(other[group][name], rel=1e-10)
    assert [one["per_head"][h]["fidelity_minimax"] for h in order] == [
        head["fidelity_minimax"] for head in other["per_head"]
    ]


@several
@given(
    exact.raw_heads(most_nodes=8, most_heads=1),
    st.integers(1, 7),
    st.lists(st.floats(0.01, 10), min_size=7, max_size=7),
)
def test_identical_heads_amplify_by_exactly_one(
    head: np.ndarray, copies: int, weights: list[float]
) -> None:
    system = engine.MultiHeadSystem.from_weights(np.repeat(head, copies, axis=0), weights[:copies])
    assert engine.amplification(system) == 1.0
    np.testing.assert_array_equal(engine.walk(system), engine.walk(system.head(0)))
    np.testing.assert_array_equal(engine.diffusion(system), engine.diffusion(system.head(0)))
    found = engine.analyze(system)
    assert found["synergy"]["fidelity_amplification"] == 1.0
    assert found["synergy"]["mixing_gain"] == 1.0
    assert found["synergy"]["hitting_gain"] == 1.0
    assert found["synergy"]["beats_best_head"] == 0.0
    assert np.all(found["diversity"].pop("pairs") == np.zeros((copies, copies)))
    assert set(found["diversity"].values()) == {0.0}


@several
@given(st.integers(0, 10**6), st.integers(8, 40))
def test_copies_of_a_slow_head_are_that_head_to_the_last_bit(seed: int, nodes: int) -> None:
    """Raw weights over a band: mixing copies rounds otherwise than a head alone does."""
    band = np.tril(np.ones((nodes, nodes))) - np.tril(np.ones((nodes, nodes)), -4)
    head = band * np.random.default_rng(seed).uniform(0.1, 9, (1, nodes, nodes))
    system = engine.MultiHeadSystem.from_weights(np.repeat(head, 3, axis=0))
    found = engine.analyze(system)["synergy"]
    assert found["fidelity_amplification"] == found["mixing_gain"] == found["hitting_gain"] == 1
    assert engine.amplification(system) == engine.mixing_gain(system) == 1


def test_identical_heads_stay_identical_in_a_batch_of_float32() -> None:
    one = attention(3, heads=1, nodes=17).astype(np.float32)
    batch = np.broadcast_to(one, (4, 2, 6, 17, 17))
    for layer in engine.analyze_batch(batch, np.random.default_rng(0).random((2, 6))):
        assert layer["synergy"]["fidelity_amplification"] == 1.0
        assert layer["intervals"]["fidelity_amplification"] == [1.0, 1.0]


@several
@given(exact.systems(most_nodes=8))
def test_survival_never_rises_and_stays_a_probability(case: Case) -> None:
    system = engine.MultiHeadSystem.from_weights(*case)
    arrived = engine.arrival(system, 30)
    assert np.all(np.diff(arrived, axis=0) >= -2e-15)
    assert arrived.min() >= 0
    assert arrived.max() <= 1
    curve = engine.analyze(system)["arrival"]
    # Later moments come from powers of the walk: a squaring doubles the relative error that its
    # factors have and adds that of a sum over the nodes, so that the error grows with the time.
    rounding = system.nodes * np.finfo(float).eps * np.maximum(6, curve["steps"][1:])
    for name in ("mean", "median", "worst"):
        assert np.all(np.diff(curve[name]) >= -rounding)
        assert len(curve[name]) == len(curve["steps"]) <= 64


@several
@given(st.integers(0, 10**6), st.floats(0.1, 1.5))
def test_hitting_times_are_the_sum_of_survival(seed: int, sharp: float) -> None:
    """``E[T] = Σ_t P(T > t)``: two roads to the same number."""
    system = engine.MultiHeadSystem.from_attention(attention(seed, sharp=sharp))
    survival = 1 - engine.arrival(system, 2000)
    settled = survival[-1] < 1e-13
    assert settled.any()
    np.testing.assert_allclose(
        engine.hitting_times(system)[settled], survival.sum(axis=0)[settled], rtol=1e-9
    )


@several
@given(st.integers(0, 10**6))
def test_raw_weights_matter_only_up_to_scale(seed: int) -> None:
    a = attention(seed, heads=2)
    plain, scaled = (engine.MultiHeadSystem.from_weights(w) for w in (a, 8 * a))
    np.testing.assert_array_equal(engine.hitting_times(plain), engine.hitting_times(scaled))
    assert engine.fidelity(plain).minimax == engine.fidelity(scaled).minimax


@several
@given(st.integers(0, 10**6), st.floats(0.5, 12))
def test_float32_storage_changes_little(seed: int, sharp: float) -> None:
    a = attention(seed, sharp=sharp).astype(np.float32)
    single = engine.MultiHeadSystem.from_attention(a)
    double = engine.MultiHeadSystem.from_attention(a.astype(np.float64))
    np.testing.assert_allclose(
        engine.hitting_times(single), engine.hitting_times(double), rtol=1e-13
    )
    assert engine.fidelity(single).minimax == pytest.approx(
        engine.fidelity(double).minimax, rel=1e-13
    )


@several
@given(st.integers(0, 10**6), st.floats(0.5, 12), st.integers(1, 40))
def test_the_fidelity_lies_in_every_earlier_certificate(
    seed: int, sharp: float, horizon: int
) -> None:
    system = engine.MultiHeadSystem.from_attention(attention(seed, sharp=sharp))
    early = engine.fidelity(system, horizon=horizon)
    late = engine.fidelity(system, horizon=20_000)
    assert early.lower * (1 - 1e-12) <= late.minimax <= early.upper * (1 + 1e-12)
    assert late.lower <= late.minimax <= late.upper * (1 + 1e-12)
    assert np.all(early.node <= late.node * (1 + 1e-12))


@several
@given(st.integers(0, 10**6))
def test_the_bounds_hold_where_they_apply(seed: int) -> None:
    system = engine.MultiHeadSystem.from_attention(attention(seed, sharp=2.0))
    for bound in engine.bounds(system):
        if bound.applies:
            assert bound.holds, bound


@several
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_reverse_of_a_symmetric_family_mixes_the_same(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    by_distance = rng.random(width + 1) + 0.1
    n = 24
    weights = sum(np.diag(np.full(n - k, by_distance[k]), -k) for k in range(width + 1))
    system = engine.MultiHeadSystem.from_weights(weights)
    for distance in ("tv", "l1"):
        for aggregate in ("max", "mean"):
            forward, backward = (
                engine.mixing_time(
                    system, distance=distance, aggregate=aggregate, direction=direction
                ).steps
                for direction in ("forward", "backward")
            )
            assert forward == backward
