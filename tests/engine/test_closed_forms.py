"""Closed forms and the reference table of graph families."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.measures.mixing import MIXING_TIMES


def line(n: int) -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_weights(np.eye(n) + np.eye(n, k=-1))


def full(n: int) -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_weights(np.tril(np.ones((n, n))))


def star(n: int) -> engine.MultiHeadSystem:
    weights = np.eye(n)
    weights[-1] = 1
    return engine.MultiHeadSystem.from_weights(weights)


def window(n: int, width: int) -> engine.MultiHeadSystem:
    ones = np.ones((n, n))
    return engine.MultiHeadSystem.from_weights(np.tril(ones) - np.tril(ones, -width - 1))


TABLE = [
    (line(8), (16, 11, 18, 13), 1.8046875),
    (line(32), (67, 47, 71, 55), 3.2825015362742245),
    (line(512), (1043, 767, 1059, 895), 12.78802544888798),
    (full(16), (6, 5, 7, 6), 1.0),
    (full(512), (10, 9, 11, 10), 1.0),
    (star(64), (3, 2, 4, 3), None),
    (window(256, 4), (134, 97, 138, 113), 6.437997273523297),
    (window(256, 16), (37, 26, 39, 31), 3.7766273970914734),
]
NAMES = ["line 8", "line 32", "line 512", "full 16", "full 512", "star 64", "window 4", "window 16"]


@pytest.mark.parametrize(("system", "times", "fidelity"), TABLE, ids=NAMES)
def test_reference_table(
    system: engine.MultiHeadSystem, times: tuple[int, ...], fidelity: float | None
) -> None:
    got = [engine.mixing_time(system, distance=d, aggregate=a).steps for d, a in MIXING_TIMES]
    assert tuple(got) == times
    if fidelity is not None:
        assert engine.fidelity(system).normalised == pytest.approx(fidelity, rel=1e-12)
        # The families with a fidelity here are symmetric: the reverse mixes the same.
        back = [
            engine.mixing_time(system, distance=d, aggregate=a, direction="backward").steps
            for d, a in MIXING_TIMES
        ]
        assert tuple(back) == times


@pytest.mark.parametrize("n", [3, 8, 100, 512])
def test_fidelity_of_the_line(n: int) -> None:
    """``n C(2m, m) / 4^m``, m = n - 2, at node 1, t = 2m - 1 ([FF] prints m = n - 1)."""
    m = n - 2
    truth = float(n * Fraction(math.comb(2 * m, m), 4**m))
    got = engine.fidelity(line(n))
    assert got.normalised == pytest.approx(truth, rel=1e-12)
    assert (got.argmin, got.time[got.argmin]) == (1, 2 * m - 1)
    assert got.converged
    # Of three nodes, node 0 has just drawn level when the certificate closes, and still rises.
    found = engine.analyze(line(n))["fidelity"]
    assert (found["argmin"], found["time"]) == (1, 2 * m - 1)


@pytest.mark.parametrize("n", [8, 64, 1024])
def test_mean_mixing_times_of_the_line(n: int) -> None:
    tv = engine.mixing_time(line(n), aggregate="mean").steps
    l1 = engine.mixing_time(line(n), distance="l1", aggregate="mean").steps
    assert (tv, l1) == (3 * n // 2 - 1, 7 * n // 4 - 1)


@pytest.mark.parametrize("n", [2, 100, pytest.param(4096, marks=pytest.mark.slow)])
def test_hitting_times_in_closed_form(n: int) -> None:
    steps_left = np.arange(n - 1, -1, -1)
    np.testing.assert_allclose(engine.hitting_times(line(n)), 2.0 * steps_left, rtol=1e-13)
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, n))])
    truth = np.where(steps_left > 0, 1 + harmonic[steps_left], 0)
    np.testing.assert_allclose(engine.hitting_times(full(n)), truth, rtol=1e-12)
    np.testing.assert_allclose(engine.hitting_times(star(n))[:-1], 2.0)


def test_closed_forms_at_four_thousand_nodes() -> None:
    n = 4096
    long = engine.topology("line", n, layout="sparse")
    m = n - 2
    got = engine.fidelity(long)
    assert got.normalised == pytest.approx(
        float(n * Fraction(math.comb(2 * m, m), 4**m)), rel=1e-12
    )
    assert (got.argmin, got.time[got.argmin], got.converged) == (1, 2 * m - 1, True)
    for distance, steps in (("tv", 3 * n // 2 - 1), ("l1", 7 * n // 4 - 1)):
        found = engine.mixing_time(long, distance=distance, aggregate="mean")  # type: ignore[arg-type]
        assert found.steps == steps
    np.testing.assert_allclose(
        engine.hitting_times(long), 2.0 * np.arange(n - 1, -1, -1), rtol=1e-13
    )
    assert engine.fidelity(engine.topology("fully_connected", n)).normalised == 1


def test_line_of_two_nodes_and_of_one() -> None:
    two = engine.fidelity(line(2))
    assert two.minimax == pytest.approx(1, abs=1e-11)
    one = line(1)
    assert engine.hitting_times(one).tolist() == [0.0]
    assert engine.mixing_time(one).steps == 0
    assert engine.fidelity(one).minimax == 1.0
    assert engine.analyze(one)["mixing"]["hitting_time_mean"] == 0.0
