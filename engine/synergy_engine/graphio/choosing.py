"""Which tensors of a file are the attention of a model's layers."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synergy_engine.arrays import Reals
from synergy_engine.errors import AttentionFileError
from synergy_engine.graphio.table import natural
from synergy_engine.graphio.tensors import Tensor, TensorFile, load

MASKS = ("attention_mask", "mask")
"""What files call the mask of padding that a tokenizer makes."""

_BESIDE = (*MASKS, "head_weights", "gamma")
"""Tensors of known meaning, which may be square by chance."""

_SHOWN = 20
_LAYER_WORD = re.compile(r"(?:^|[^a-z])(?:blocks?|layers?|h|attentions?)[^a-z0-9]?$", re.IGNORECASE)

_FEWER = (
    "queries are fewer than keys, as when a KV cache is used: record one pass over the whole text "
    "(use_cache=False), in which every token is a query"
)


def choose_tensors(
    path: Path, file: TensorFile, wanted: str | None, *, sinks: bool
) -> tuple[list[Tensor], list[str]]:
    """The layers that are meant, in order, and what to say about the choice.

    ``wanted`` is a name or a pattern; ``sinks`` admits one key more than there are queries. An
    `AttentionFileError` lists what there is where the choice is not clear.
    """
    tensors = file.tensors
    names = sorted(tensors, key=natural)
    fits = [tensors[name] for name in names if _fits(tensors[name], sinks)]
    if wanted is not None:
        chosen = (
            [tensors[wanted]]
            if wanted in tensors
            else [tensors[name] for name in names if fnmatch.fnmatchcase(name, wanted)]
        )
        if not chosen:
            there = _listed([[tensors[name]] for name in names])
            raise AttentionFileError(f"{path}: no tensor is called {wanted}; there are: {there}")
    elif "attention" in tensors:
        chosen = [tensors["attention"]]
    elif len(tensors) == 1:
        chosen = list(tensors.values())
    else:
        chosen = _found(path, file, [each for each in fits if each.name not in _BESIDE])
    _refuse_unfit(path, chosen, sinks)
    notes = []
    if wanted is None and len(chosen) < len(fits):
        notes.append(f"attention taken from {_pattern(chosen)}")
    numbers = _varying(chosen)
    if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        notes.append(
            f"layers are those of the numbers {', '.join(map(str, numbers))} in their names"
        )
    return chosen, notes


def _found(path: Path, file: TensorFile, fits: list[Tensor]) -> list[Tensor]:
    """The only set of layers that a file contains, by names and shapes, then by what is in them."""
    sets = _sets_of_layers(fits)
    if len(sets) > 1:
        sets = (
            _different(path, [each for each in sets if _is_causal(floats(path, each[0]))]) or sets
        )
    if len(sets) == 1:
        return sets[0]
    cached = [each for each in file.tensors.values() if _cached(each)] if not fits else []
    if cached:
        raise AttentionFileError(f"{path}: {cached[0]}: {_FEWER}")
    names = sorted(file.tensors, key=natural)
    there = _listed(sets or [[file.tensors[name]] for name in names])
    hint = "" if "indptr" not in file.tensors else "; this looks like a SciPy graph (read_graph)"
    raise AttentionFileError(
        f"{path}: say which tensor holds the attention (a name, or a pattern that matches "
        f"all layers); there are: {there or 'none'}{hint}"
    )


def _sets_of_layers(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors of one shape whose names differ in one number: the layer's, if several differ."""
    alike: dict[Any, list[Tensor]] = {}
    for each in tensors:
        alike.setdefault((each.shape, *re.split(r"\d+", each.name)), []).append(each)
    sets: dict[Any, list[Tensor]] = {}
    for (_, *words), group in alike.items():
        numbers = [re.findall(r"\d+", each.name) for each in group]
        varying = [
            at for at, column in enumerate(zip(*numbers, strict=True)) if len(set(column)) > 1
        ]
        named = [at for at in varying if _LAYER_WORD.search(words[at])]
        layer = next(iter(named or varying), None)
        for each, own in zip(group, numbers, strict=True):
            others = tuple(number for at, number in enumerate(own) if at != layer)
            sets.setdefault((each.shape, *words, others), []).append(each)
    return list(sets.values())


def _is_causal(array: Reals) -> bool:
    """Whether most rows are shares of what is not later, so that padding may be between them."""
    with np.errstate(invalid="ignore", over="ignore"):
        sums = array.sum(axis=-1, dtype=np.float64)
        later = np.triu(array, 1).sum(axis=-1, dtype=np.float64)
        rows = (array.min(axis=-1) >= 0) & (later == 0) & (sums > 0) & (sums < 1.5)
    return bool(rows.size) and float(rows.mean()) > 0.5


def _different(path: Path, sets: list[list[Tensor]]) -> list[list[Tensor]]:
    """Sets of layers without those whose numbers are those of an earlier one."""
    kept: list[list[Tensor]] = []
    for each in sets:
        same = (
            len(each) == len(other)
            and each[0].shape == other[0].shape
            and all(
                np.array_equal(floats(path, one), floats(path, two))
                for one, two in zip(each, other, strict=True)
            )
            for other in kept
        )
        if not any(same):
            kept.append(each)
    return kept


def _refuse_unfit(path: Path, chosen: list[Tensor], sinks: bool) -> None:
    odd = [each for each in chosen if len(each.shape) > 5 or not _fits(each, sinks)]
    if odd and _cached(odd[0]):
        column = (
            '; one column more than rows may be learned sinks (rows="sinks")'
            if _has_sink(odd[0])
            else ""
        )
        raise AttentionFileError(f"{path}: {odd[0]}: {_FEWER}{column}")
    if odd or len({each.shape for each in chosen}) > 1:
        raise AttentionFileError(
            f"{path}: attention is (n, n), (H, n, n), (B, H, n, n) or (B, L, H, n, n) numbers, "
            f"layers all alike; not {'; '.join(map(str, (odd or chosen)[:5]))}{_last(odd)}"
        )
    if len(chosen) > 1 and len(chosen[0].shape) > 4:
        raise AttentionFileError(f"{path}: {chosen[0]} holds layers already; choose one tensor")


def _last(odd: Sequence[Tensor]) -> str:
    """What to do with an array whose queries and keys seem to be other axes than the last two."""
    for each in odd:
        for at in range(len(each.shape) - 2):
            if each.shape[at] == each.shape[at + 1] == max(each.shape):
                return (
                    f". Queries and keys come last: numpy.moveaxis(array, ({at}, {at + 1}), "
                    "(-2, -1))"
                )
    return ""


def _fits(tensor: Tensor, sinks: bool) -> bool:
    square = len(tensor.shape) >= 2 and tensor.shape[-1] == tensor.shape[-2]
    return tensor.dtype.kind in "fiub" and (square or (sinks and _has_sink(tensor)))


def _has_sink(tensor: Tensor) -> bool:
    """Whether there is one key more than there are queries, as learned sinks make it."""
    return len(tensor.shape) >= 2 and tensor.shape[-1] == tensor.shape[-2] + 1


def _cached(tensor: Tensor) -> bool:
    shape = tensor.shape
    return len(shape) >= 3 and shape[-2] < shape[-1] and tensor.dtype.kind == "f"


def _varying(tensors: Sequence[Tensor]) -> list[int]:
    """The numbers in which the names of layers differ, in order; empty unless it is one number."""
    numbers = [re.findall(r"\d+", each.name) for each in tensors]
    if len({len(each) for each in numbers}) > 1:
        return []
    columns = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    return [int(number) for number in columns[0]] if len(columns) == 1 else []


def _pattern(layers: Sequence[Tensor]) -> str:
    """The name of a set of layers as a pattern: of one tensor its own."""
    parts = [re.split(r"(\d+)", each.name) for each in layers]
    columns = (set(column) for column in zip(*parts, strict=True))
    return "".join(glob.escape(column.pop()) if len(column) == 1 else "*" for column in columns)


def _listed(sets: Sequence[Sequence[Tensor]]) -> str:
    shown = [
        str(each[0]) if len(each) == 1 else f"{_pattern(each)} ({len(each)} of {each[0].shape})"
        for each in sets[:_SHOWN]
    ]
    return "; ".join(shown) + ("; …" if len(sets) > _SHOWN else "")


def floats(path: Path, tensor: Tensor) -> Reals:
    """Load a tensor as `float_type` numbers, which may not be finite."""
    array = load(path, tensor)
    if array.dtype.kind not in "fiub":
        raise AttentionFileError(f"{path}: {tensor.name} holds {array.dtype}, not numbers")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by place
        return array.astype(float_type(array.dtype), copy=False)


def float_type(dtype: np.dtype[Any]) -> np.dtype[np.floating]:
    """The type that numbers of a file keep: float32 where that holds them (bfloat16 does)."""
    return np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)
