"""Many steps a block, panel by panel, against one step after another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import engine
from engine.kernels import blocked
from engine.minimax import run_peaks
from engine.operators import DenseStack, Peaks, dense_heads

NODES = blocked.WORTHWHILE + 89  # neither a multiple of the panel's width nor of four


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    yield
    engine.set_threads(None)


def heads(dtype: type) -> np.ndarray:
    """A dense head, a sparse one with nodes that hear nothing, and a near-permutation."""
    rng = np.random.default_rng(0)
    weights = np.tril(rng.random((3, NODES, NODES)) ** 8)
    weights[1] *= rng.random((NODES, NODES)) < 0.02
    weights[2] = np.tril(10.0 ** rng.uniform(-40, -6, (NODES, NODES)))
    weights[2][range(1, NODES), range(NODES - 1)] = 1.0
    return weights.astype(dtype)


def run(stack: DenseStack, tolerance: float, horizon: int = 101) -> Peaks:
    return run_peaks(stack, tolerance=tolerance, horizon=horizon, every_node=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_peak_is_the_largest_value_of_the_trajectory(dtype: type) -> None:
    stack = dense_heads(heads(dtype), "diffusion")
    state = run(stack, tolerance=-1.0)
    sink = np.zeros(NODES)
    sink[-1] = 1.0
    for k in range(stack.count):
        curve = stack.trajectory(sink, 101, pulled=False, k=k)
        np.testing.assert_allclose(state.peak[k], curve.max(axis=0), rtol=1e-12, atol=1e-28)
        np.testing.assert_allclose(state.state[k], curve[-1], rtol=1e-12, atol=1e-28)
        reached = curve[state.time[k], np.arange(NODES)]
        np.testing.assert_allclose(reached, state.peak[k], rtol=1e-12, atol=1e-28)


@pytest.mark.parametrize("tolerance", [1e-12, -1.0])
def test_the_same_bits_whatever_threads_and_however_cut(tolerance: float) -> None:
    stack = dense_heads(heads(np.float64), "diffusion")
    seen = []
    for threads in (1, 2, 3):
        engine.set_threads(threads)
        seen.append(run(stack, tolerance))
    for other in seen[1:]:
        np.testing.assert_array_equal(other.peak, seen[0].peak)
        np.testing.assert_array_equal(other.interval, seen[0].interval)
    if tolerance < 0:
        cut = run(stack, tolerance, horizon=37)
        stack.peaks(cut, 101)
        np.testing.assert_array_equal(cut.peak, seen[0].peak)
        np.testing.assert_array_equal(cut.state, seen[0].state)


def test_starting_leaves_numba_as_it_is() -> None:
    """The first kernel does not load scipy.linalg, and BLAS is there for who asks for it."""
    code = (
        "import sys, numpy as np, engine\n"
        "engine.hitting_times(engine.MultiHeadSystem.from_attention(np.eye(4)))\n"
        "assert 'scipy.linalg' not in sys.modules\n"
        "import numba\n"
        "assert numba.njit(lambda a: np.dot(a, a))(np.ones(3)) == 3\n"
        "assert 'scipy.linalg' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
