"""Null models: 0 where nothing is done together, what is expected where something is."""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.analysis import nulls
from tests.engine.systems import attention


def complementary(inputs: int, noise: float = 0.05) -> np.ndarray:
    """Two heads whose row of the sink covers one half of the nodes each: (B, 2, 12, 12)."""
    rng = np.random.default_rng(0)
    a = np.tril(rng.uniform(0.5, 1, (inputs, 2, 12, 12)))
    halves = np.arange(12) < 6
    a[:, 0, -1] *= np.where(halves, 1, noise)
    a[:, 1, -1] *= np.where(halves, noise, 1)
    a[:, :, 1:-1, :] = 0
    a[:, :, range(1, 11), range(1, 11)] = 1
    return a / a.sum(axis=-1, keepdims=True)


def fidelity(heads: np.ndarray, weights: np.ndarray) -> float:
    return engine.fidelity(engine.MultiHeadSystem.from_attention(heads, weights)).minimax


def test_swapped_heads_of_two_networks_by_hand() -> None:
    """Two networks of two heads: the only null exchanges one head of each."""
    a = attention(2, 3, 2, 8, 8, dtype=np.float64)
    weights = np.array([[0.3, 0.7], [0.6, 0.4]])
    found = nulls.swap(a, weights)
    for s in range(2):
        for b in range(3):
            ways = []
            for one, other in ((s, 1 - s), (1 - s, s)):
                mixed = np.stack([a[one, b, 0], a[other, b, 1]])
                share = np.array([weights[one, 0], weights[other, 1]])
                ways.append(np.log(fidelity(a[s, b], weights[s]) / fidelity(mixed, share)))
            low, high = sorted(ways)
            assert low - 1e-12 <= found[s, b] <= high + 1e-12


def test_complementary_heads_beat_every_null() -> None:
    """In the second network the heads' halves are exchanged: swapping leaves one half unheard."""
    one = complementary(6)
    networks = np.stack([one, one[:, ::-1]])
    assert (nulls.swap(networks) > np.log(2)).all()
    assert np.abs(nulls.swap(np.stack([one, one]))).max() < 1e-12
    alternating = one.copy()
    alternating[::2] = one[::2, ::-1]
    assert nulls.shuffle(alternating, shuffles=8).mean() > np.log(1.5)
    assert nulls.subset(one, one[:, :1]) == pytest.approx(0, abs=np.log(3))


def test_heads_that_ignore_the_input_are_their_own_shuffle() -> None:
    same = np.broadcast_to(attention(1, 3, 9, 9), (5, 3, 9, 9))
    np.testing.assert_array_equal(nulls.shuffle(same), 0)


def test_gains_of_shuffled_heads_by_hand() -> None:
    """Two heads on two inputs: the null is the two systems of one head of each input."""
    a = attention(2, 1, 2, 9, 9, dtype=np.float64, sharp=4)
    (found,) = engine.analyze_batch(a, [0.3, 0.7], shuffles=1)
    clear, soon, beyond = [], [], []
    for b in range(2):
        own, null = a[b, 0], np.stack([a[b, 0, 0], a[1 - b, 0, 1]])
        gains = []
        for heads in (own, null):
            alone = [engine.MultiHeadSystem.from_attention(head[None]) for head in heads]
            together = engine.MultiHeadSystem.from_attention(heads, [0.3, 0.7])
            best = max(engine.fidelity(head).minimax for head in alone)
            steps = [engine.hitting_times(each).mean() for each in (*alone, together)]
            gains.append((engine.fidelity(together).minimax / best, min(steps[:2]) / steps[2]))
        clear.append(gains[1][0])
        soon.append(gains[1][1])
        beyond.append(gains[0][0])
    shuffled = found["nulls"]["shuffled"]
    assert shuffled["fidelity_amplification"] == pytest.approx(np.sqrt(np.prod(clear)))
    assert shuffled["hitting_gain"] == pytest.approx(np.sqrt(np.prod(soon)))
    # The middle of a 95 % interval of the mean logarithm, with which input it pairs aside.
    low, high = shuffled["beyond"]["fidelity_amplification"]
    assert np.sqrt(low * high) == pytest.approx(np.sqrt(np.prod(beyond) / np.prod(clear)))


def test_nulls_are_there_where_asked_for_and_possible() -> None:
    a = attention(3, 2, 2, 7, 7)
    assert all("nulls" in layer for layer in engine.analyze_batch(a, shuffles=2))
    for other, options in (
        (a, {}),
        (a[:1], {"shuffles": 2}),
        (a[:, :, :1], {"shuffles": 2}),
        (a, {"shuffles": 2, "convention": "paper-code"}),
    ):
        assert not any("nulls" in layer for layer in engine.analyze_batch(other, **options))
    whole = engine.overall(engine.analyze_batch(a, shuffles=2))
    layers = [layer["nulls"]["shuffled"] for layer in engine.analyze_batch(a, shuffles=2)]
    assert whole["nulls"]["shuffled"]["hitting_gain"] == pytest.approx(
        np.sqrt(np.prod([layer["hitting_gain"] for layer in layers]))
    )
    logs = [layer["per_input"]["log_fidelity"] for layer in engine.analyze_batch(a)]
    assert whole["per_input"]["log_fidelity"] == pytest.approx(np.mean(logs, axis=0).tolist())


def test_shuffled_heads_come_from_other_inputs_by_hand() -> None:
    a = attention(2, 2, 8, 8, dtype=np.float64)
    found = nulls.shuffle(a, [0.2, 0.8])
    for b in range(2):
        ways = []
        for one, other in ((b, 1 - b), (1 - b, b)):
            null = fidelity(np.stack([a[one, 0], a[other, 1]]), np.array([0.2, 0.8]))
            ways.append(np.log(fidelity(a[b], np.array([0.2, 0.8])) / null))
        assert min(ways) - 1e-12 <= found[b] <= max(ways) + 1e-12


def test_subsets_are_averaged_by_their_logarithms() -> None:
    a, small = attention(2, 3, 8, 8, dtype=np.float64), attention(2, 2, 8, 8, seed=5)
    found = nulls.subset(a, small, [0.2, 0.3, 0.5])
    for b in range(2):
        logs = [
            np.log(fidelity(a[b][list(pair)], np.array([0.2, 0.3, 0.5])[list(pair)]))
            for pair in ((0, 1), (0, 2), (1, 2))
        ]
        joint = np.log(fidelity(small[b], np.array([0.5, 0.5])))
        assert found[b] == pytest.approx(joint - np.mean(logs), rel=1e-9)
    np.testing.assert_array_equal(nulls.subset(a, a, [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]), 0)


def test_jittered_copies_do_nothing_together() -> None:
    """Computed, not recognised: not exactly 0, and far from any effect."""
    found = nulls.jitter(attention(4, 5, 20, 20, dtype=np.float64))
    assert np.abs(found).max() < 1e-6
    assert np.any(found != 0)


def test_depth_counts_the_steps() -> None:
    a = attention(2, 3, 2, 9, 9)
    assert np.any(nulls.swap(a, depth=1) != nulls.swap(a))


def test_variance_components_are_recovered() -> None:
    rng = np.random.default_rng(0)
    seeds, inputs = 300, 300
    y = (
        0.7
        + 0.4 * rng.standard_normal((seeds, 1))
        + 0.3 * rng.standard_normal((1, inputs))
        + 0.5 * rng.standard_normal((seeds, inputs))
    )
    crossed = nulls.variance_components(y)
    assert crossed.seeds == pytest.approx(0.16, rel=0.25)
    assert crossed.inputs == pytest.approx(0.09, rel=0.25)
    assert crossed.rest == pytest.approx(0.25, rel=0.02)
    assert crossed.mean == pytest.approx(0.7, abs=4 * crossed.standard_error)
    nested = nulls.variance_components(y, common_inputs=False)
    assert nested.inputs == 0
    assert nested.rest == pytest.approx(0.34, rel=0.1)
    assert nested.standard_error == pytest.approx(
        np.sqrt(nested.seeds / seeds + nested.rest / (seeds * inputs))
    )


def test_the_nested_error_is_that_of_the_means_of_seeds() -> None:
    """Where the estimate of the seeds' variance is above 0."""
    y = np.random.default_rng(1).normal(0, 1, (8, 1)) + np.random.default_rng(2).normal(
        0, 1, (8, 6)
    )
    found = nulls.variance_components(y, common_inputs=False)
    assert found.seeds > 0
    assert found.standard_error == pytest.approx(y.mean(axis=1).std(ddof=1) / np.sqrt(8))


def test_what_cannot_be_compared_is_refused() -> None:
    a = attention(1, 2, 2, 6, 6)
    with pytest.raises(engine.EngineError, match="needs two or more"):
        nulls.swap(a)
    with pytest.raises(engine.EngineError, match="needs two or more"):
        nulls.shuffle(a[0, :1])
    with pytest.raises(engine.InvalidSystemError, match="no more heads"):
        nulls.subset(a[0, :, :1], a[0])
    with pytest.raises(engine.InvalidSystemError, match=r"expected \(inputs, heads, n, n\)"):
        nulls.jitter(a[0, 0])
    with pytest.raises(engine.InvalidSystemError, match="head weights have shape"):
        nulls.jitter(a[0], [1, 2, 3])
    with pytest.raises(engine.EngineError, match="two seeds or more"):
        nulls.variance_components([[1.0, 2.0]])
