"""Random walks against the exact answer."""

from __future__ import annotations

import numpy as np

import synergy_engine as engine


def test_monte_carlo_agrees_within_its_own_interval() -> None:
    rng = np.random.default_rng(5)
    heads = np.tril(rng.random((3, 25, 25)) ** 3)
    system = engine.MultiHeadSystem.from_weights(heads)
    for combine in ("walks", "attention"):
        seen = engine.monte_carlo(system, walks=4000, seed=11, combine=combine)
        truth = engine.hitting_times(system, combine=combine)
        off = np.abs(seen.mean - truth) / np.maximum(seen.standard_error, 1e-12)
        # 24 estimates: five standard errors are beyond one in ten thousand runs; the seed is fixed.
        assert np.all(off[:-1] < 5)
        assert seen.mean[-1] == 0
        assert not seen.censored.any()


def test_monte_carlo_says_what_it_cut_off() -> None:
    system = engine.MultiHeadSystem.from_weights([[0.999, 0], [0.001, 1]])
    seen = engine.monte_carlo(system, walks=200, max_steps=10)
    assert seen.censored[0] > 0.9
    assert seen.mean[0] <= 10


def test_a_walk_that_arrives_with_its_last_step_is_not_cut_off() -> None:
    hop = engine.MultiHeadSystem.from_weights([[0, 0], [1, 1]])
    seen = engine.monte_carlo(hop, walks=10, max_steps=1)
    assert (seen.mean[0], seen.censored[0], seen.max_steps) == (1, 0, 1)


def test_monte_carlo_intervals_cover_what_they_claim() -> None:
    """Of 400 estimates, 95 % intervals miss about 20; 45 would be a matter of one in a million."""
    rng = np.random.default_rng(3)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((2, 11, 11)) ** 2))
    truth = engine.hitting_times(system)[:-1]
    missed = 0
    for seed in range(40):
        seen = engine.monte_carlo(system, walks=1000, seed=np.int64(seed))
        missed += int(np.sum(np.abs(seen.mean[:-1] - truth) > 1.96 * seen.standard_error[:-1]))
    assert 3 < missed < 45
    assert (seen.combine, seen.seed) == ("walks", 39)


def test_capped_walks_estimate_the_capped_time() -> None:
    rng = np.random.default_rng(4)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((2, 9, 9)) ** 4))
    seen = engine.monte_carlo(system, walks=4000, max_steps=5, seed=1)
    off = np.abs(seen.mean - engine.hitting_times(system, cap=5))
    assert np.all(off <= 5 * np.maximum(seen.standard_error, 1e-12))


def test_monte_carlo_does_not_depend_on_threads() -> None:
    rng = np.random.default_rng(5)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((2, 30, 30))))
    seen = []
    for threads in (1, 3):
        engine.set_threads(threads)
        seen.append(engine.monte_carlo(system, walks=300, seed=2).mean)
    engine.set_threads(None)
    np.testing.assert_array_equal(*seen)
