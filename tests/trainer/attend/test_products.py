"""Products given to oneDNN keep float32's digits, and nobody else notices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synergy_trainer import TrainStep, train
from synergy_trainer.attend import products
from synergy_trainer.attend.products import onednn, onednn_keeps_float32, onednn_serves
from tests.trainer.runs import PAIR, of_kind, small

there = pytest.mark.skipif(not products._is_there(), reason="oneDNN gains nothing here")


@there
@pytest.mark.skipif(not onednn_keeps_float32(), reason="this CPU rounds where it may")
@pytest.mark.parametrize("width", [4, 16, 64])
def test_products_have_the_digits_of_float32(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(50, 33, width, generator=generator)
    right = torch.randn(50, width, 100, generator=generator)
    exact = left.double() @ right.double()
    with onednn():
        batched = torch.bmm(left, right).double()
        flat = (left.flatten(0, 1) @ right[0]).double()
    assert (batched - exact).abs().max() < 1e-4
    assert (flat.view(50, 33, 100) - left.double() @ right[0].double()).abs().max() < 1e-4


@there
def test_a_cpu_that_rounds_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    product = torch.bmm

    def rounding(left: Tensor, right: Tensor) -> Tensor:
        return product(left.bfloat16().float(), right)

    monkeypatch.setattr(torch, "bmm", rounding)
    onednn_keeps_float32.cache_clear()
    assert not onednn_keeps_float32()
    assert (onednn_serves(rounding=False), onednn_serves(rounding=True)) == (False, True)
    onednn_keeps_float32.cache_clear()


@there
def test_the_callers_setting_comes_back() -> None:
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    with pytest.raises(KeyError), onednn():
        raise KeyError
    next(iter(train(small(steps=1), PAIR, device="cpu")))
    list(train(small(steps=1), PAIR, device="cpu"))
    assert matmul.fp32_precision == before


@there
def test_libraries_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    best = of_kind(train(small(), PAIR, device="cpu"), TrainStep)
    monkeypatch.setattr("synergy_trainer.cohort.onednn_serves", lambda rounding: False)
    blas = of_kind(train(small(), PAIR, device="cpu"), TrainStep)
    assert [event.loss for event in best] == pytest.approx([event.loss for event in blas], abs=1e-4)
