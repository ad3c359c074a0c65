"""Attention of narrow heads, and dropout, on CPUs by compiled kernels.

The kernels (`lane_kernels`) need Numba. Without it, and for wide heads, whose products a matrix
library does better, there is `explicit`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.threads import over_ranges

WIDEST = 16  # numbers per head up to which these kernels are faster than a matrix library
THREADED = 2**18  # register operations below which waking a thread costs more than it gains
DROPS_THREADED = 2**20  # entries, likewise
_NOTHING = Drops(torch.zeros(1, dtype=torch.int64), 0.0)


@cache
def compiled_kernels() -> ModuleType | None:
    """The kernels; None where there is no Numba that works."""
    try:
        from synergy_trainer.attend import lane_kernels
    except (ImportError, OSError):  # OSError: LLVM's library cannot be loaded
        return None
    return None if lane_kernels.JIT_IS_OFF else lane_kernels


def lanes_serve(x: Tensor) -> bool:
    """Whether kernels can compute with this tensor."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and compiled_kernels() is not None


class LaneAttention(torch.autograd.Function):
    """Mix values by attention: qkv (M, B, n, 3, H, w) to (M, B, n, H, w)."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, drops: Drops | None) -> Tensor:
        qkv = qkv.contiguous()
        models, sequences, length, _, heads, _ = qkv.shape
        kernels = _kernels()
        rows = length + length % 2  # the kernels compute rows in pairs
        ctx.groups = models * -(-sequences * heads // kernels.LANES)
        normalisers = qkv.new_empty(ctx.groups * rows * 2 * kernels.LANES)
        ctx.drops = (drops or _NOTHING).for_kernels()
        out = qkv.new_empty(qkv[:, :, :, 0].shape)
        ctx.save_for_backward(qkv, out, normalisers)
        _over_groups(kernels.forward, ctx, qkv, out, normalisers)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        qkv, out, normalisers = ctx.saved_tensors
        to = torch.empty_like(qkv)
        more = _sequences(gradient.contiguous()), _sequences(to)
        _over_groups(_kernels().backward, ctx, qkv, out, normalisers, *more)
        return to, None


def _over_groups(
    kernel: Any, ctx: Any, qkv: Tensor, out: Tensor, normalisers: Tensor, *more: object
) -> None:
    """Every group is computed by the same serial code: the bits do not depend on threads."""
    _, sequences, length, _, _, width = qkv.shape
    arguments = (
        _sequences(qkv), sequences, np.float32(width**-0.5), ctx.drops, _sequences(out),
        normalisers.numpy(), *more,
    )  # fmt: skip
    over_ranges(
        lambda first, last: kernel(first, last, *arguments),
        ctx.groups,
        threaded=ctx.groups * length**2 * (width + 4) > THREADED,
    )


def _kernels() -> Any:
    return compiled_kernels()


class LaneDropout(torch.autograd.Function):
    """Dropout of x (M, B, H, rows, columns)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, drops: Drops) -> Tensor:
        ctx.drops = drops.for_kernels()
        return _dropped(x, ctx.drops)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _dropped(gradient, ctx.drops), None


def _dropped(x: Tensor, drops: tuple[Any, ...]) -> Tensor:
    x = x.contiguous()
    out = torch.empty_like(x)
    arguments = _sequences(x), x.shape[1], drops, _sequences(out)
    over_ranges(
        lambda first, last: _kernels().drop(first, last, *arguments),
        x.shape[0] * x.shape[1],
        threaded=x.numel() > DROPS_THREADED,
    )
    return out


def _sequences(x: Tensor) -> NDArray[np.float32]:
    """View (M, S, …) as (M·S, …)."""
    array: NDArray[np.float32] = x.detach().view(-1, *x.shape[2:]).numpy()
    return array
