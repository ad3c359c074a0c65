"""Eight steps at once, panel by panel, against one product of NumPy's after another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.kernels.panels import FLUSH, STEPS, WIDE
from synergy_engine.kernels.states import Peaks, Survival
from synergy_engine.measures.fidelity import run_peaks
from synergy_engine.operators.dense import DenseStack, head_stack

SIZES = [1, 2, 7, 8, 9, 31, 64, 101, WIDE + 1]  # one panel, whole ones, one node more and less
HORIZON = 5 * STEPS + 3


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    yield
    engine.set_threads(None)


def heads(n: int, dtype: type = np.float64) -> np.ndarray:
    """A full head, a sparse one in which some nodes hear nothing, and a near-permutation.

    Above the diagonal they hold what no kernel may read.
    """
    rng = np.random.default_rng(n)
    weights = np.tril(rng.random((3, n, n)) ** 8)
    weights[1] *= rng.random((n, n)) < 0.1
    weights[2] = np.tril(10.0 ** rng.uniform(-40, -6, (n, n)))
    weights[2, range(1, n), range(n - 1)] = 1.0
    weights += np.triu(np.full((n, n), np.nan), 1)
    return weights.astype(dtype)


def operator(stack: DenseStack, k: int) -> np.ndarray:
    return np.tril(np.nan_to_num(stack.array(k)))


def steps_of(v: np.ndarray, step: np.ndarray) -> np.ndarray:
    """``v, v M, v M², …``, a NumPy product a step."""
    found = [v]
    for _ in range(HORIZON):
        found.append(found[-1] @ step)
    return np.array(found)


@pytest.mark.parametrize("kind", ["walk", "diffusion"])
@pytest.mark.parametrize("n", SIZES)
def test_trajectories_are_products(n: int, kind: str) -> None:
    stack = head_stack(heads(n), kind)  # type: ignore[arg-type]
    start = np.random.default_rng(0).normal(size=n)  # a signed vector is propagated too
    for k in range(stack.count):
        step = operator(stack, k)
        for pulled in (False, True):
            np.testing.assert_allclose(
                stack.trajectory(start, HORIZON, pulled=pulled, k=k),
                steps_of(start, step.T if pulled else step),
                rtol=1e-12,
                atol=1e-14,
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_every_peak_is_the_largest_value_of_all_steps(n: int, dtype: type) -> None:
    stack = head_stack(heads(n, dtype), "diffusion")
    state = run_peaks(stack, tolerance=-1.0, horizon=HORIZON, every_node=True)
    sink = np.eye(n)[-1]
    for k in range(stack.count):
        curve = steps_of(sink, operator(stack, k))
        np.testing.assert_allclose(state.peak[k], curve.max(axis=0), rtol=1e-12, atol=1e3 * FLUSH)
        reached = curve[state.time[k], np.arange(n)]
        np.testing.assert_allclose(reached, state.peak[k], rtol=1e-12, atol=1e3 * FLUSH)
        np.testing.assert_allclose(state.state[k], curve[-1], rtol=1e-12, atol=1e3 * FLUSH)


@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("n", SIZES[1:])
def test_levels_are_crossed_at_the_first_step_below_them(n: int, pulled: bool) -> None:
    stack = head_stack(heads(n)[:1], "walk")
    levels, of_mean = [0.9, 0.25, 0.25, 1e-3], [False, False, True, True]
    state = Survival.start(1, n, levels=levels, of_mean=of_mean, cap=5, pulled=pulled)
    step = operator(stack, 0)
    curve = steps_of(state.survival[0].copy(), step.T if pulled else step)
    stack.survive(state, HORIZON)
    for level, mean, found in zip(levels, of_mean, state.crossing[0].tolist(), strict=True):
        below = (curve.mean(axis=1) if mean else curve.max(axis=1)) < level
        assert found == (int(np.argmax(below)) if below.any() else -1)
    np.testing.assert_allclose(state.capped[0], curve[:5].mean(axis=1).sum(), rtol=1e-12)


@pytest.mark.parametrize("tolerance", [1e-12, -1.0])
def test_the_same_bits_whatever_threads_and_however_cut(tolerance: float) -> None:
    stack = head_stack(np.tile(heads(101), (8, 1, 1)), "diffusion")

    def run(horizons: list[int]) -> Peaks:
        state = Peaks.start(stack.count, 101, tolerance=tolerance, every_node=True)
        for horizon in horizons:
            stack.peaks(state, horizon)
        return state

    engine.set_threads(1)
    whole = run([90])
    for threads in (2, 3):
        engine.set_threads(threads)
        for other in (run([90]), run([STEPS, 3 * STEPS, 90])):
            np.testing.assert_array_equal(other.peak, whole.peak)
            np.testing.assert_array_equal(other.time, whole.time)
            np.testing.assert_array_equal(other.clock, whole.clock)
            np.testing.assert_array_equal(other.interval, whole.interval)


def test_a_stack_of_strided_rows_is_read_right() -> None:
    """Kernels read eight neighbours at a time: rows must not have gaps."""
    full = np.tril(np.random.default_rng(0).random((2, 20, 20)))
    strided = np.zeros((2, 20, 40))
    strided[..., ::2] = full
    one = np.ones((2, 20))
    sink = np.eye(20)[-1]
    np.testing.assert_array_equal(
        DenseStack(strided[..., ::2], one, one).trajectory(sink, 9, pulled=False),
        DenseStack(full, one, one).trajectory(sink, 9, pulled=False),
    )
