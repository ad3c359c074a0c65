"""What is found wrong with weights, and how heads differ, against a look at every entry."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr

from synergy_engine.kernels.compare import _x_log2_x, flaws
from synergy_engine.operators.dense import diversity
from synergy_engine.validation import FAINTEST, LARGEST


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 4, 6, 9, 37])
def test_every_flaw_is_found_wherever_it_is(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    plain = np.tril(rng.uniform(0.5, 1, (n, n)))
    plain = (plain / plain.sum(axis=1, keepdims=True)).astype(dtype)
    heads, wrong, faint = [plain], [False], [False]
    for j, i in np.ndindex(n, n):
        for value in (-1e-30, np.nan, np.inf, -0.0, 1e-40, 1e-300):
            head = plain.copy()
            head[j, i] = value
            value = head[j, i]  # 1e-300 is 0 in float32
            above = i > j and (value != 0 or np.signbit(value))
            heads.append(head)
            wrong.append(bool(above or np.signbit(value) or not np.isfinite(value)))
            faint.append(bool(i <= j and 0 < value < FAINTEST))
    every = np.stack(heads)
    kind = np.int32 if dtype is np.float32 else np.int64
    faintest = np.uint64(every.dtype.type(FAINTEST).view(kind))
    found = np.empty((len(every), 3))
    flaws(every, every.view(kind), faintest, LARGEST, 0, len(every), found)
    assert found[:, 0].astype(bool).tolist() == wrong
    ok = ~np.array(wrong)
    assert found[ok, 1].astype(bool).tolist() == np.array(faint)[ok].tolist()
    off = np.abs(every[ok].sum(axis=2, dtype=float) - 1).max(axis=1)
    np.testing.assert_allclose(found[ok, 2], off, atol=1e-13)


def by_definition(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Jensen-Shannon, Jaccard and cosine distances of two heads, one row and edge at a time."""
    divergence = 0.0
    supports: list[set[tuple[int, int]]] = [set(), set()]
    n = len(one)
    diffusions = [np.zeros((n, n)), np.zeros((n, n))]
    for j in range(n):
        rows = []
        for head, support, diffusion in zip((one, other), supports, diffusions, strict=True):
            row = head[j] / head[j].sum() if head[j].any() else np.eye(n)[j]
            support |= {(i, j) for i in range(j) if row[i] > 0}
            diffusion[j] = row
            rows.append(row)
        middle = (rows[0] + rows[1]) / 2
        divergence += sum(rel_entr(row, middle).sum() for row in rows) / 2 / np.log(2) / n
    union = supports[0] | supports[1]
    jaccard = 1 - len(supports[0] & supports[1]) / len(union) if union else 0.0
    a, b = diffusions
    cosine = 1 - (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))
    return [divergence, jaccard, cosine]


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_distances_of_heads_with_and_without_all_edges(n: int) -> None:
    rng = np.random.default_rng(n)
    every = np.tril(rng.uniform(0.1, 1, (n, n)))
    some = every * (rng.random((n, n)) < 0.5)
    few = np.tril(rng.uniform(0.1, 1, (n, n))) * (rng.random((n, n)) < 0.2)
    few[n // 2] = 0.0  # hears nothing and keeps its own state
    heads = np.stack([every, some, few, every[::-1, ::-1].T])
    found = diversity(heads[None])[0]
    for a, b in np.ndindex(4, 4):
        expected = by_definition(heads[a], heads[b]) if a != b else [0.0] * 3
        np.testing.assert_allclose(found[:, a, b], expected, atol=1e-13)


def test_the_logarithm_is_that_of_the_library() -> None:
    rng = np.random.default_rng(0)
    for x in (
        *np.exp2(rng.uniform(-40, 0, 2000)),
        *(0.5**0.5 * (1 + rng.uniform(-1e-9, 1e-9, 200))),
    ):
        assert _x_log2_x(x) == pytest.approx(x * np.log2(x), rel=1e-15, abs=1e-17)
    assert _x_log2_x(0.0) == 0.0
