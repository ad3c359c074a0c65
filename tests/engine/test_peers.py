"""A peer library and plain NumPy on the same questions."""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine

quantecon = pytest.importorskip("quantecon")


def test_hitting_times_against_quantecon() -> None:
    """Send the sink back to a start: Kac's formula says 1/π_τ = 1 + hitting time (GTH solves π)."""
    rng = np.random.default_rng(0)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((3, 15, 15)) ** 4))
    times = engine.hitting_times(system)
    for start in range(14):
        chain = engine.walk(system)
        chain[-1] = 0
        chain[-1, start] = 1
        # States before the start are transient and would only make the chain reducible.
        pi = quantecon.MarkovChain(chain[start:, start:]).stationary_distributions[0]
        assert 1 / pi[-1] - 1 == pytest.approx(times[start], rel=1e-12)


def test_powers_of_matrices_in_numpy() -> None:
    rng = np.random.default_rng(1)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((4, 20, 20)) ** 3))
    p, d = engine.walk(system), engine.diffusion(system)
    powers_p = [np.linalg.matrix_power(p, t) for t in range(60)]
    powers_d = [np.linalg.matrix_power(d, t) for t in range(60)]
    np.testing.assert_allclose(
        engine.arrival(system, 59), [m[:, -1] for m in powers_p], rtol=1e-11, atol=1e-14
    )
    peak = np.max([m[-1] for m in powers_d], axis=0)
    np.testing.assert_allclose(engine.fidelity(system, horizon=59).node, peak, rtol=1e-12)
    inverse = np.linalg.solve(np.eye(19) - p[:-1, :-1], np.ones(19))
    np.testing.assert_allclose(engine.hitting_times(system)[:-1], inverse, rtol=1e-9)


def test_equal_heads_are_found_wherever_they_stand() -> None:
    from synergy_engine.operators.dense import merge_equal

    rng = np.random.default_rng(2)
    a, b = np.tril(rng.random((2, 6, 6)))
    almost = a.copy()
    almost[0, 0] = np.nextafter(almost[0, 0], 2)
    heads = np.stack([a, b, a, almost, b, a])[None]
    merged = merge_equal(heads, np.array([[1.0, 2, 3, 4, 5, 6]]))
    assert merged.tolist() == [[10, 7, 0, 4, 0, 0]]
