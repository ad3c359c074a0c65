"""Heads that several tests draw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st


def attention(
    *shape: int, seed: int = 0, sharp: float = 3.0, dtype: npt.DTypeLike = np.float32
) -> np.ndarray:
    """Softmax attention (…, n, n) of normal logits."""
    logits = np.random.default_rng(seed).normal(0, sharp, shape)
    weights = np.tril(np.exp(logits - logits.max(axis=-1, keepdims=True)))
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(dtype)


@st.composite
def gappy_heads(draw: st.DrawFn) -> np.ndarray:
    """(H, n, n) raw weights with gaps, self-loops near one, and nodes that send nothing."""
    count, n = draw(st.integers(1, 4)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = rng.random((count, n, n)) * (rng.random((count, n, n)) < draw(st.floats(0.05, 1)))
    if draw(st.booleans()):
        weights = np.ceil(weights)
    for head in weights:
        head[np.diag_indices(n)] = np.where(rng.random(n) < 0.8, rng.choice([1, 50, 1e10], n), 0)
    return np.tril(weights)
