"""Layered fidelity with the shares of every head, beside plain NumPy and the memory's own speed.

    python -m pytest tests/benchmarks/test_bench_engine_layers.py -o addopts="" -s

Ratios are of two times measured in this run, the fastest of several repetitions taken in turn.
Checking that the input is causal attention, which reads it once, is timed apart.
"""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine import validation
from synergy_engine.measures.layers import merge_layers, residual
from synergy_engine.operators.layers import carried
from tests.benchmarks.test_bench_engine_dense import fastest


def network(layers: int, heads: int, nodes: int) -> np.ndarray:
    """Softmax of normal logits, float32 (1, L, H, n, n), drawn head by head."""
    rng = np.random.default_rng(0)
    out = np.empty((1, layers, heads, nodes, nodes), dtype=np.float32)
    for place in np.ndindex(layers, heads):
        weights = np.tril(np.exp(2 * rng.standard_normal((nodes, nodes), dtype=np.float32)))
        out[(0, *place)] = weights / weights.sum(axis=-1, keepdims=True)
    return out


def plain(a: np.ndarray) -> list[np.ndarray]:
    """NumPy: mix every layer, then vectors down and up; γ = ½."""
    mixed = a.mean(axis=1, dtype=np.float64)
    v = np.zeros(a.shape[-1])
    v[-1] = 1
    rows = [v]
    for layer in reversed(mixed):
        v = 0.5 * v + 0.5 * (v @ layer)
        rows.append(v)
    w = np.zeros_like(v)
    w[np.argmin(v[:-1])] = 1
    shares = []
    for layer, one, above in zip(a, mixed, rows[-2::-1], strict=True):
        shares.append(0.5 * ((above.astype(a.dtype) @ layer) @ w))
        w = 0.5 * w + 0.5 * (one @ w)
    return shares


@pytest.mark.parametrize(("layers", "heads", "nodes"), [(4, 16, 100), (32, 32, 1024)])
def test_layered(layers: int, heads: int, nodes: int) -> None:
    a = network(layers, heads, nodes)
    weights = merge_layers(a, np.full((layers, heads), 1 / heads))
    gamma = residual("half", a)[1]

    def read() -> object:
        """One pass over the memory: the fastest that NumPy has."""
        return np.bitwise_or.reduce(a.view(np.int64), axis=None)

    ours, checked, check, whole_pass, theirs = fastest(
        lambda: carried(a, weights, gamma, nodes - 1, pairs=False),
        lambda: engine.layered_fidelity(a),
        lambda: validation.dense_heads(a, rows="check"),
        read,
        lambda: plain(a[0]),
        seconds=1.0 if nodes < 1000 else 5.0,
    )
    print(
        f"\n  {layers} layers, {heads} heads, {nodes} nodes: {ours * 1e3:.3g} ms with shares "
        f"(aim: {'.2 ms' if nodes < 1000 else '3 passes'}) = {ours / whole_pass:.2f} passes over "
        f"its {a.nbytes / 1e6:.4g} MB; checking the input {check * 1e3:.3g} ms; the whole call "
        f"{checked * 1e3:.3g} ms = {checked / whole_pass:.2f} passes; plain NumPy "
        f"{theirs * 1e3:.4g} ms = {theirs / ours:.3g}x, {theirs / checked:.3g}x the whole call"
    )
    shares = np.array(plain(a[0]))
    np.testing.assert_allclose(engine.layered_fidelity(a[0]).gradient, shares, rtol=1e-4)
