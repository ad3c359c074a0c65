"""Attention tensors from files, validated."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.errors import AttentionFileError, EngineError, choose
from synergy_engine.graphio import layouts, padding
from synergy_engine.graphio.choosing import MASKS, choose_tensors, float_type, floats
from synergy_engine.graphio.tensors import Tensor, TensorFile, load, open_tensors
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.validation import ROW_SUM_TOLERANCE, ROWS, dense_heads

LABELS = ("labels", "tokens_text", "str_tokens")
"""What files call the texts of tokens."""
_SHOWN = 8


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
        Name of each token of the file, from metadata ``names``, or ``None``.
    rows
        ``"attention"``: rows sum to one; ``"any"`` for raw weights of designed graphs; ``"sinks"``
        where the rest of each row goes to a learned sink.
    gamma
        (B, L, n) float64 from a tensor of that name: the measured share of each node's state that
        attention writes (`engine.layered_fidelity`), or ``None``.
    lengths
        (B,) int64 tokens of each input where they differ; each input's own block comes first in
        ``attention``, and zeros follow. ``None`` where all have n.
    first
        (B,) int64: which token of the file each input begins at.
    labels
        Text of each token of the file, from a tensor or metadata ``labels``, or ``None``.
    notes
        What was assumed about axes, padding and rounding, as sentences.
    """

    attention: Reals
    head_weights: Floats | None
    names: tuple[str, ...] | None
    rows: str
    gamma: Floats | None = None
    lengths: Ints | None = None
    first: Ints | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How to read attention; `read_attention` explains the fields."""

    tensor: str | None = None
    axes: str | None = None
    rows: str = "auto"
    tolerance: float | None = None
    span: str | None = None
    lengths: npt.ArrayLike | None = None
    mask: npt.ArrayLike | None = None
    sink: int | None = None


def read_attention(
    path: str | Path,
    tensor: str | None = None,
    *,
    axes: str | None = None,
    rows: str = "auto",
    tolerance: float | None = None,
    span: str | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    sink: int | None = None,
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
        several that match are layers, in natural order. Arrays of one shape whose names differ in
        one number (TransformerLens' ``blocks.0.attn.hook_pattern``, …) are found without it, also
        in a cache of all modules: of several such sets, the only one whose numbers are causal
        attention, which ``notes`` name.
    axes
        What the axes are, for instance ``"L,B,H,n,n"``: B inputs, L layers, H heads, queries, keys.
        By default guessed, and reported in ``notes``: ``(n, n)``, ``(H, n, n)``, of one layer
        ``(B, H, n, n)``, and whatever a file's own metadata, names or padding show. Refused where
        two layouts fit equally well, as ``(L, H, n, n)`` and ``(B, H, n, n)`` do of an array that
        is not called ``attention``.
    rows, tolerance
        What to do about row sums: ``"check"`` refuses what is off by more than ``tolerance`` (by
        default 0.001, and twice the rounding of bfloat16 or float16), ``"normalise"`` divides by
        the sum, ``"any"`` takes all; ``"sinks"``: rows sum to less than one, the rest goes to
        learned sinks, which may stand as a first or last column of (…, n, n + 1). ``"auto"``
        checks, unless the file's metadata declares raw weights.
    span, lengths, mask
        Where inputs begin and end, one of: ``"a:b"`` for all; the number of tokens of each, which
        come first; or a tokenizer's (B, n) ``attention_mask``. By default padding is recognised.
    sink
        The token whose hearing is measured, instead of the last; later ones are left out.

    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "attention.npy"
    >>> np.save(file, np.tril(np.ones((2, 4, 4))) / np.arange(1, 5)[:, None])
    >>> read_attention(file).attention.shape
    (1, 1, 2, 4, 4)
    """
    how = Reading(tensor, axes, rows, tolerance, span, lengths, mask, sink)
    return read_tensors(Path(path), open_tensors(Path(path)), how)


def read_tensors(path: Path, file: TensorFile, how: Reading) -> AttentionFile:
    """`read_attention` of tensors that are already found, in a file or in memory."""
    choose("rows", how.rows, ("auto", *ROWS))
    chosen, about = choose_tensors(path, file, how.tensor, sinks=how.rows == "sinks")
    raw = file.metadata.get("rows") == "raw weights"
    wanted = ("any" if raw else "check") if how.rows == "auto" else how.rows
    total = sum(math.prod(each.shape) * float_type(each.dtype).itemsize for each in chosen)
    refuse_if_too_large(3 * total, f"{path}: {len(chosen)} tensors, read")
    arrays = [floats(path, each) for each in chosen]
    if wanted == "sinks":
        arrays = [_without_sink(array) for array in arrays]
    where = f"{path} ({', '.join(each.name for each in chosen[:4])})"
    try:
        layout = (
            layouts.guess(arrays[0], chosen[0].name, layers=len(arrays), known=_documented(file))
            if how.axes is None
            else layouts.parse(how.axes)
        )
        batch = layouts.arrange(arrays, layout)
        spans = _spans(path, file, how, batch, designed=wanted == "any")
        notes = list(about)
        if not layout.stated and batch.ndim > 2:
            notes.append(_axes_note(layout, batch, len(chosen)))
        names, labels = (
            _listed(file.metadata.get("names", "null"), batch.shape[-1]),
            _labels(path, file, batch.shape[-1]),
        )
        gamma = _gamma(path, file, batch.shape)
        attention = batch if spans is None else padding.cropped(batch, spans)
        attention, more = _checked(attention, spans, wanted, how.tolerance, chosen[0])
    except EngineError as error:
        if isinstance(error, AttentionFileError):
            raise
        problems = [f"{where}: {problem}" for problem in error.problems]
        if how.span is not None and any("sum to one" in each for each in problems):
            problems.append(
                f"{where}: with only the tokens {how.span}, rows lack what they heard before these"
            )
        raise AttentionFileError(problems) from None
    read = AttentionFile(
        attention,
        _head_weights(path, file, attention.shape[1:3]),
        names,
        "attention" if wanted in ("check", "normalise") else wanted,
        gamma,
        labels=labels,
        notes=(*notes, *_span_notes(spans), *more),
    )
    return read if spans is None else _within(read, spans)


def _documented(file: TensorFile) -> bool:
    """Whether the file says, or what lies beside it shows, that its axes are (B, L, H, n, n)."""
    stated = file.metadata.get("axes", "").replace(" ", "").startswith("input,layer,head")
    return stated or ("attention" in file.tensors and "head_weights" in file.tensors)


def _axes_note(layout: layouts.Layout, batch: Reals, arrays: int) -> str:
    counts = ", ".join(
        f"{count} {meaning}{'s' * (count != 1)}"
        for count, meaning in zip(batch.shape, layouts.MEANINGS.values(), strict=False)
    )
    each = " of each layer" if arrays > 1 else ""
    return (
        f"axes{each} taken to be {layout}: {counts} of {batch.shape[-1]} tokens "
        '(state others with axes="…")'
    )


def _without_sink(array: Reals) -> Reals:
    """Attention whose learned sinks are a first or last column, without it."""
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] + 1:
        return array
    above = np.triu(np.ones(array.shape[-2:], dtype=bool), 1)
    behind = not array[..., :-1][..., above[:, :-1]].any()
    return array[..., :-1] if behind else array[..., 1:]


def _spans(
    path: Path, file: TensorFile, how: Reading, batch: Reals, *, designed: bool
) -> padding.Spans | None:
    """Where inputs begin and end, and after which token none is read; ``None`` for all of it."""
    inputs, nodes = batch.shape[0], batch.shape[-1]
    mask = how.mask
    if mask is None and how.span is None and how.lengths is None:
        stored = next((file.tensors[name] for name in MASKS if name in file.tensors), None)
        mask = None if stored is None else load(path, stored)
    spans = padding.chosen(inputs, nodes, range_=how.span, lengths=how.lengths, mask=mask)
    if spans is None and not designed:
        spans = padding.recognise(batch)
    if how.sink is None:
        return spans
    whole = padding.Spans(np.zeros(inputs, np.int64), np.full(inputs, nodes))
    spans = spans or whole
    sink = how.sink + nodes if how.sink < 0 else how.sink
    if not np.all((spans.begin <= sink) & (sink < spans.end)):
        raise AttentionFileError(
            f"{path}: token {how.sink} cannot be the sink: it is not in every input (tokens are "
            f"{int(spans.begin.max())} to {int(spans.end.min()) - 1})"
        )
    return replace(spans, end=np.full(inputs, sink + 1))


def _span_notes(spans: padding.Spans | None) -> list[str]:
    if spans is None:
        return []
    lengths = spans.lengths.tolist()
    listed = ", ".join(map(str, lengths[:_SHOWN])) + (", …" if len(lengths) > _SHOWN else "")
    notes = []
    if spans.recognised:
        notes.append(
            f"padding on the {spans.recognised} recognised: inputs have {listed} tokens "
            "(give lengths or a mask to say otherwise)"
        )
    short = int(np.sum(spans.lengths < 2))
    if 0 < short < len(lengths):
        notes.append(f"{short} of one token left out: it has nothing to follow")
    return notes


def _within(read: AttentionFile, spans: padding.Spans) -> AttentionFile:
    """What belongs to the tokens that are read; inputs of one token are left out."""
    kept = spans.lengths > 1
    kept |= not kept.any()
    inside = padding.Spans(spans.begin[kept], spans.end[kept])
    lengths = inside.lengths
    longest = int(lengths.max())
    alike = bool(np.all(lengths == longest))
    gamma = None if read.gamma is None else padding.along(read.gamma[kept], inside)
    return replace(
        read,
        attention=np.ascontiguousarray(read.attention[kept][..., :longest, :longest]),
        gamma=gamma,
        lengths=None if alike else lengths,
        first=inside.begin,
    )


def _checked(
    attention: Reals,
    spans: padding.Spans | None,
    rows: str,
    tolerance: float | None,
    stored: Tensor,
) -> tuple[Reals, list[str]]:
    """Attention whose numbers were checked, and what was done about its row sums."""
    rounding = 2 * stored.rounding  # of an entry, and of the sum that it was divided by
    allowed = max(ROW_SUM_TOLERANCE, rounding) if tolerance is None else tolerance
    coarse = rows == "check" and rounding > 0
    lengths = np.full(len(attention), attention.shape[-1]) if spans is None else spans.lengths
    notes: list[str] = []
    if len(set(lengths.tolist())) == 1:
        attention = dense_heads(attention, rows=rows, tolerance=allowed)
    else:
        for number, length in enumerate(lengths):
            own = attention[number, ..., :length, :length]
            own[...] = dense_heads(own, rows=rows, tolerance=allowed)
    if coarse:
        sums = attention.sum(axis=-1, dtype=np.float64, keepdims=True)
        off = float(np.abs(np.where(sums == 0, 1, sums) - 1).max())
        kind = "bfloat16" if stored.bfloat16 else "float16"
        if off > 0:
            attention = (attention / np.where(sums == 0, 1, sums)).astype(attention.dtype)
            notes.append(
                f"rows are off by up to {off:.2g}, which rounding to {kind} explains: "
                "divided by their sums"
            )
    if rows == "sinks":
        share = 1 - float(attention.sum(axis=-1, dtype=np.float64).mean())
        notes.append(
            f"learned sinks, nodes before token 0 that are only heard: {share:.0%} of attention "
            "goes to them, and no measure counts it"
        )
    return attention, notes


def _head_weights(path: Path, file: TensorFile, shape: tuple[int, ...]) -> Floats | None:
    stored = file.tensors.get("head_weights")
    if stored is None:
        return None
    weights = floats(path, stored).astype(np.float64)
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
    gamma = floats(path, stored).astype(np.float64)
    if gamma.shape != expected:
        raise AttentionFileError(
            f"{path}: gamma has shape {gamma.shape}; expected (inputs, layers, nodes) {expected}"
        )
    if not np.all((gamma >= 0) & (gamma <= 1)):
        raise AttentionFileError(f"{path}: gamma must be from 0 to 1 everywhere")
    return gamma


def _labels(path: Path, file: TensorFile, nodes: int) -> tuple[str, ...] | None:
    """Texts of the tokens from a tensor of words, or the metadata, when they are one for each."""
    stored = next((file.tensors[name] for name in LABELS if name in file.tensors), None)
    if stored is not None and stored.dtype.kind in "US" and math.prod(stored.shape) == nodes:
        words = load(path, stored).ravel()
        return tuple(
            word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
            for word in words.tolist()
        )
    return _listed(file.metadata.get("labels", "null"), nodes)


def _listed(text: str, nodes: int) -> tuple[str, ...] | None:
    """A JSON list of one text for each node."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if isinstance(names, list) and len(names) == nodes:
        return tuple(map(str, names))
    return None
