"""What is found wrong with weights, against a look at every entry."""

from __future__ import annotations

import numpy as np
import pytest

from synergy_engine.kernels.compare import flaws
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
