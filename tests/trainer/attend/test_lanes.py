"""Compiled attention of narrow heads against attention written out in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor

from synergy_trainer import RunSettings, TrainSettings
from synergy_trainer.attend import lane_kernels, lanes, threads
from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.lanes import LaneAttention
from synergy_trainer.cohort import Cohort
from tests.trainer.runs import torch_threads

LANES = lane_kernels.LANES


@njit
def powers(x, out):  # type: ignore[no-untyped-def]
    for place in range(0, len(x), LANES):
        lane_kernels.store(out, place, lane_kernels.exp2(lane_kernels.load(x, place)))


def test_powers_of_two_are_as_exact_as_float32() -> None:
    x = np.linspace(-96, 127, 2**18, dtype=np.float32)
    found = np.empty_like(x)
    powers(x, found)
    wanted = np.exp2(x.astype(np.float64))
    assert np.abs(found / wanted - 1).max() < 1.2e-7
    whole = np.arange(-96, 128)
    found = np.empty(len(whole), dtype=np.float32)
    powers(whole.astype(np.float32), found)
    assert np.array_equal(found, np.ldexp(1.0, whole))


def test_powers_of_two_that_vanish_and_of_not_a_number() -> None:
    x = np.full(LANES, -96.5, dtype=np.float32)
    x[1:4] = -1e30, -np.inf, np.nan
    found = np.empty_like(x)
    powers(x, found)
    assert np.array_equal(found[:3], np.full(3, 2.0**-96, dtype=np.float32))
    assert np.isnan(found[3])


class Case:
    """Random attention through the kernels: models, sequences, tokens, 3, heads, head width."""

    def __init__(self, shape: tuple[int, ...], dropout: float = 0.0, scale: float = 1.0) -> None:
        random = torch.Generator().manual_seed(0)
        self.qkv = scale * torch.randn(shape, generator=random)
        self.gradient = torch.randn(self.qkv[:, :, :, 0].shape, generator=random)
        keys = torch.randint(2**32, (shape[0],), generator=random)
        self.drops = Drops(keys, dropout) if dropout else None

    def run(self) -> tuple[Tensor, Tensor]:
        """Output and gradient of queries, keys and values."""
        qkv = self.qkv.clone().requires_grad_()
        out = LaneAttention.apply(qkv, self.drops)
        (to,) = torch.autograd.grad(out, qkv, self.gradient)
        return out.detach(), to

    def wanted(self) -> tuple[Tensor, Tensor]:
        """The same in float64, by automatic differentiation."""
        qkv = self.qkv.double().requires_grad_()
        queries, keys, values = qkv.transpose(2, 4).unbind(3)
        length = queries.shape[3]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = (queries @ keys.mT / queries.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
        attention = scores.softmax(-1)
        if self.drops is not None:
            kept = self.drops.kept(self.qkv.shape[1], self.qkv.shape[4], length, length)
            attention = attention * kept / (1 - self.drops.probability)
        out = (attention @ values).transpose(2, 3)
        (to,) = torch.autograd.grad(out, qkv, self.gradient.double())
        return out.detach(), to


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 3, 1, 1),  # one token sees itself
        (1, 3, 2, 3, 5, 4),  # 15 pairs: one lane is left over
        (1, 4, 7, 3, 4, 3),  # 16 pairs; an odd number of rows; three numbers per head
        (1, 17, 8, 3, 1, 8),  # 17 pairs: one in a group of its own
        (3, 5, 9, 3, 4, 6),  # models end within a group
        (2, 3, 33, 3, 16, 16),
    ],
)
def test_output_and_gradients(shape: tuple[int, ...], dropout: float) -> None:
    case = Case(shape, dropout)
    for found, wanted in zip(case.run(), case.wanted(), strict=True):
        assert torch.allclose(found.double(), wanted, atol=2e-6, rtol=2e-5)


def test_large_scores_neither_overflow_nor_vanish() -> None:
    case = Case((1, 8, 12, 3, 4, 4), scale=30.0)
    for found, wanted in zip(case.run(), case.wanted(), strict=True):
        assert torch.allclose(found.double(), wanted, atol=5e-3, rtol=1e-3)


def test_a_later_token_changes_nothing_before() -> None:
    case = Case((1, 4, 8, 3, 4, 4))
    before, _ = case.run()
    case.qkv[:, :, 5:] *= -3.0
    after, _ = case.run()
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:], after[:, :, 5:])


@pytest.mark.parametrize("length", [8, 7])
@pytest.mark.parametrize("part", [0, 1, 2], ids=["queries", "keys", "values"])
@pytest.mark.parametrize("what", [torch.nan, torch.inf])
def test_not_a_number_stays_in_its_head_and_after_its_token(
    length: int, part: int, what: float
) -> None:
    """As a diverged model must leave those that train beside it alone."""
    case = Case((3, 4, length, 3, 4, 4))
    clean, clean_to = case.run()
    case.qkv[1, 1, 3, part, 2] = what
    out, to = case.run()
    lost = out[1, 1, 3:, 2] if part else out[1, 1, 3, 2]
    assert lost.isfinite().logical_not().all()
    assert not to[1, 1, :, :, 2].isfinite().all()
    assert torch.equal(out[:, :, :3], clean[:, :, :3])
    others = torch.ones(3, 4, 4, dtype=torch.bool)
    others[1, 1, 2] = False
    assert torch.equal(clean.transpose(2, 3)[others], out.transpose(2, 3)[others])
    assert torch.equal(clean_to.transpose(2, 4)[others], to.transpose(2, 4)[others])


@pytest.mark.parametrize("openmp", [True, False])
def test_bits_do_not_depend_on_threads(openmp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "THREADED", 0)
    if not openmp:
        monkeypatch.setattr(threads, "_gnu_openmp", lambda: None)
    case, found = Case((2, 9, 15, 3, 8, 8), 0.1), []
    for count in (1, 2, 3):
        with torch_threads(count):
            found.append(case.run())
    for out, to in found[1:]:
        assert torch.equal(out, found[0][0])
        assert torch.equal(to, found[0][1])


def losses_of(settings: TrainSettings, heads: int) -> list[float]:
    cohort = Cohort(settings, [RunSettings("a", heads)], torch.device("cpu"))
    found = []
    for _ in range(5):
        measured = cohort.update(measure=True)
        assert measured is not None
        found.append(measured.losses.item())
    return found


SMALL = TrainSettings(task="sort", length=13, batch=8, embed=32, mlp=16, layers=2)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_trained_by_either_attention(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SMALL, dropout=dropout)
    used = []
    apply = LaneAttention.apply
    monkeypatch.setattr(LaneAttention, "apply", lambda *given: (used.append(1), apply(*given))[1])
    by_lanes = losses_of(settings, 4)
    assert len(used) == 10
    monkeypatch.setattr(lanes, "compiled_kernels", lambda: None)
    explicitly = losses_of(settings, 4)
    assert len(used) == 10
    assert by_lanes == pytest.approx(explicitly, abs=1e-5)


def test_wide_heads_are_left_to_the_matrix_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_asked() -> None:
        raise AssertionError

    monkeypatch.setattr(lanes, "compiled_kernels", not_asked)
    losses_of(SMALL, 1)


WITHOUT = """
import synergy_trainer as trainer
settings = trainer.TrainSettings(task="copy", length=8, steps=3, batch=4, embed=8, mlp=8)
events = list(trainer.train(settings, [trainer.RunSettings("one", heads=2)], device="cpu"))
trainer.warm_up()
from synergy_trainer.attend import lanes
assert lanes.compiled_kernels() is None
print([event.loss for event in events if isinstance(event, trainer.TrainStep)])
"""


def test_training_needs_no_numba_that_compiles() -> None:
    """Nor any that is installed: ``test_bare``."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.split(",")) == 3, done.stderr


def test_kernels_compile_where_nothing_can_be_kept() -> None:
    names: dict[str, Callable[[int], int]] = {}
    exec("def one_more(x): return x + 1", names)  # of no file, beside which it could be kept
    with pytest.raises(RuntimeError, match="cache"):
        njit(names["one_more"], cache=True)
    assert lane_kernels.compiled(names["one_more"])(1) == 2


WARM = """
import synergy_trainer as trainer
trainer.warm_up()
from synergy_trainer.attend import lane_kernels
kernels = lane_kernels.forward, lane_kernels.backward, lane_kernels.drop
assert [len(kernel.signatures) for kernel in kernels] == [1, 1, 1]
settings = trainer.TrainSettings(
    task="sort", length=13, batch=8, embed=32, layers=1, steps=2, dropout=0.1
)
list(trainer.train(settings, [trainer.RunSettings("eight", heads=8)], device="cpu"))
assert [len(kernel.signatures) for kernel in kernels] == [1, 1, 1]
"""


def test_warming_up_compiles_what_training_runs() -> None:
    subprocess.run([sys.executable, "-c", WARM], check=True)
