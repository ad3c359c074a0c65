"""Where each input of a padded batch begins and ends: given, or recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Ints, Reals
from synergy_engine.errors import AttentionFileError

ROUNDING = 1e-6
"""How far entries of a row that attends to everything evenly may differ, as shares of it."""


@dataclass(frozen=True)
class Spans:
    """Tokens ``begin`` to ``end`` (excluded) of each input, both (B,) int64, and how we know."""

    begin: Ints
    end: Ints
    recognised: str = ""  # "left" or "right" where padding was recognised

    @property
    def lengths(self) -> Ints:
        """(B,) tokens of each input."""
        return self.end - self.begin


def from_range(text: str, inputs: int, nodes: int) -> Spans:
    """The same part of every input, ``"a:b"`` as Python slices it."""
    parts = text.split(":")
    try:
        begin, end, _ = slice(*(int(part) if part.strip() else None for part in parts)).indices(
            nodes
        )
        if len(parts) != 2 or end <= begin:
            raise ValueError
    except ValueError:
        raise AttentionFileError(
            f"range {text!r} is not a part of {nodes} tokens: give first:last+1, as in 3:{nodes}"
        ) from None
    return Spans(np.full(inputs, begin), np.full(inputs, end))


def from_lengths(lengths: npt.ArrayLike, inputs: int, nodes: int) -> Spans:
    """The first tokens of each input, as many as are given; one number is for all."""
    given = np.asarray(lengths).ravel()
    if given.size not in (1, inputs) or given.dtype.kind not in "iu":
        raise AttentionFileError(
            f"lengths {given.tolist()}: give one whole number, or one for each of {inputs} inputs"
        )
    if given.min() < 1 or given.max() > nodes:
        raise AttentionFileError(f"lengths {given.tolist()}: inputs have 1 to {nodes} tokens here")
    end = np.broadcast_to(given.astype(np.int64), inputs)
    return Spans(np.zeros(inputs, np.int64), end)


def from_mask(mask: npt.ArrayLike, inputs: int, nodes: int) -> Spans:
    """The tokens where a tokenizer's ``attention_mask`` (B, n) is 1, which must be adjacent."""
    given = np.asarray(mask)
    given = given[None] if given.ndim == 1 else given
    if given.shape != (inputs, nodes) or not np.isin(given, (0, 1)).all():
        raise AttentionFileError(
            f"the mask has shape {given.shape}; expected zeros and ones (inputs, tokens) "
            f"({inputs}, {nodes})"
        )
    kept = given.astype(bool)
    begin = np.argmax(kept, axis=1)
    end = nodes - np.argmax(kept[:, ::-1], axis=1)
    broken = np.flatnonzero(kept.sum(axis=1) != end - begin)
    if len(broken) or not kept.any(axis=1).all():
        which = broken[0] if len(broken) else int(np.argmin(kept.any(axis=1)))
        raise AttentionFileError(
            f"the mask of input {which + 1} is not one run of ones: padding is at either end"
        )
    return Spans(begin, end)


def recognise(batch: Reals) -> Spans | None:
    """Padding of attention (B, L, H, n, n), or ``None``.

    On the right: keys at the end that nobody hears, in any layer or head, themselves included;
    several of them, or as many as differ between inputs, because a single one may be a sink without
    a self-loop. On the left: rows at the start that a causal mask cannot make (they attend evenly
    to everything, to nothing, or are not numbers), whose keys no later row hears.
    """
    inputs, nodes = batch.shape[0], batch.shape[-1]
    if 0 in batch.shape:
        return None
    silent = ~(batch != 0).any(axis=(1, 2, 3))  # (B, n): keys that nobody hears
    right = np.argmax(~silent[:, ::-1], axis=1)
    right[silent.all(axis=1)] = 0
    several = right.max() >= 2 or (right.min() == 0 and right.max() > 0)
    left = np.array([_left(each) for each in batch])
    if left.any():
        return Spans(left, np.full(inputs, nodes), "left")
    if several:
        return Spans(np.zeros(inputs, np.int64), nodes - right, "right")
    return None


def _left(layers: Reals) -> int:
    """How many tokens one input (L, H, n, n) is padded with on the left."""
    odd = _impossible(layers)
    count = int(np.argmin(odd)) if not odd.all() else 0
    return count if count and not layers[..., count:, :count].any() else 0


def _impossible(layers: Reals) -> Bools:
    """(n,) rows that no causal softmax makes, in every layer and head."""
    nodes = layers.shape[-1]
    with np.errstate(invalid="ignore"):
        empty = ~(layers != 0).any(axis=-1) | ~np.isfinite(layers).all(axis=-1)
        even = np.ptp(layers, axis=-1) <= ROUNDING * np.abs(layers).max(axis=-1)
    odd: Bools = (empty | (even & (nodes > 1))).all(axis=(0, 1))
    return odd


def cropped(batch: Reals, spans: Spans) -> Reals:
    """Each input's own tokens at the start of (B, L, H, m, m), m the longest; zeros behind."""
    longest = int(spans.lengths.max())
    if np.all(spans.begin == spans.begin[0]) and np.all(spans.lengths == longest):
        first = int(spans.begin[0])
        return batch[..., first : first + longest, first : first + longest]
    out = np.zeros((*batch.shape[:3], longest, longest), dtype=batch.dtype)
    for target, source, begin, end in zip(out, batch, spans.begin, spans.end, strict=True):
        target[..., : end - begin, : end - begin] = source[..., begin:end, begin:end]
    return out


def along(values: Floats, spans: Spans) -> Floats:
    """As `cropped`, for what has one axis of tokens: (B, …, n)."""
    out = np.zeros((*values.shape[:-1], int(spans.lengths.max())), dtype=values.dtype)
    for target, source, begin, end in zip(out, values, spans.begin, spans.end, strict=True):
        target[..., : end - begin] = source[..., begin:end]
    return out


def chosen(
    inputs: int,
    nodes: int,
    *,
    range_: str | None,
    lengths: Sequence[int] | npt.ArrayLike | None,
    mask: npt.ArrayLike | None,
) -> Spans | None:
    """Spans as they are given by one of the three; ``None`` where none is."""
    given = [each is not None for each in (range_, lengths, mask)]
    if sum(given) > 1:
        raise AttentionFileError("give one of a range, lengths and a mask, not several")
    if range_ is not None:
        return from_range(range_, inputs, nodes)
    if lengths is not None:
        return from_lengths(lengths, inputs, nodes)
    return None if mask is None else from_mask(mask, inputs, nodes)
