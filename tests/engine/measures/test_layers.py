"""Fidelity through a network's layers against products of matrices, rationals and all chains."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from synergy_engine.measures import layers as measured
from synergy_engine.operators import chains
from tests.engine import exact
from tests.engine.systems import attention

EXAMPLE_2 = [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]


@pytest.fixture
def example() -> np.ndarray:
    """Example 2 of the paper in two equal layers, (2, 2, 4, 4)."""
    heads = engine.MultiHeadSystem.from_edges(EXAMPLE_2).dense
    assert heads is not None
    return np.stack([heads, heads]) / heads.sum(axis=-1, keepdims=True)


def matrices(heads: np.ndarray, weights: np.ndarray, gamma: np.ndarray) -> list[np.ndarray]:
    """``M_l`` written out: heads (L, H, n, n), weights (L, H), γ (L, n)."""
    mixed = np.einsum("lh,lhji->lji", weights, heads)
    return [np.diag(1 - g) + g[:, None] * m for g, m in zip(gamma, mixed, strict=True)]


def product(each: list[np.ndarray]) -> np.ndarray:
    whole = np.eye(len(each[0]))
    for matrix in each:
        whole = matrix @ whole
    return whole


@pytest.mark.parametrize(
    ("gamma", "node", "gradient", "chain"),
    [
        ("half", [1 / 36, 0.1753472, 0.2951389, 0.5017361], [0.0208333, 0.0347222], 1 / 24),
        ("one", [1 / 9, 0.3680556, 0.3472222, 0.1736111], [1 / 12, 5 / 36], 1 / 6),
    ],
)
def test_reference_values_of_example_2(
    example: np.ndarray, gamma: str, node: list[float], gradient: list[float], chain: float
) -> None:
    found = engine.layered_fidelity(example, gamma=gamma, pairs=True)
    assert found.node == pytest.approx(node, abs=5e-8)
    assert found.minimax == pytest.approx(node[0], rel=1e-12)
    assert found.normalised == pytest.approx(4 * node[0], rel=1e-12)
    assert (found.argmin, found.gamma) == (0, gamma)
    assert found.gradient == pytest.approx(np.array([gradient] * 2), abs=5e-8)
    # (layer 2, layer 1): (h1, h2) .375, (h2, h1) .375, (h2, h2) .25
    assert found.pairs is not None
    assert found.pairs[0] == pytest.approx(np.array([[0, 0.375], [0.375, 0.25]]), abs=1e-12)
    best = engine.layered_synergy(example, gamma=gamma)
    assert best.chain_minimax == pytest.approx(chain, rel=1e-12)
    assert best.synergy == best.at_least == pytest.approx(2 / 3, rel=1e-12)
    assert best.exact
    assert sorted(best.chain) == [0, 1]


def test_published_checkpoints_carry_their_shares(paper: Path) -> None:
    """The attention of eight heads, its learned weights, and the product written out."""
    records = json.loads((paper / "reference.json").read_text())["records"]
    stored = np.load(paper / "attention.npz")
    for heads in (1, 8):
        network = np.stack([stored[f"copy_h{heads}_l{layer}"] for layer in range(1, 5)])
        weights = np.array([r["head_weights"] for r in records if r["heads"] == heads])
        rows = network.astype(float)
        rows /= rows.sum(axis=-1, keepdims=True)
        for gamma in (0.25, 0.5, 1.0):
            found = engine.layered_fidelity(network, weights, gamma=gamma)
            whole = product(matrices(rows, weights, np.full((4, 100), gamma)))
            np.testing.assert_allclose(found.node, whole[-1], rtol=1e-9, atol=1e-18)
            np.testing.assert_allclose(found.heads.sum(axis=1) + found.skip, 1, rtol=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 19), st.booleans()
)
def test_against_products_of_matrices(
    seed: int, layers: int, count: int, n: int, single: bool
) -> None:
    """Node by node, shares, gradients and pairs, for γ that differ between nodes and inputs."""
    rng = np.random.default_rng(seed)
    a = attention(2, layers, count, n, n, seed=seed, sharp=2, dtype=np.float64)
    weights = rng.random((layers, count)) + 0.01
    weights /= weights.sum(axis=1, keepdims=True)
    gamma = rng.random((2, layers, n))
    given_gamma = gamma[0] if single else gamma
    found = engine.layered_fidelity(
        a[0] if single else a, weights, gamma=given_gamma, pairs=True, sink="each", k=3
    )
    assert found.gamma == "norm"
    for b in range(1 if single else 2):
        each = matrices(a[b], weights, gamma[b])
        whole = product(each)
        node, argmin = (x if single else x[b] for x in (found.node, found.argmin))
        np.testing.assert_allclose(node, whole[-1], rtol=1e-11, atol=1e-18)
        counted = whole[-1, :-1] if n > 1 else whole[-1]
        assert argmin == np.argmin(counted)
        shares, skip = (x if single else x[b] for x in (found.heads, found.skip))
        np.testing.assert_allclose(shares.sum(axis=1) + skip, 1, rtol=1e-10)
        by_pair = found.pairs if single else found.pairs[b]  # type: ignore[index]
        for layer in range(layers):
            above, below = (
                product(each[layer + 1 :] or [np.eye(n)]),
                product(each[:layer] or [np.eye(n)]),
            )
            for h in range(count):
                through = gamma[b, layer][:, None] * a[b, layer, h]
                derivative = (above @ through @ below)[-1, argmin]
                gradient = found.gradient if single else found.gradient[b]
                assert gradient[layer, h] == pytest.approx(derivative, rel=1e-10, abs=1e-18)
                share = weights[layer, h] * derivative / whole[-1, argmin]
                assert shares[layer, h] == pytest.approx(share, rel=1e-9, abs=1e-14)
        for layer, h, k in itertools.product(range(layers - 1), range(count), range(count)):
            one = weights[layer, h] * gamma[b, layer][:, None] * a[b, layer, h]
            two = weights[layer + 1, k] * gamma[b, layer + 1][:, None] * a[b, layer + 1, k]
            rest = product(each[layer + 2 :] or [np.eye(n)])
            start = product(each[:layer] or [np.eye(n)])
            share = (rest @ two @ one @ start)[-1, argmin] / whole[-1, argmin]
            assert by_pair[layer, h, k] == pytest.approx(share, rel=1e-9, abs=1e-14)
        for sink, least in zip(
            found.sinks, found.by_sink if single else found.by_sink[b], strict=True
        ):
            assert least == pytest.approx(whole[sink, : max(sink, 1)].min(), rel=1e-11, abs=1e-18)


def test_gradients_are_finite_differences() -> None:
    a = attention(3, 2, 9, 9, sharp=1, dtype=np.float64)
    weights = np.array([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]])
    found = engine.layered_fidelity(a, weights)
    step = 1e-6
    for layer, h in itertools.product(range(3), range(2)):
        ends = []
        for sign in (1, -1):
            moved = weights.copy()
            moved[layer, h] += sign * step
            ends.append(product(matrices(a, moved, np.full((3, 9), 0.5)))[-1, found.argmin])
        slope = (ends[0] - ends[1]) / (2 * step)
        assert found.gradient[layer, h] == pytest.approx(slope, rel=1e-7)


@settings(deadline=None, max_examples=30)
@given(exact.raw_heads(most_nodes=5, most_heads=3), st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_against_exact_rationals(heads: np.ndarray, layers: int, parts: int) -> None:
    """Rows without weight keep their own state; γ = 1/parts is a float without rounding."""
    count, n = heads.shape[:2]
    weights = [Fraction(1, count)] * count
    keep = Fraction(1, parts)
    step = exact.diffusion([exact.fractions(head) for head in heads], weights)
    mixed = [[keep * step[j][i] + (1 - keep) * int(i == j) for i in range(n)] for j in range(n)]
    row = [Fraction(int(i == n - 1)) for i in range(n)]
    for _ in range(layers):
        row = [sum((row[j] * mixed[j][i] for j in range(n)), Fraction(0)) for i in range(n)]
    found = engine.layered_fidelity(np.stack([heads] * layers), gamma=1 / parts, rows="any")
    np.testing.assert_allclose(found.node, [float(x) for x in row], rtol=1e-13)
    if found.minimax == 0:
        assert np.isnan(found.heads).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_one_layer_is_one_step(seed: int, count: int) -> None:
    a = attention(1, count, 12, 12, seed=seed, dtype=np.float64)
    system = engine.MultiHeadSystem.from_attention(a[0])
    found = engine.layered_fidelity(a, gamma="one")
    once = engine.diffusion(system)[-1]
    np.testing.assert_allclose(found.node, once, rtol=1e-12)
    assert found.minimax == pytest.approx(engine.fidelity(system, depth=1).minimax, rel=1e-12)
    assert found.gradient[0] == pytest.approx(a[0, :, -1, found.argmin], rel=1e-12)
    best = engine.layered_synergy(a, gamma="one")
    assert best.chain_minimax == pytest.approx(a[0, :, -1, :-1].min(axis=-1).max(), rel=1e-12)


def every_chain(a: np.ndarray, gamma: float) -> float:
    """The best of all chains, tried one after another."""
    layers, count, n = a.shape[:3]
    best = 0.0
    for chain in itertools.product(range(count), repeat=layers):
        each = [gamma * a[layer, h] + (1 - gamma) * np.eye(n) for layer, h in enumerate(chain)]
        best = max(best, product(each)[-1, :-1].min())
    return best


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.25, 0.5, 1.0]), st.integers(2, 4))
def test_bounds_of_the_layered_synergy_bracket_the_exact_one(
    seed: int, gamma: float, layers: int
) -> None:
    """The search for many chains, made to run where all can be tried."""
    a = attention(layers, 3, 10, 10, seed=seed, sharp=3, dtype=np.float64)
    truth = every_chain(a, gamma)
    found = engine.layered_synergy(a, gamma=gamma)
    assert found.exact
    assert found.chain_minimax == pytest.approx(truth, rel=1e-10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "CHAINS", 4)
        bounded = engine.layered_synergy(a, gamma=gamma)
    assert bounded.at_least * (1 - 1e-12) <= found.synergy <= bounded.synergy * (1 + 1e-12)
    if bounded.exact:
        assert bounded.synergy == pytest.approx(found.synergy, rel=1e-12)


def test_one_source_bounds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer sources loosen the bound and may not break it."""
    monkeypatch.setattr(measured, "CHAINS", 3)
    monkeypatch.setattr(chains, "SOURCES", 1)
    monkeypatch.setattr(chains, "WORK", 1)
    for seed in range(20):
        a = attention(3, 3, 8, 8, seed=seed, dtype=np.float64)
        bounded = engine.layered_synergy(a)
        truth = bounded.minimax / every_chain(a, 0.5)
        assert bounded.at_least * (1 - 1e-12) <= truth <= bounded.synergy * (1 + 1e-12)


def test_identical_heads_are_their_own_best_chain_exactly() -> None:
    one = attention(2, 4, 1, 33, 33, sharp=4)
    found = engine.layered_synergy(np.repeat(one, 6, axis=2), np.random.default_rng(0).random(6))
    assert found.synergy.tolist() == [1.0, 1.0]
    assert found.exact.all()


def test_nothing_heard_by_any_chain() -> None:
    """Example 1: two heads of one edge each; only together do they let node 0 through."""
    heads = engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]]).dense
    assert heads is not None
    once = engine.layered_synergy(heads[None], rows="any")
    assert (once.minimax, once.synergy) == (0, 1)  # one layer cannot
    twice = engine.layered_synergy(np.stack([heads, heads]), rows="any")
    assert twice.synergy < 1  # the chain "head 1, then head 2" can
    same = engine.layered_synergy(np.stack([heads, heads[::-1]]), [[1, 1], [1, 0]], rows="any")
    assert same.minimax > 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_same_bits_on_any_number_of_threads(count: int) -> None:
    a = attention(3, 4, 8, 150, 150)
    try:
        engine.set_threads(count)
        found = engine.layered_fidelity(a, pairs=True, sink="each", k=2)
        engine.set_threads(1)
        alone = engine.layered_fidelity(a, pairs=True, sink="each", k=2)
    finally:
        engine.set_threads(None)
    for name in ("node", "heads", "skip", "gradient", "pairs", "by_sink"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))


def test_a_watcher_can_stop_it() -> None:
    with (
        engine.watch(lambda stage, done, total: done < 2),
        pytest.raises(engine.Cancelled, match="layers"),
    ):
        engine.layered_fidelity(attention(4, 2, 9, 9))


def test_layered_says_what_analyze_prints() -> None:
    a = attention(5, 3, 2, 12, 12, sharp=1)
    norms = np.random.default_rng(0).random((5, 3, 12))
    weights = [[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]
    found = engine.layered(a, weights, gammas=["half", "one", "norm", "0.25"], norms=norms)
    assert [each["gamma"] for each in found] == ["half", "one", "norm", "0.25"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    keys = ["gamma", "minimax", "normalised", "node", "layers"]
    assert list(found[0]) == [*keys, "synergy", "synergy_at_least", "exact"]
    for each, gamma in zip(found, ("half", "one", norms, 0.25), strict=True):
        clear = engine.layered_fidelity(a, weights, gamma=gamma)
        gain = engine.layered_synergy(a, weights, gamma=gamma)
        assert each["minimax"] == pytest.approx(clear.minimax.mean())
        assert each["normalised"] == pytest.approx(12 * clear.minimax.mean())
        assert each["synergy"] == pytest.approx(np.exp(np.log(gain.synergy).mean()))
        for layer, shares in enumerate(each["layers"]):
            assert sum(shares["heads"]) + shares["skip"] == pytest.approx(1)
            assert shares["heads"] == pytest.approx(clear.heads[:, layer].mean(axis=0))
    (each,) = engine.layered(a[0], sink="each", k=4)
    last = engine.layered_fidelity(a[0], sink="each", k=4)
    assert (each["k"], each["minimax_each"]) == (4, pytest.approx(last.by_sink.mean()))
    assert last.sinks == (8, 9, 10, 11)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"gamma": "norm"}, "give the norms themselves"),
        ({"gamma": "third"}, "allowed: 'half', 'one'"),
        ({"gamma": 1.5}, "from 0 to 1"),
        ({"gamma": np.full((2, 2), 0.5)}, r"expected one number, \(3, 9\) or \(1, 3, 9\)"),
        ({"gamma": float("nan")}, "from 0 to 1"),
        ({"sink": "first"}, "allowed: 'last', 'each'"),
        ({"sink": "each", "k": 0}, "at least 1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], problem: str) -> None:
    with pytest.raises(engine.EngineError, match=problem):
        engine.layered_fidelity(attention(3, 2, 9, 9), **options)  # type: ignore[arg-type]


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(engine.InvalidSystemError, match=r"expected \(layers, heads, n, n\)"):
        engine.layered_fidelity(attention(2, 9, 9))
    with pytest.raises(engine.OptionError, match="a number from 0 to 1"):
        engine.layered(attention(1, 2, 9, 9), gammas=["quarter"])
