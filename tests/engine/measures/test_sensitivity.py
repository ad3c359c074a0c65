"""Derivatives of fidelity and hitting times: reference values, exact rationals, differences."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import synergy_engine as engine
from tests.engine import exact
from tests.engine.systems import attention, gappy_heads

EXAMPLE_2 = [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
both_storages = pytest.mark.parametrize("storage", ["dense", "sparse"])


def example(storage: str = "dense") -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_edges(EXAMPLE_2, storage=storage)


def sparse_twin(system: engine.MultiHeadSystem) -> engine.MultiHeadSystem:
    heads = [engine.SparseHead.from_dense(head) for head in system.dense]
    return engine.MultiHeadSystem.from_sparse(heads, system.weights)


@both_storages
def test_example_2_to_the_digits_printed(storage: str) -> None:
    both = example(storage)
    binding = engine.sensitivity(both)
    assert (binding.node, binding.time, binding.next_node) == (2, 1, 1)
    assert binding.value == pytest.approx(5 / 12)
    np.testing.assert_allclose(binding.head, [1 / 2, 1 / 3])
    np.testing.assert_allclose(binding.towards, [1 / 12, -1 / 12])
    np.testing.assert_allclose(binding.carriage, [0.6, 0.4])
    assert not binding.switch.any()
    assert not binding.composes
    assert not binding.kink

    v = engine.sensitivity(both, node=1)
    assert (v.node, v.time) == (1, 3)
    assert v.value == pytest.approx(259 / 576)
    assert v.composes
    np.testing.assert_allclose(v.head, [1.2118055556, 1.4861111111], rtol=1e-10)
    np.testing.assert_allclose(v.towards, [-0.1371527778, 0.1371527778], rtol=1e-9)
    np.testing.assert_allclose(v.carriage, [0.449163, 0.550837], atol=5e-7)
    np.testing.assert_allclose(v.switch, [[0.440154, 0.509653], [0.432432, 0.617761]], atol=5e-7)

    alone = engine.sensitivity(both.with_weights([1, 0]))
    assert (alone.node, alone.time, alone.value) == (1, 3, 0.375)
    assert (alone.kink, alone.next_time, alone.next_time_gap) == (True, 4, 0.0)
    np.testing.assert_allclose(alone.head, [1.125, 1.1666667], atol=5e-8)
    np.testing.assert_allclose(alone.towards, [0, 1 / 24], atol=1e-15)


def test_example_2_by_edge_and_logit() -> None:
    v = engine.sensitivity(example(), node=1)
    edge, logits = v.edge, v.logits()
    np.testing.assert_allclose(edge[2, :3], [0, 0.659722, 0.173611], atol=5e-7)
    np.testing.assert_allclose(edge[3], [0, 1.048611, 0.659722, 0.4375], atol=5e-7)
    np.testing.assert_allclose(logits[0, 2], [0, 0.060764, -0.060764, 0], atol=5e-7)
    np.testing.assert_allclose(logits[0, 3], [0, 0, 0.027778, -0.027778], atol=5e-7)
    np.testing.assert_allclose(logits[1, 2], [-0.046296, 0.063657, -0.017361, 0], atol=5e-7)
    sparse = engine.sensitivity(example("sparse"), node=1)
    for h, head in enumerate(sparse.system.sparse):
        places = head.receivers(), head.indices
        np.testing.assert_allclose(sparse.edge[h], edge[places], atol=1e-15)
        np.testing.assert_allclose(sparse.logits()[h], logits[h][places], atol=1e-15)
        np.testing.assert_allclose(sparse.weights()[h], v.weights()[h][places], atol=1e-15)


def heard(heads: np.ndarray, weights: np.ndarray, node: int, time: int) -> float:
    """``(D^t)[τ, j]`` of diffusions (H, n, n), by powers."""
    mixed = np.tensordot(weights, heads, 1)
    return float(np.linalg.matrix_power(mixed, time)[-1, node])


def test_every_derivative_is_its_finite_difference() -> None:
    raw = attention(3, 7, 7, seed=5, sharp=1.5, dtype=np.float64) * 2.5
    weights = np.array([0.5, 0.2, 0.3])
    found = engine.sensitivity(engine.MultiHeadSystem.from_weights(raw, weights), node=2, time=3)
    heads, step = raw / raw.sum(axis=2, keepdims=True), 1e-6

    def slope(change: np.ndarray, what: str) -> float:
        ends = []
        for sign in (step, -step):
            if what == "head":
                ends.append(heard(heads, weights + sign * change, 2, 3))
            else:
                moved = raw + sign * change if what == "raw" else raw * np.exp(sign * change)
                moved = moved / moved.sum(axis=2, keepdims=True)
                if what == "edge":  # the same change in every head: one of the mixture
                    moved = heads + sign * change
                ends.append(heard(moved, weights, 2, 3))
        return (ends[0] - ends[1]) / (2 * step)

    np.testing.assert_allclose(found.head, [slope(e, "head") for e in np.eye(3)], rtol=1e-8)
    simplex = [slope(e - weights, "head") for e in np.eye(3)]
    np.testing.assert_allclose(found.towards, simplex, rtol=1e-7, atol=1e-11)
    for a, b in zip(*np.tril_indices(7), strict=True):
        unit = np.zeros((7, 7))
        unit[a, b] = 1.0
        assert found.edge[a, b] == pytest.approx(slope(unit, "edge"), rel=1e-7, abs=1e-10)
        for h in range(3):
            change = np.zeros_like(raw)
            change[h] = unit
            assert found.logits()[h, a, b] == pytest.approx(slope(change, "logits"), abs=1e-10)
            assert found.weights()[h, a, b] == pytest.approx(slope(change, "raw"), abs=1e-10)


@settings(max_examples=150, deadline=None)
@given(exact.systems(), st.integers(1, 11), st.data())
def test_heads_and_switches_against_rationals(
    case: tuple[np.ndarray, list[int]], time: int, data: st.DataObject
) -> None:
    heads, whole = case
    n, count = heads.shape[1], len(heads)
    assume(n > 1)
    node = data.draw(st.integers(0, n - 2))
    shares = [Fraction(w, sum(whole)) for w in whole]
    parts = [exact.normalise_rows(exact.fractions(head)) for head in heads]
    mixed = exact.mix(parts, shares)
    rows = [[Fraction(int(i == n - 1)) for i in range(n)]]
    columns = [[Fraction(int(i == node)) for i in range(n)]]
    for _ in range(time):
        rows.append(exact.vector_times(rows[-1], mixed))
        columns.append(exact.matrix_times(mixed, columns[-1]))
    f = rows[time][node]
    system = engine.MultiHeadSystem.from_weights(heads, whole)
    if f < Fraction(1e-20):
        return  # next to where values are cut to zero
    found = engine.sensitivity(system, node=node, time=time)

    def dot(v: list[Fraction], w: list[Fraction]) -> Fraction:
        return sum((a * b for a, b in zip(v, w, strict=True)), Fraction(0))

    for h in range(count):
        moved = [exact.vector_times(row, parts[h]) for row in rows]
        g = sum((dot(moved[s], columns[time - 1 - s]) for s in range(time)), Fraction(0))
        assert found.head[h] == pytest.approx(float(g), rel=1e-12, abs=1e-28)
        assert found.carriage[h] == pytest.approx(float(shares[h] * g / (time * f)), rel=1e-12)
        for k in range(count):
            onward = [exact.matrix_times(parts[k], column) for column in columns]
            c = sum((dot(moved[s], onward[time - 2 - s]) for s in range(time - 1)), Fraction(0))
            c *= shares[h] * shares[k] / f
            assert found.switch[h, k] == pytest.approx(float(c), rel=1e-12, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(gappy_heads(), st.integers(0, 2**32 - 1))
def test_euler_shares_and_switches_add_up(heads: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(heads)))
    dense = engine.MultiHeadSystem.from_weights(heads, weights)
    if not heads.any():
        return
    try:
        found = engine.sensitivity(dense, horizon=300)
    except engine.NotDifferentiableError:
        return
    t, f = found.time, found.value
    assert f == engine.fidelity(dense, horizon=300).minimax
    assert weights @ found.head == pytest.approx(t * f, rel=1e-9)
    assert weights @ found.towards == pytest.approx(0, abs=1e-9 * t * f)
    assert found.carriage.sum() == pytest.approx(1, rel=1e-9)
    assert found.switch.sum() == pytest.approx(t - 1, rel=1e-9)
    assert np.all(found.carriage >= 0)
    assert np.all(found.switch >= 0)
    twin = engine.sensitivity(sparse_twin(dense), node=found.node, time=t)
    np.testing.assert_allclose(twin.head, found.head, rtol=1e-9)
    np.testing.assert_allclose(twin.switch, found.switch, rtol=1e-9, atol=1e-12)


def test_many_steps_are_shared_out_in_blocks_of_eight() -> None:
    """A line needs 2n - 5 steps: several blocks, the last one not full."""
    line = [[(i, i + 1) for i in range(14)]] * 2
    system = engine.MultiHeadSystem.from_edges(line, weights=[3, 1])
    found = engine.sensitivity(system)
    assert (found.node, found.time) == (1, 25)
    np.testing.assert_allclose(found.carriage, [0.75, 0.25])
    np.testing.assert_allclose(found.switch, 24 * np.outer([0.75, 0.25], [0.75, 0.25]))


@both_storages
def test_what_has_no_derivative_is_refused_with_the_reason(storage: str) -> None:
    both = example(storage)
    with pytest.raises(engine.NotDifferentiableError, match="approached and not attained"):
        engine.sensitivity(both.with_weights([0, 1]))
    with pytest.raises(engine.NotDifferentiableError, match="approached"):
        engine.sensitivity(both, node=0)
    assert engine.sensitivity(both, node=0, time=5).value == pytest.approx(
        engine.clarity(both, 0, 5)[-1]
    )
    with pytest.raises(engine.NotDifferentiableError, match=r"after 2 steps.*horizon"):
        engine.sensitivity(both, node=1, horizon=2)
    chain = engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]], storage=storage)
    with pytest.raises(engine.NotDifferentiableError, match="never hears node 0"):
        engine.sensitivity(chain.with_weights([1, 0]))
    one = engine.MultiHeadSystem.from_edges([[]], nodes=1, storage=storage)
    with pytest.raises(engine.NotDifferentiableError, match="one node"):
        engine.sensitivity(one)
    with pytest.raises(engine.EngineError, match="no node 9"):
        engine.sensitivity(both, node=9)


@both_storages
def test_a_node_that_hears_none_may_still_be_at_its_best(storage: str) -> None:
    """Without self-loops everything has arrived after two steps, and nothing follows."""
    edges = [[(0, 2), (1, 2), (1, 3), (2, 3)]]
    system = engine.MultiHeadSystem.from_edges(edges, self_loops="keep", storage=storage)
    found = engine.sensitivity(system, node=0)
    assert (found.time, found.value, found.composes) == (2, 0.25, True)
    np.testing.assert_allclose(found.switch, [[1.0]])


def test_results_have_the_same_bits_on_any_number_of_threads() -> None:
    heads = attention(16, 100, 100, seed=2, sharp=4.0, dtype=np.float64)
    system = engine.MultiHeadSystem.from_attention(heads)
    found = []
    for threads in (1, 2, 5):
        engine.set_threads(threads)
        try:
            one, other = engine.sensitivity(system), engine.hitting_sensitivity(system)
            found.append(
                [one.head, one.switch, one.edge, other.head, engine.routing_bound(system).node]
            )
        finally:
            engine.set_threads(None)
    for mine in found[1:]:
        for a, b in zip(found[0], mine, strict=True):
            np.testing.assert_array_equal(a, b)


@both_storages
def test_hitting_times_of_example_2(storage: str) -> None:
    found = engine.hitting_sensitivity(example(storage))
    assert found.mean == pytest.approx(17 / 7)
    np.testing.assert_allclose(found.hitting, [4.571429, 3.142857, 2, 0], atol=5e-7)
    np.testing.assert_allclose(found.visits, [0.5, 0.642857, 1.285714, 0], atol=5e-7)
    np.testing.assert_allclose(found.head, [0.4183673469, -0.4183673469], rtol=1e-9)


def complementary() -> engine.MultiHeadSystem:
    """Two path walks over 20 nodes, forward .05 then .95 and the reverse."""
    first = np.where(np.arange(19) < 10, 0.05, 0.95)
    walks = np.zeros((2, 20, 20))
    for h, forward in enumerate((first, 1 - first)):
        walks[h, range(1, 20), range(19)] = forward
        walks[h, range(19), range(19)] = 1 - forward
        walks[h, 19, 19] = 1.0
    return engine.MultiHeadSystem.from_weights(walks)


def test_complementary_paths() -> None:
    both = complementary()
    np.testing.assert_allclose(engine.hitting_sensitivity(both).head, [-7.2, 7.2])
    assert engine.hitting_sensitivity(both).mean == pytest.approx(19)
    at_head_1 = engine.hitting_sensitivity(both.with_weights([1, 0]))
    assert at_head_1.mean == pytest.approx(62.105263, abs=5e-7)
    assert at_head_1.head[1] == pytest.approx(-983.268698, abs=5e-7)


@settings(max_examples=100, deadline=None)
@given(exact.systems())
def test_hitting_slopes_against_rationals(case: tuple[np.ndarray, list[int]]) -> None:
    heads, whole = case
    shares = [Fraction(w, sum(whole)) for w in whole]
    matrices = [exact.fractions(head) for head in heads]
    p = exact.walk(matrices, shares)
    h = exact.hitting(p)
    dense = engine.MultiHeadSystem.from_weights(heads, whole)
    if any(time is None for time in h):
        with pytest.raises(engine.NotDifferentiableError, match="infinite"):
            engine.hitting_sensitivity(dense)
        return
    n = len(p)
    y: list[Fraction] = []
    for i in range(n - 1):
        came = sum((y[k] * p[k][i] for k in range(i)), Fraction(1, n))
        y.append(came / sum(p[i][i + 1 :], Fraction(0)))
    systems = [dense]
    if all(head.any() for head in heads):
        systems.append(sparse_twin(dense))
    for found in map(engine.hitting_sensitivity, systems):
        np.testing.assert_allclose(found.visits[:-1], [float(v) for v in y], rtol=1e-12)
        for k, matrix in enumerate(matrices):
            alone = exact.walk([matrix], [Fraction(1)])
            d, size = Fraction(0), Fraction(0)
            for i in range(n - 1):
                ahead = sum(
                    (alone[i][j] * (h[j] - h[i]) for j in range(i + 1, n)),  # type: ignore[operator]
                    Fraction(0),
                )
                d += y[i] * (1 + ahead)
                size += y[i] * (1 + abs(ahead))
            assert abs(Fraction(found.head[k]) - d) <= Fraction(1e-12) * size


def test_slopes_by_edge_are_finite_differences_of_the_walk() -> None:
    system = engine.MultiHeadSystem.from_attention(
        attention(2, 6, 6, seed=1, sharp=1.0, dtype=np.float64)
    )
    found, p = engine.hitting_sensitivity(system), engine.walk(system)

    def mean(walk: np.ndarray) -> float:
        solved = np.linalg.solve(np.eye(5) - walk[:-1, :-1], np.ones(5))
        return float(solved.sum() / 6)

    for i, j in zip(*np.triu_indices(6, 1), strict=True):
        change = np.zeros((6, 6))
        change[i, j], change[i, i] = 1e-6, -1e-6
        slope = (mean(p + change) - mean(p - change)) / 2e-6
        assert found.edge[i, j] == pytest.approx(slope, rel=1e-6)
