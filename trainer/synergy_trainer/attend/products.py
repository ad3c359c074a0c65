"""Which library multiplies float32 matrices on a CPU.

PyTorch gives such products to its BLAS, MKL on x86, which leaves half of an AMD processor's vector
width unused; oneDNN, which PyTorch ships too, uses all of it and reaches twice the speed. PyTorch
turns to oneDNN where it may round the factors to bfloat16. oneDNN makes use of that permission only
on processors with matrix units for it (Intel's AMX), so elsewhere granting it changes the library
and not the factors; whether it does is found by multiplying.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


@contextmanager
def onednn() -> Iterator[None]:
    """Let oneDNN multiply, and round factors to bfloat16 where that is faster."""
    matmul = _setting()
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def onednn_serves(rounding: bool) -> bool:
    """Whether products are better given to oneDNN, if `rounding` factors to bfloat16 is allowed."""
    return _is_there() and (rounding or onednn_keeps_float32())


@cache
def onednn_keeps_float32() -> bool:
    """Whether products keep float32's digits even where they may be rounded.

    Found by multiplying by one, in each of the ways that the trainer does, what bfloat16 cannot
    represent.
    """
    if not _is_there():
        return True
    fine, one = torch.full((64, 64), 1.0 + 2.0**-12), torch.eye(64)
    with torch.no_grad(), onednn():
        products = (
            fine @ one,
            one @ fine,
            torch.addmm(torch.zeros(64), fine, one),
            torch.bmm(fine[None], one[None])[0],
            torch.baddbmm(torch.zeros(1, 1, 64), one[None], fine[None])[0],
        )
    return all(torch.equal(product, fine) for product in products)


def _setting() -> Any:
    """Where the precision of oneDNN's products is set; PyTorch has it since 2.9."""
    return getattr(torch.backends.mkldnn, "matmul", None)


def _is_there() -> bool:
    """Whether this PyTorch can give products to oneDNN, on a CPU that gains by it."""
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(_setting(), "fp32_precision")
        and "AVX512" in torch.backends.cpu.get_cpu_capability()
    )
