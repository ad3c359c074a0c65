"""What CUDA computes in one kernel per direction: attention with dropout, dropout, RMSNorm.

The kernels (`fused_kernels`) need Triton, which PyTorch brings along on Linux. Without it, for
heads or sequences they do not fit, or once they have failed, there are PyTorch's own operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from itertools import groupby, repeat
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from synergy_trainer.attend.dropout import Drops

WIDEST, LONGEST = 64, 128  # a head's numbers, and tokens, that one program keeps in registers
_LOG2_E = 1.4426950408889634
_ENTRIES = 2048  # of a tile of elementwise kernels
_PARTS = (16, 10, 8, 5, 4, 2)  # that tokens are divided into for gradients of weights
_ROWS = 64  # of a tile of products
_DEVICES = {"cuda"}
_failures: list[str] = []


@cache
def _kernels() -> ModuleType | None:
    try:
        from synergy_trainer.attend import fused_kernels
    except ImportError:
        return None
    except Exception as error:  # of a Triton that is too old, or cannot load its library
        give_up(f"they cannot be loaded ({type(error).__name__}: {error})")
        return None
    return fused_kernels


def missing() -> str:
    """Why this process does not use Triton's kernels; empty where it does."""
    found = _kernels()
    if _failures:
        return _failures[0]
    return "install triton" if found is None else ""


def give_up(reason: str) -> None:
    """Use PyTorch's own operations from now on, in this process."""
    _failures.append(reason)


def fused_serves(x: Tensor) -> bool:
    """Whether the kernels can compute with this tensor."""
    return (
        x.device.type in _DEVICES and x.dtype in (torch.float32, torch.bfloat16) and not missing()
    )


def attention_is_fused(qkv: Tensor, heads: Iterable[int]) -> bool:
    """Whether there are kernels for attention of qkv (M, B, n, 3·d) by so many heads."""
    widest = qkv.shape[-1] // (3 * min(heads))
    return qkv.shape[2] <= LONGEST and widest <= WIDEST and fused_serves(qkv)


def _tf32() -> bool:
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return bool(matmul.fp32_precision == "tf32")
    return bool(matmul.allow_tf32)


def _power_of_two(number: int, least: int = 16) -> int:
    return max(least, 1 << (number - 1).bit_length())


def _numbers(drops: Drops | None) -> tuple[int, int, int, float]:
    """Rank, size, threshold and gain, as kernels take them."""
    return (
        (0, 1, 0, 1.0) if drops is None else (drops.rank, drops.size, drops.threshold, drops.gain)
    )


def _launch(name: str, grid: tuple[int, ...], x: Tensor, *rest: Any, **options: Any) -> None:
    """Run a kernel on the device of its first tensor."""
    with torch.cuda.device_of(x):
        getattr(_kernels(), name)[grid](x, *rest, **options)


class FusedAttention(torch.autograd.Function):
    """Mix values by attention: qkv (M, B, n, 3·d) to (M, B, n, d).

    `heads` are those of M models, in stretches of equal ones; each stretch is a kernel, and they
    run at the same time. Float32 products are TF32's where PyTorch's are; otherwise they are made
    of three TF32 products, which leaves out the last two or three bits.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: Sequence[int], drops: Drops | None) -> Tensor:
        qkv = qkv.contiguous()
        models, sequences, length, width = qkv.shape
        out = qkv.new_empty(models, sequences, length, width // 3)
        size = _power_of_two(length)
        normalisers = qkv.new_empty(sequences * sum(heads), size, dtype=torch.float32)
        ctx.heads, ctx.drops = heads, drops
        ctx.precision = "tf32" if _tf32() else "tf32x3"
        ctx.save_for_backward(qkv, out, normalisers)
        _attention("attention_forward", ctx, qkv, out, normalisers)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        qkv, out, normalisers = ctx.saved_tensors
        to = torch.empty_like(qkv)
        _attention("attention_backward", ctx, qkv, out, normalisers, gradient.contiguous(), to)
        return to, None, None


def _attention(
    name: str, ctx: Any, qkv: Tensor, out: Tensor, normalisers: Tensor, *more: Tensor
) -> None:
    """Run one kernel per stretch of models with equally many heads, side by side."""
    _, sequences, length, d = out.shape
    drops: Drops | None = ctx.drops
    stretches = [(heads, len(list(members))) for heads, members in groupby(ctx.heads)]
    branches = _branches(qkv.device, len(stretches) - 1)
    start = row = 0
    with _side_by_side(qkv, branches) as places:
        for (heads, count), place in zip(stretches, places, strict=False):
            own, width = slice(start, start + count), d // heads
            pairs = count * sequences * heads
            parts = [each[own] for each in (qkv, out)]
            parts += [normalisers[row : row + pairs], *(each[own] for each in more)]
            keys = parts[0] if drops is None else drops.keys[own]  # not read without dropout
            with place:
                _launch(
                    name, (pairs,), *parts, keys, sequences, length, heads,
                    width**-0.5 * _LOG2_E, *_numbers(drops), W=width, PADDED=_power_of_two(width),
                    N=normalisers.shape[1], BLOCK=min(normalisers.shape[1], 64),
                    DROPS=drops is not None, PRECISION=ctx.precision, num_warps=4, num_stages=1,
                )  # fmt: skip
            start, row = start + count, row + pairs


@cache
def _branches(device: torch.device, count: int) -> list[torch.cuda.Stream]:
    """Streams beside the current one."""
    if device.type != "cuda":
        return []
    return [torch.cuda.Stream(device) for _ in range(count)]


@contextmanager
def _side_by_side(
    x: Tensor, branches: Sequence[torch.cuda.Stream]
) -> Iterator[Iterable[AbstractContextManager[object]]]:
    """Places to launch from whose kernels may overlap: all start after, and end before, others."""
    if not branches:
        yield repeat(nullcontext())
        return
    own = torch.cuda.current_stream(x.device)
    for branch in branches:
        branch.wait_stream(own)
    yield [nullcontext(), *map(torch.cuda.stream, branches)]
    for branch in branches:
        own.wait_stream(branch)


class FusedDropout(torch.autograd.Function):
    """Dropout of x (M, B, H, rows, columns), and the sum with a tensor of that shape if given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, drops: Drops, added: Tensor | None) -> Tensor:
        ctx.drops, ctx.dtype, ctx.adds = drops, x.dtype, added is not None
        return _dropped(x, drops, added)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor | None]:
        to = _dropped(gradient, ctx.drops, None, ctx.dtype)
        return to, None, gradient if ctx.adds else None


def _dropped(
    x: Tensor, drops: Drops, added: Tensor | None, dtype: torch.dtype | None = None
) -> Tensor:
    x = x.contiguous()
    models, sequences, heads, rows, columns = x.shape
    out = torch.empty_like(x, dtype=dtype or (x if added is None else added).dtype)
    across = min(_power_of_two(columns), 128)
    down = _ENTRIES // across
    grid = (models * sequences * heads, -(-rows // down), -(-columns // across))
    _launch(
        "drop", grid, x, x if added is None else added.contiguous(), out, drops.keys,
        sequences, heads, rows, columns, *_numbers(drops),
        R=down, C=across, ADDS=added is not None,
    )  # fmt: skip
    return out


class FusedNormalise(torch.autograd.Function):
    """x / rms(x) along the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        x = x.contiguous()
        out, factors = torch.empty_like(x), x.new_empty(x.shape[:-1])
        ctx.save_for_backward(out, factors)
        grid, options = _rows(x)
        rows, width = factors.numel(), x.shape[-1]
        _launch("normalise_forward", grid, x, out, factors, rows, width, epsilon, **options)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        out, factors = ctx.saved_tensors
        to = torch.empty_like(out)
        grid, options = _rows(out)
        _launch(
            "normalise_backward", grid, out, factors, gradient.contiguous(), to, factors.numel(),
            out.shape[-1], **options,
        )  # fmt: skip
        return to, None


def _rows(x: Tensor) -> tuple[tuple[int], dict[str, int]]:
    """Grid and tile of a kernel that reduces each row."""
    across = _power_of_two(x.shape[-1])
    down = max(1, _ENTRIES // across)
    return (-(-(x.numel() // x.shape[-1]) // down),), {"R": down, "C": across}


class Affine(torch.autograd.Function):
    """x Wᵀ + b for x (M, T, i), W (M, o, i), b (M, o), fit for small models and many tokens.

    A matrix library writes the bias in a pass of its own, and gives the gradient of a small weight,
    a sum over all tokens, to the few processors that its entries occupy. So the bias is added where
    the product is made, and the gradient is summed in parts; a kernel for that was slower.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if not _products_serve(x):
            return torch.baddbmm(bias[:, None, :], x, weight.mT)
        x = x.contiguous()
        models, tokens, inputs = x.shape
        outputs = weight.shape[1]
        out = x.new_empty(models, tokens, outputs)
        grid = (-(-tokens // _ROWS), -(-outputs // _ROWS), models)
        _launch(
            "affine", grid, x, weight.contiguous(), bias.contiguous(), out, tokens, inputs, outputs,
            R=_ROWS, C=_ROWS, K=_power_of_two(inputs), PRECISION="tf32", num_warps=4,
        )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        models, tokens, _ = x.shape
        parts = next((k for k in _PARTS if tokens % k == 0 and tokens // k >= 128), 1)
        one, other = (each.reshape(models * parts, tokens // parts, -1) for each in (gradient, x))
        of_weight = torch.bmm(one.mT, other).unflatten(0, (models, parts)).sum(1)
        return torch.bmm(gradient, weight), of_weight, gradient.sum(1)


def _products_serve(x: Tensor) -> bool:
    """Whether the kernel multiplies by as many bits as PyTorch is to, and holds all inputs."""
    return x.shape[-1] <= 128 and (x.dtype == torch.bfloat16 or _tf32()) and fused_serves(x)
