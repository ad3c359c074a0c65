"""Every measure against exact rational arithmetic, on hundreds of small random systems."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from tests.engine import exact

Case = tuple[np.ndarray, list[int]]
many = settings(max_examples=250, deadline=None)
several = settings(max_examples=100, deadline=None)


def build(case: Case) -> tuple[engine.MultiHeadSystem, list[exact.Matrix], list[Fraction]]:
    heads, weights = case
    system = engine.MultiHeadSystem.from_weights(heads, weights)
    shares = [Fraction(w, sum(weights)) for w in weights]
    return system, [exact.fractions(head) for head in heads], shares


def close(value: float, truth: Fraction | None, relative: float = 1e-13) -> bool:
    if truth is None:
        return value == float("inf")
    return abs(Fraction(value) - truth) <= Fraction(relative) * abs(truth) + Fraction(1e-29)


@many
@given(exact.systems(), st.sampled_from(["walks", "attention"]))
def test_hitting_times(case: Case, combine: str) -> None:
    system, heads, shares = build(case)
    truth = exact.hitting(exact.walk(heads, shares, combine))
    got = engine.hitting_times(system, combine=combine)
    assert all(close(g, t) for g, t in zip(got, truth, strict=True)), (got, truth)


@several
@given(exact.systems())
def test_hitting_times_of_heads_and_backwards(case: Case) -> None:
    system, heads, shares = build(case)
    for h, got in enumerate(engine.head_hitting_times(system)):
        truth = exact.hitting(exact.walk([heads[h]], [Fraction(1)]))
        assert all(close(g, t) for g, t in zip(got, truth, strict=True))
    d = exact.diffusion(heads, shares)
    mirrored = [row[::-1] for row in d[::-1]]
    truth = exact.hitting(mirrored)[::-1]
    got = engine.backward_hitting_times(system)
    assert all(close(g, t) for g, t in zip(got, truth, strict=True))


@several
@given(exact.systems(), st.sampled_from(["walks", "attention"]))
def test_walk_and_diffusion(case: Case, combine: str) -> None:
    system, heads, shares = build(case)
    for got, truth in (
        (engine.walk(system, combine=combine), exact.walk(heads, shares, combine)),
        (engine.diffusion(system), exact.diffusion(heads, shares)),
    ):
        assert all(
            close(g, t, 1e-14)
            for row, true_row in zip(got, truth, strict=True)
            for g, t in zip(row, true_row, strict=True)
        )
        np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-14)


@several
@given(exact.systems())
def test_arrival_spread_and_clarity(case: Case) -> None:
    system, heads, shares = build(case)
    p, d = exact.walk(heads, shares), exact.diffusion(heads, shares)
    n, steps = system.nodes, 6
    arrived = [Fraction(int(i == n - 1)) for i in range(n)]
    share = [Fraction(int(i == 0)) for i in range(n)]
    arrival, spread = engine.arrival(system, steps), engine.spread(system, 0, steps)
    for t in range(steps + 1):
        # One minus survival: a few ulps of 1, whatever the size of the probability.
        np.testing.assert_allclose(arrival[t], [float(a) for a in arrived], rtol=0, atol=1e-14)
        np.testing.assert_allclose(spread[t], [float(x) for x in share], rtol=1e-13, atol=1e-29)
        arrived, share = exact.matrix_times(p, arrived), exact.matrix_times(d, share)
    np.testing.assert_array_equal(engine.clarity(system, 0, steps), spread[:, -1])


@several
@given(exact.systems(), st.sampled_from(["walks", "attention"]), st.integers(0, 12))
def test_capped_times_and_medians(case: Case, combine: str, cap: int) -> None:
    system, heads, shares = build(case)
    p = exact.walk(heads, shares, combine)
    n = system.nodes
    survival = [Fraction(int(i != n - 1)) for i in range(n)]
    capped, median, close_call = [Fraction(0)] * n, [float("inf")] * n, [False] * n
    for t in range(13):
        if t < cap:
            capped = [a + s for a, s in zip(capped, survival, strict=True)]
        for i, s in enumerate(survival):
            close_call[i] |= abs(s - Fraction(1, 2)) < Fraction(1e-12)
            if s <= Fraction(1, 2) and median[i] == float("inf"):
                median[i] = t
        survival = exact.matrix_times(p, survival)
    got = engine.hitting_times(system, combine=combine, cap=cap)
    assert all(close(g, c) for g, c in zip(got, capped, strict=True))
    found = engine.arrival_times(system, combine=combine, max_steps=12)
    assert all(
        g == m or near for g, m, near in zip(found.steps, median, close_call, strict=True)
    ), (found.steps, median)
    lost = np.isinf(engine.hitting_times(system, combine=combine))
    assert np.all(lost | ~np.isinf(found.steps) | found.censored)


@many
@given(exact.systems(), st.integers(0, 12))
def test_fidelity_up_to_a_horizon(case: Case, horizon: int) -> None:
    system, heads, shares = build(case)
    d = exact.diffusion(heads, shares)
    n = system.nodes
    v = [Fraction(int(i == n - 1)) for i in range(n)]
    best = list(v)
    for _ in range(horizon):
        v = exact.vector_times(v, d)
        best = [max(a, b) for a, b in zip(best, v, strict=True)]
    got = engine.fidelity(system, horizon=horizon, tolerance=0)
    for j in range(n):
        # Tolerance 0 stops only where φ is final, so what later steps bring cannot be missed.
        assert close(got.node[j], best[j]) or (got.converged and got.node[j] >= float(best[j]))
    if n > 1:
        assert close(got.minimax, min(best[:-1])) or got.converged


@several
@given(exact.systems(), st.integers(1, 9))
def test_the_sink_counts_from_the_first_step_on_request(case: Case, horizon: int) -> None:
    """``t = 1 … horizon``, the sink in the minimum: what the published code does."""
    system, heads, shares = build(case)
    d = exact.diffusion(heads, shares)
    v = [Fraction(int(i == system.sink)) for i in range(system.nodes)]
    best = [Fraction(0)] * system.nodes
    for _ in range(horizon):
        v = exact.vector_times(v, d)
        best = [max(a, b) for a, b in zip(best, v, strict=True)]
    got = engine.fidelity(system, horizon=horizon, tolerance=-1.0, sink="included")
    assert close(got.node[-1], best[-1])
    assert close(got.minimax, min(best))
    assert got.sink == "included"
    if system.nodes > 1:
        alone = engine.head_fidelities(system, horizon=horizon, tolerance=-1.0, sink="included")
        for h, found in enumerate(alone):
            (row,) = (head[-1] for head in [exact.normalise_rows(heads[h])])
            assert close(found.node[-1], row[-1])


@several
@given(exact.systems(most_nodes=5))
def test_the_certificate_holds_what_many_more_steps_find(case: Case) -> None:
    system, heads, shares = build(case)
    if system.nodes == 1:
        return
    short = engine.fidelity(system, horizon=8)
    d = exact.diffusion(heads, shares)
    v = [Fraction(int(i == system.sink)) for i in range(system.nodes)]
    best = list(v)
    for _ in range(60):
        v = [Fraction(float(x)) for x in exact.vector_times(v, d)]  # keeps denominators small
        best = [max(a, b) for a, b in zip(best, v, strict=True)]
    later = float(min(best[:-1]))
    assert short.lower <= short.upper
    assert short.lower <= later * (1 + 1e-12)
    assert later <= short.upper * (1 + 1e-12) + 1e-28


@several
@given(exact.systems(), st.sampled_from(["tv", "l1"]), st.sampled_from(["max", "mean"]))
def test_mixing_times_forward_and_backward(case: Case, distance: str, aggregate: str) -> None:
    system, heads, shares = build(case)
    n, limit = system.nodes, 40
    level = Fraction(1, 4) / (2 if distance == "l1" else 1)
    for direction, chain, target in (
        ("forward", exact.walk(heads, shares), n - 1),
        ("backward", exact.diffusion(heads, shares), 0),
    ):
        survival = [Fraction(int(i != target)) for i in range(n)]
        truth, close_call = None, False
        for t in range(limit + 1):
            reached = max(survival) if aggregate == "max" else sum(survival) / n
            close_call |= abs(reached - level) < Fraction(1e-12)
            if reached < level:
                truth = t
                break
            survival = exact.matrix_times(chain, survival)
            survival = [Fraction(float(s)) for s in survival] if t > 10 else survival
        got = engine.mixing_time(
            system,
            distance=distance,
            aggregate=aggregate,
            direction=direction,
            max_steps=limit,
        )
        if not close_call:
            assert got.steps == truth


def test_more_steps_than_fit_are_refused_with_the_number() -> None:
    for storage in ("dense", "sparse"):
        line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]], storage=storage)
        for call in (lambda s: engine.arrival(s, 10**12), lambda s: engine.spread(s, 0, 10**12)):
            with pytest.raises(engine.TooLargeError, match=r"would take [\d.,]+ GiB"):
                call(line)


def test_epsilon_may_be_the_largest_distance_itself() -> None:
    """Strictly below total variation 1, or L1 2: as soon as every start may have arrived."""
    line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(9)]])
    assert engine.mixing_time(line, epsilon=1.0).steps == 9
    assert engine.mixing_time(line, epsilon=2.0, distance="l1").steps == 9
    assert engine.mixing_time(line, epsilon=1.5).steps == 0
    two = engine.MultiHeadSystem.from_edges([[(0, 1)]])
    assert engine.mixing_time(two, epsilon=0.5).steps == 2  # strict: 1/2 is not below 1/2
    assert engine.mixing_time(two, epsilon=1e-20).steps == 67


def test_a_mixing_time_carries_its_convention_and_knows_when_it_is_infinite() -> None:
    for storage in ("dense", "sparse"):
        system = engine.MultiHeadSystem.from_edges(
            [[(0, 3)]], nodes=4, unreachable="allow", storage=storage
        )
        found = engine.mixing_time(
            system, distance="l1", aggregate="mean", epsilon=0.3, combine="attention"
        )
        assert found == engine.MixingTime(
            None, 10_000, True, "l1", "mean", 0.3, "forward", "attention"
        )
        # Two of four starts never arrive: their share is below 0.6 in the end, not below 0.5.
        assert engine.mixing_time(system, aggregate="mean", epsilon=0.6).steps is not None
        assert engine.mixing_time(system, aggregate="mean", epsilon=0.5).infinite
        assert engine.mixing_time(system, direction="backward").infinite
        assert [t.infinite for t in engine.head_mixing_times(system)] == [True]


def test_a_self_loop_of_almost_one_costs_no_digits() -> None:
    for gap in (1e-3, 1e-8, 1e-14, 2.0**-60):
        heads = np.array([[[1.0, 0, 0], [gap, 1.0, 0], [gap / 3, gap, 1.0]]])
        truth = exact.hitting(exact.walk([exact.fractions(heads[0])], [Fraction(1)]))
        got = engine.hitting_times(engine.MultiHeadSystem.from_weights(heads))
        np.testing.assert_allclose(got, [float(t) for t in truth], rtol=1e-15)


@pytest.mark.parametrize("loop", [1 - 1e-3, 1 - 1e-9])
def test_mixing_times_far_out_are_found_by_squaring(loop: float) -> None:
    """Two nodes: P(not arrived) = loop^t, so the mixing time is a logarithm."""
    weights = np.array([[loop, 0], [1 - loop, 1]])
    system = engine.MultiHeadSystem.from_weights(weights)
    stay = engine.walk(system)[0, 0]
    expected = int(np.floor(np.log(0.25) / np.log(stay))) + 1
    got = engine.mixing_time(system, max_steps=10**12).steps
    assert got is not None
    assert abs(got - expected) <= max(1, 1e-6 * expected)
