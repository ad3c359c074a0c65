"""Attention that ``torch.save`` wrote: a tensor, a tuple of layers, or dictionaries of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_engine.graphio.layouts import AVERAGED
from synergy_engine.graphio.tensors import Tensor, TensorFile
from synergy_tui.errors import UserError

if TYPE_CHECKING:
    import torch

DEEPEST = 8
"""Containers nested deeper than this are not attention."""


def read_saved(path: Path) -> TensorFile | None:
    """The tensors of a file of attention; ``None`` for a checkpoint or anything else.

    Only tensors and plain containers are unpickled (``weights_only``), so that reading runs no
    code of the file's author. What cannot be read so is left to who reads checkpoints.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception:  # bytes that are not a pickle make the unpickler raise anything
        return None
    if _generated(content):
        raise UserError(
            f"{path} contains attention of each generated token by itself, whose queries are fewer "
            "than its keys.",
            hint="Record one pass over the whole text: model(ids, output_attentions=True, "
            "use_cache=False).",
        )
    found = {name: _tensor(name, value) for name, value in _tensors(content, "", 0)}
    pair = list(found.values())
    if isinstance(content, (tuple, list)) and len(pair) == 2 and _multihead(*pair):
        # What nn.MultiheadAttention returns: its output, and its weights.
        return TensorFile({AVERAGED: _tensor(AVERAGED, content[1])}, {})
    square = [each for each in found.values() if len(each.shape) >= 3 and each.dtype.kind in "fu"]
    attention = [each for each in square if 0 <= each.shape[-1] - each.shape[-2] <= 1]
    return TensorFile(found, {}) if attention or isinstance(content, torch.Tensor) else None


def _tensors(content: Any, name: str, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor, by the keys and places that lead to it, joined with dots."""
    import torch

    if isinstance(content, torch.Tensor):
        yield name or "array", content
    elif depth < DEEPEST:
        inner: Iterator[tuple[Any, Any]] = iter(())
        if isinstance(content, Mapping):
            inner = iter(content.items())
        elif isinstance(content, (list, tuple)):
            inner = iter(enumerate(content))
        for key, value in inner:
            yield from _tensors(value, f"{name}.{key}" if name else str(key), depth + 1)


def _tensor(name: str, tensor: torch.Tensor) -> Tensor:
    import torch

    narrow = tensor.dtype == torch.bfloat16
    kinds = {torch.float16: np.float16, torch.float64: np.float64}
    plain = np.dtype("<u2") if narrow else np.dtype(kinds.get(tensor.dtype, np.float32))

    def numbers(tensor: torch.Tensor = tensor) -> np.ndarray:
        dense = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
        return (dense.float() if narrow else dense).numpy()

    load: Callable[[], np.ndarray] = numbers
    return Tensor(name, tuple(tensor.shape), plain, load, narrow)


def _multihead(output: Tensor, weights: Tensor) -> bool:
    """Whether shapes are those of an attention module's output (B, n, d) and weights."""
    shape, own = output.shape, weights.shape
    square = len(own) in (3, 4) and own[-1] == own[-2]
    return len(shape) == 3 and square and own[0] == shape[0] and own[-1] == shape[1] != shape[2]


def _generated(content: Any) -> bool:
    """Whether this is ``generate(output_attentions=True)``: a tuple of layers for each token."""
    if not isinstance(content, (tuple, list)) or len(content) < 2:
        return False
    last = content[-1]
    if not isinstance(last, (tuple, list)) or not last:
        return False
    shape: tuple[int, ...] = getattr(last[0], "shape", ())
    return len(shape) == 4 and shape[-2] == 1 < shape[-1]
