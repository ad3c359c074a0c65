"""Crossings foreseen from slow modes, against one product of NumPy's after another."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from synergy_engine.kernels import far
from synergy_engine.kernels.states import Survival
from synergy_engine.operators.dense import LOOKS, DenseStack, head_stack

LAST = 10_000
LEVELS, OF_MEAN = [0.25, 0.25, 0.125, 0.01], [False, True, False, True]


def crossings(step: np.ndarray, v: np.ndarray) -> list[int]:
    """The first time strictly below each level, -1 where there is none."""
    found = [-1] * len(LEVELS)
    for t in range(LAST + 1):
        for c, level in enumerate(LEVELS):
            if found[c] < 0 and (v.mean() if OF_MEAN[c] else v.max()) < level:
                found[c] = t
        v = v @ step
    return found


def peaked(n: int) -> np.ndarray:
    """Heads with some slow nodes each; the fourth has a node that hears, and one that sends, none.

    In the fifth, nodes are slow alike, one behind another; in the last, all nearly stay.

    Self-loops of both directions of the chain are large where a row's and a column's rest is small.
    """
    rng = np.random.default_rng(3)
    heads = np.tril(np.exp(rng.normal(0, 6, (6, n, n))))
    heads /= heads.sum(axis=-1, keepdims=True)
    heads[3, n // 2] = heads[3, :, n // 3] = 0.0
    heads[4] = np.tril(np.full((n, n), 1e-3), -1) + np.eye(n)
    heads[4, -1, :] = 1e-3
    heads[5] = np.tril(np.full((n, n), 1e-7), -1) + np.eye(n)
    return heads


@pytest.mark.parametrize("pulled", [False, True])
def test_what_is_foreseen_is_what_walking_finds(pulled: bool) -> None:
    n = 30
    heads = peaked(n)
    plain = head_stack(heads, "diffusion" if pulled else "walk").operators
    # Both scales at work: powers of two change nothing else.
    powers = 2.0 ** np.arange(-n // 2, n - n // 2)
    stack = DenseStack(
        heads * powers[:, None] / powers, plain.row_scale / powers, plain.column_scale * powers
    )
    near, state = (
        Survival.start(stack.count, n, levels=LEVELS, of_mean=OF_MEAN, pulled=pulled)
        for _ in range(2)
    )
    starts = state.survival.copy()
    stack.survive(near, LOOKS[0])
    far.foresee(stack.operators, near, LAST, 0, stack.count)
    stack.survive(state, LAST)
    settled = 0
    for k in range(stack.count):
        step = np.tril(stack.array(k))
        expected = crossings(step.T if pulled else step, starts[k])
        assert state.crossing[k].tolist() == expected
        if near.clock[k] > LOOKS[0]:  # this one was foreseen, not walked
            settled += max(expected) > LOOKS[0] or min(expected) < 0
            assert near.crossing[k].tolist() == expected
    assert settled >= 3
    assert near.clock[5] == LAST  # its self-loops alone decide


def test_warming_up_compiles_what_looks_far_ahead() -> None:
    """Of float32 heads and of float64 mixtures; in a process where nothing else compiles it."""
    code = (
        "import synergy_engine as engine; from synergy_engine.kernels import far; engine.warm_up();"
        "print(len(far.foresee.signatures), len(far.survive_far.signatures))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "2"]
