"""Finds everything that is wrong with heads and weights, at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Reals
from synergy_engine.errors import InvalidSystemError, choose
from synergy_engine.kernels.compare import flaws
from synergy_engine.kernels.threads import over_ranges

ROW_SUM_TOLERANCE = 1e-3
"""How far a row of attention may be from one: bfloat16 softmax stays within."""

ROWS = ("check", "normalise", "any", "sinks")
"""What may be done about row sums; ``"sinks"``: they are at most one, learned sinks have the rest.
"""

FAINTEST = 1e-290
"""Smaller weights count as zero: the reciprocals of their sums would not be numbers."""

LARGEST = 1e100
"""Larger weights are refused: sums and products with times must not overflow."""

_SHOWN = 3


def _places(mask: Bools) -> str:
    """Name the first places where ``mask`` is true and count the rest."""
    places = np.argwhere(mask)
    shown = ", ".join("[" + ", ".join(map(str, place)) + "]" for place in places[:_SHOWN].tolist())
    rest = len(places) - _SHOWN
    return shown + (f" and {rest:,} more" if rest > 0 else "")


def dense_heads(array: npt.ArrayLike, *, rows: str, tolerance: float = ROW_SUM_TOLERANCE) -> Reals:
    """Check dense weights and return them as a C-contiguous (…, n, n) float array.

    float32 and float64 keep their type, everything else becomes float64. ``rows`` is ``"check"``
    (each row must sum to one within ``tolerance``), ``"normalise"`` (divide by the row sum),
    ``"sinks"`` (at most one) or ``"any"``. Weights below `FAINTEST` become 0. Raises
    `InvalidSystemError` with every problem found.
    """
    try:
        heads = np.asarray(array)
        if heads.dtype.kind == "c":
            raise TypeError("complex numbers are not weights")
        if heads.dtype not in (np.float32, np.float64):
            heads = heads.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidSystemError(f"The weights are not an array of numbers: {error}.") from None
    if heads.ndim < 2 or heads.shape[-1] != heads.shape[-2]:
        raise InvalidSystemError(
            f"The weights have shape {heads.shape}; expected square matrices: (n, n) or (H, n, n)."
        )
    if 0 in heads.shape:
        raise InvalidSystemError(f"The weights have shape {heads.shape}: there is nothing in them.")
    heads = np.ascontiguousarray(heads)
    flat = heads.reshape(-1, *heads.shape[-2:])
    kind = np.int32 if heads.dtype == np.float32 else np.int64
    # As float32, which can be no fainter than 1e-45, it is 0.
    faintest = np.uint64(heads.dtype.type(FAINTEST).view(kind))
    found = np.empty((len(flat), 3))
    over_ranges(
        lambda low, high: flaws(flat, flat.view(kind), faintest, LARGEST, low, high, found),
        len(flat),
        float(flat.size),
    )
    problems = _wrong_entries(heads) if found[:, 0].any() else []
    if rows == "sinks":
        with np.errstate(invalid="ignore"):
            over = heads.sum(axis=-1, dtype=np.float64) > 1 + tolerance
        if over.any():
            problems.append(
                f"Rows sum to more than one: {_places(over)}; with learned sinks they sum to less."
            )
    if rows == "check" and not found[:, 2].max() <= tolerance:
        with np.errstate(invalid="ignore"):
            off = np.abs(heads.sum(axis=-1, dtype=np.float64) - 1)
        off[~np.isfinite(off)] = 0.0
        # Senders' rows may sum to anything; transposed, their sums are looked at again.
        if off.max() > tolerance and not _transposed(heads):
            less = not found[:, 0].any() and bool(heads.sum(axis=-1).max() <= 1 + tolerance)
            problems.append(
                f"Rows do not sum to one within {tolerance:g}: {_places(off > tolerance)}; "
                f"the furthest is off by {off.max():.3g}. Renormalise on request: "
                'rows="normalise" (or rows="any" when they are not attention).'
                + ' Learned sinks may have what rows lack: rows="sinks".'
                * less
            )
    if found[:, 1].any() and not problems:
        heads = without_faint(heads)
    if rows == "normalise" and not problems:
        sums = heads.sum(axis=-1, dtype=np.float64)
        if np.any(sums == 0):
            problems.append(f"Rows {_places(sums == 0)} are all zero: nothing to normalise.")
        else:
            heads = (heads / sums[..., None]).astype(heads.dtype)
    if problems:
        raise InvalidSystemError(problems)
    return heads


def _wrong_entries(heads: Reals) -> list[str]:
    """What is wrong with single weights, one sentence for each kind."""
    finite = np.isfinite(heads)
    strictly = np.triu(np.ones(heads.shape[-2:], dtype=bool), 1)
    found = (
        (
            "The weights are not finite at {}; look for NaN or infinity in what produced them.",
            ~finite,
        ),
        (
            f"The weights are above {LARGEST:g} at {{}}; "
            "only their ratios matter, scale them down.",
            # In float32 the limit itself would overflow.
            finite & (heads > np.float64(LARGEST)),
        ),
        (
            "The weights are negative at {}; weights are >= 0 (scores before a softmax are not).",
            heads < 0,
        ),
        (
            "Not causal: receiver row j may hear only columns i <= j, but there is weight at {}. "
            + (
                "All weight is there or on the diagonal, so rows seem to be senders (keys): "
                "transpose the last two axes, as numpy.swapaxes(weights, -1, -2) does."
                if _transposed(heads)
                else "It is on both sides of the diagonal: without a causal mask, as in an "
                "encoder, information flows both ways, which no feedforward graph has."
            ),
            (heads != 0) & strictly,
        ),
    )
    return [text.format(_places(mask)) for text, mask in found if mask.any()]


def _transposed(heads: Reals) -> bool:
    """Whether columns hear and rows send: weight above the diagonal, and none below."""
    below = np.tril(np.ones(heads.shape[-2:], dtype=bool), -1)
    return bool((heads != 0).any(where=below.T)) and not (heads != 0).any(where=below)


def as_attention(weights: Reals) -> Reals:
    """Weights (…, n, n) with rows that sum to one: attention as it is, rows of graphs normalised.

    A row of zeros keeps its own state, as in a diffusion.
    """
    sums = weights.sum(axis=-1, dtype=np.float64)
    raw = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    if not raw.any():
        return weights
    rows = weights.astype(np.float64)
    rows[raw] /= np.where(sums[raw] > 0, sums[raw], 1.0)[:, None]
    every = np.arange(weights.shape[-1])
    rows[..., every, every] += sums == 0
    return rows


def without_faint(weights: Reals) -> Reals:
    """The weights with those below `FAINTEST` at zero; negative ones and NaN stay for checks."""
    faint = (weights > 0) & (weights < FAINTEST)
    return np.where(faint, weights.dtype.type(0), weights) if faint.any() else weights


def head_weights(weights: str | npt.ArrayLike, heads: int) -> Floats:
    """Head weights as float64 that sum to one; ``"uniform"`` or ``heads`` numbers >= 0."""
    if isinstance(weights, str):
        if weights != "uniform":
            raise InvalidSystemError(
                f'Head weights are {weights!r}; give "uniform" or {heads} numbers.'
            )
        return np.full(heads, 1.0 / heads)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (heads,):
        raise InvalidSystemError(
            f"There are {heads} heads but the head weights have shape {given.shape}."
        )
    if not np.all(np.isfinite(given)) or np.any(given < 0) or given.sum() <= 0:
        raise InvalidSystemError(
            f"Head weights are {given.tolist()}; they must be finite, >= 0 and not all zero."
        )
    return given / given.sum()


def batch_of_heads(
    attention: npt.ArrayLike, weights: str | npt.ArrayLike, *, rows: str
) -> tuple[Reals, Floats]:
    """Check attention (B, L, H, n, n) and head weights (L, H), (H,) or ``"uniform"``."""
    choose("rows", rows, ROWS)
    batch = dense_heads(attention, rows=rows)
    if batch.ndim != 5:
        raise InvalidSystemError(
            f"The attention has shape {batch.shape}; expected (inputs, layers, heads, n, n)."
        )
    layers, count = batch.shape[1:3]
    if isinstance(weights, str):
        return batch, np.tile(head_weights(weights, count), (layers, 1))
    given = np.asarray(weights, dtype=np.float64)
    if given.shape not in ((count,), (layers, count)):
        raise InvalidSystemError(
            f"There are {layers} layers of {count} heads but the head weights have shape "
            f"{given.shape}; expected ({layers}, {count}) or ({count},)."
        )
    by_layer = np.broadcast_to(given, (layers, count))
    return batch, np.stack([head_weights(row, count) for row in by_layer])


def node_names(names: Sequence[str] | None, nodes: int) -> tuple[str, ...] | None:
    """Node names as a tuple, checked to be one for each node and different."""
    if names is None:
        return None
    named = tuple(map(str, names))
    if len(named) != nodes:
        raise InvalidSystemError(f"There are {nodes} nodes but {len(named)} names.")
    if len(set(named)) != nodes:
        raise InvalidSystemError("Two nodes have the same name.")
    return named
