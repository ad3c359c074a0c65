"""Attention tensors from files, validated."""

from __future__ import annotations

import fnmatch
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Floats, Reals
from synergy_engine.errors import AttentionFileError, InvalidSystemError, choose
from synergy_engine.graphio.table import natural
from synergy_engine.graphio.tensors import Tensor, TensorFile, load, open_tensors
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.validation import ROW_SUM_TOLERANCE, dense_heads


@dataclass(frozen=True, eq=False)
class AttentionFile:
    """The contents of an attention file.

    Attributes
    ----------
    attention
        (B, L, H, n, n) float32 or float64, rows = queries (receivers). A single input and missing
        axes have length 1.
    head_weights
        (L, H) float64 from a tensor of that name, rows summing to one, or ``None``.
    names
        Node names, from metadata ``names``, or ``None``.
    rows
        ``"attention"``: rows sum to one; ``"any"`` for raw weights of designed graphs.
    gamma
        (B, L, n) float64 from a tensor of that name: the measured share of each node's state that
        attention writes (`engine.layered_fidelity`), or ``None``.
    """

    attention: Reals
    head_weights: Floats | None
    names: tuple[str, ...] | None
    rows: str
    gamma: Floats | None = None


def read_attention(
    path: str | Path,
    tensor: str | None = None,
    *,
    rows: str = "auto",
    tolerance: float = ROW_SUM_TOLERANCE,
) -> AttentionFile:
    """Read causal attention from ``.npy``, ``.npz`` or ``.safetensors``.

    Pickled arrays are refused; sizes are checked before anything is allocated. O(size) time; the
    file's own numbers and two copies are in memory at most. `AttentionFileError` names everything
    that is wrong: which entries are NaN, negative or not causal, which rows do not sum to one and
    by how much; or which arrays there are, when one must be chosen.

    Parameters
    ----------
    tensor
        Name, or pattern such as ``"layer*"``, of the arrays to take when there are several;
        several that match are layers, in natural order. Each is ``(n, n)``, ``(H, n, n)``,
        ``(L, H, n, n)`` or ``(B, L, H, n, n)``; of layers ``(B, H, n, n)`` too.
    rows, tolerance
        What to do about row sums: refuse what is off by more than ``tolerance``, divide by the
        sum, or take all. ``"auto"`` checks, unless the file's metadata declares raw weights.

    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "attention.npy"
    >>> np.save(file, np.tril(np.ones((2, 4, 4))) / np.arange(1, 5)[:, None])
    >>> read_attention(file).attention.shape
    (1, 1, 2, 4, 4)
    """
    path = Path(path)
    choose("rows", rows, ("auto", "check", "normalise", "any"))
    file = open_tensors(path)
    chosen = _choose(path, file, tensor)
    raw = file.metadata.get("rows") == "raw weights"
    wanted = ("any" if raw else "check") if rows == "auto" else rows
    total = sum(math.prod(each.shape) * _float_type(each.dtype).itemsize for each in chosen)
    refuse_if_too_large(3 * total, f"{path}: {len(chosen)} tensors, read")
    arrays = [_floats(load(path, each)) for each in chosen]
    try:
        attention = dense_heads(_stacked(arrays), rows=wanted, tolerance=tolerance)
    except InvalidSystemError as error:
        names = ", ".join(each.name for each in chosen[:4])
        raise AttentionFileError(
            [f"{path} ({names}): {problem}" for problem in error.problems]
        ) from None
    return AttentionFile(
        attention,
        _head_weights(path, file, attention.shape[1:3]),
        _names(path, file, attention.shape[-1]),
        "any" if raw or wanted == "any" else "attention",
        _gamma(path, file, attention.shape),
    )


def _is_attention(tensor: Tensor) -> bool:
    square = len(tensor.shape) >= 2 and tensor.shape[-1] == tensor.shape[-2]
    return square and tensor.dtype.kind in "fiub"


def _choose(path: Path, file: TensorFile, wanted: str | None) -> list[Tensor]:
    """The arrays that are meant; an error that lists them all when that is not clear."""
    tensors = file.tensors
    listed = "; ".join(str(tensors[name]) for name in sorted(tensors, key=natural)[:20])
    if wanted is not None:
        matching = (
            [tensors[wanted]]
            if wanted in tensors
            else [
                tensors[name]
                for name in sorted(tensors, key=natural)
                if fnmatch.fnmatchcase(name, wanted)
            ]
        )
        if not matching:
            raise AttentionFileError(f"{path}: no tensor is called {wanted}; there are: {listed}")
    elif "attention" in tensors:
        matching = [tensors["attention"]]
    elif len(tensors) == 1:
        matching = list(tensors.values())
    else:
        matching = [each for each in tensors.values() if _is_attention(each)]
        if len(matching) != 1:
            hint = "" if "indptr" not in tensors else "; this looks like a SciPy graph (read_graph)"
            raise AttentionFileError(
                f"{path}: say which tensor holds the attention (a name, or a pattern that matches "
                f"all layers); there are: {listed or 'none'}{hint}"
            )
    odd = [each for each in matching if not _is_attention(each) or len(each.shape) > 5]
    if odd or (len(matching) > 1 and len({each.shape for each in matching}) > 1):
        raise AttentionFileError(
            f"{path}: attention is (n, n), (H, n, n), (L, H, n, n) or (B, L, H, n, n) numbers, "
            f"layers all alike; not {'; '.join(map(str, (odd or matching)[:5]))}"
        )
    if len(matching) > 1 and len(matching[0].shape) > 4:
        raise AttentionFileError(f"{path}: {matching[0]} holds layers already; choose one tensor")
    return matching


def _floats(array: npt.NDArray[Any]) -> Reals:
    return array.astype(_float_type(array.dtype), copy=False)


def _float_type(dtype: np.dtype[Any]) -> np.dtype[np.floating]:
    """The type that numbers of a file keep: float32 where that holds them (bfloat16 does)."""
    return np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)


def _stacked(arrays: list[Reals]) -> Reals:
    """All of them as (B, L, H, n, n)."""
    if len(arrays) == 1:
        array = arrays[0]
        return array.reshape((1,) * (5 - array.ndim) + array.shape)
    layers = [array.reshape((1,) * (4 - array.ndim) + array.shape) for array in arrays]
    return np.stack(layers, axis=1)


def _head_weights(path: Path, file: TensorFile, shape: tuple[int, ...]) -> Floats | None:
    stored = file.tensors.get("head_weights")
    if stored is None:
        return None
    weights = load(path, stored).astype(np.float64)
    if weights.size != math.prod(shape):
        raise AttentionFileError(
            f"{path}: head_weights has shape {weights.shape}; the attention has "
            f"{shape[0]} layers of {shape[1]} heads"
        )
    weights = weights.reshape(shape)
    sums = weights.sum(axis=1, keepdims=True)
    if not np.all(np.isfinite(weights)) or np.any(weights < 0) or np.any(sums == 0):
        raise AttentionFileError(f"{path}: head_weights must be finite, >= 0 and not all zero")
    return weights / sums


def _gamma(path: Path, file: TensorFile, shape: tuple[int, ...]) -> Floats | None:
    stored = file.tensors.get("gamma")
    if stored is None:
        return None
    expected = (*shape[:2], shape[-1])
    gamma = load(path, stored).astype(np.float64)
    if gamma.shape != expected:
        raise AttentionFileError(
            f"{path}: gamma has shape {gamma.shape}; expected (inputs, layers, nodes) {expected}"
        )
    if not np.all((gamma >= 0) & (gamma <= 1)):
        raise AttentionFileError(f"{path}: gamma must be from 0 to 1 everywhere")
    return gamma


def _names(path: Path, file: TensorFile, nodes: int) -> tuple[str, ...] | None:
    """Names from the metadata, when they are one for each node."""
    try:
        names = json.loads(file.metadata.get("names", "null"))
    except (ValueError, RecursionError):
        names = None
    if isinstance(names, list) and len(names) == nodes:
        return tuple(map(str, names))
    return None
