"""What ``torch.save`` wrote, as plain containers of tensors: read without running any code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_engine.graphio.tensors import Tensor
from synergy_tui.errors import UserError

if TYPE_CHECKING:
    import torch

DEEPEST = 8
"""Containers nested deeper than this are not attention."""


def load_plain(path: Path) -> Any:
    """Return what ``torch.save`` wrote; ``None`` for what it did not write.

    Only tensors and plain containers are unpickled (``weights_only``), so that reading runs no
    code of whoever wrote the file. A `UserError` says which objects of other kinds there are.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # bytes that are no pickle make the unpickler raise anything
        kind = re.search(r"(?:GLOBAL|[Tt]ype|class) ([\w.]+)", str(error))
        if not isinstance(error, pickle.UnpicklingError) or kind is None:
            return None
        raise UserError(
            f"{path} contains Python objects ({kind[1]}), which could run code when they are read.",
            hint="Save plain tensors: torch.save({name: tensor, …}, FILE). Of Transformers that is "
            "outputs.attentions, of TransformerLens cache.cache_dict, of nnsight {path: "
            "cache[path].output}.",
        ) from error


def named_tensors(
    content: Any, name: str = "", depth: int = 0
) -> Iterator[tuple[str, torch.Tensor]]:
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
            yield from named_tensors(value, f"{name}.{key}" if name else str(key), depth + 1)


def tensor_of(name: str, tensor: torch.Tensor) -> Tensor:
    """Describe a tensor as one of a file."""
    import torch

    narrow = tensor.dtype == torch.bfloat16
    kinds = {torch.float16: np.float16, torch.float64: np.float64}
    plain = np.dtype("<u2") if narrow else np.dtype(kinds.get(tensor.dtype, np.float32))

    def numbers(tensor: torch.Tensor = tensor) -> np.ndarray:
        dense = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
        return (dense.float() if narrow else dense).numpy()

    load: Callable[[], np.ndarray] = numbers
    return Tensor(name, tuple(tensor.shape), plain, load, narrow)
