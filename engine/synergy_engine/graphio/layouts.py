"""Which axis of an array of attention is what: stated, or guessed and reported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Reals
from synergy_engine.errors import InvalidSystemError, OptionError

MEANINGS = {"B": "input", "L": "layer", "H": "head"}
_OF_ONE_LAYER = re.compile(
    r"^\d+$|(?:^|[./])(?:blocks|layers?|h|attentions?)[._](\d+)(?:[./]|$)|attn_output_weights$"
)
OWN = "attention"
"""What we call attention in files; where it has no axis of inputs, layers come first."""
AVERAGED = "attn_output_weights"
"""What `torch.nn.MultiheadAttention` calls its weights, which it averages over heads by default."""


@dataclass(frozen=True)
class Layout:
    """The axes of an array before its last two, in order, as letters of `MEANINGS`."""

    axes: str
    stated: bool

    def __str__(self) -> str:
        return ",".join([*self.axes, "n", "n"])


def parse(axes: str) -> Layout:
    """Axes as they are stated, for instance ``"L,B,H,n,n"``; the last two are query and key."""
    parts = [part.strip() for part in axes.split(",")]
    named, last = [part.upper() for part in parts[:-2]], [part.lower() for part in parts[-2:]]
    if (
        last not in (["n", "n"], ["q", "k"])
        or not set(named) <= MEANINGS.keys()
        or len(set(named)) < len(named)
    ):
        raise OptionError(
            f"axes {axes!r}: give some of B (inputs), L (layers) and H (heads), each once, in the "
            'order of the array, then n,n (query, key), as in "L,B,H,n,n"'
        )
    return Layout("".join(named), stated=True)


def arrange(arrays: Sequence[Reals], layout: Layout) -> Reals:
    """Arrays as one (B, L, H, n, n); several are layers, each with the axes but L.

    `InvalidSystemError` where the axes are not as many as those of the arrays.
    """
    axes = layout.axes
    if len(arrays) > 1 and axes.startswith("L"):
        axes = axes[1:]
    if "L" in axes and len(arrays) > 1:
        raise InvalidSystemError(
            f"Several arrays are layers, so axes {layout} cannot name L behind another axis."
        )
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise InvalidSystemError(f"Layers must be of one shape, not {shapes[0]} and {shapes[1]}.")
    if arrays[0].ndim != len(axes) + 2:
        raise InvalidSystemError(
            f"The attention has shape {shapes[0]}, {arrays[0].ndim} axes, but axes {layout} "
            f"are {len(axes) + 2}."
        )
    arranged = [_arranged(array, axes) for array in arrays]
    return arranged[0] if len(arranged) == 1 else np.concatenate(arranged, axis=1)


def _arranged(array: Reals, axes: str) -> Reals:
    present = [axes.index(letter) for letter in MEANINGS if letter in axes]
    missing = [place for place, letter in enumerate(MEANINGS) if letter not in axes]
    ordered = array.transpose([*present, array.ndim - 2, array.ndim - 1])
    return np.expand_dims(ordered, missing)


def guess(array: Reals, name: str, *, layers: int, known: bool) -> Layout:
    """The axes of ``array``, the first of so many ``layers``, from its shape, name and padding.

    ``known`` says that whatever wrote the file keeps to (B, L, H, n, n). `InvalidSystemError` names
    both layouts where two fit equally well.
    """
    shape, extra = array.shape, array.ndim - 2
    if extra == 1 and name.rpartition(".")[2] == AVERAGED and shape[0] > 1:
        raise InvalidSystemError(
            f"{name} {shape} may have no head axis: nn.MultiheadAttention averages its weights "
            "over heads unless it is called with average_attn_weights=False. State the "
            'axes: "B,n,n" for inputs averaged over heads, or "H,n,n" for heads'
        )
    if extra < 2 or layers > 1 or (extra == 2 and _OF_ONE_LAYER.search(name)):
        # One layer as outputs.attentions, TransformerLens and most hooks have it.
        return Layout(("", "H", "BH")[extra], stated=False)
    if known or shape[0] == 1:
        return Layout(("LH", "BLH")[extra - 2], stated=known)
    inputs_first = _padded_along(array)
    if extra == 2:
        if inputs_first == 0:
            return Layout("BH", stated=False)
        if name == OWN:
            return Layout("LH", stated=False)
        raise InvalidSystemError(
            f"{name} has shape {shape}: it may be {shape[0]} layers of one input, or {shape[0]} "
            "inputs of one layer (as one of outputs.attentions is). State its axes: "
            '"L,H,n,n" or "B,H,n,n"'
        )
    if inputs_first is not None:
        return Layout("BLH" if inputs_first == 0 else "LBH", stated=False)
    raise InvalidSystemError(
        f"{name} has shape {shape}: it may be {shape[0]} inputs of {shape[1]} layers, or "
        f"{shape[0]} layers of {shape[1]} inputs (as stacked outputs.attentions are). State its "
        'axes: "B,L,H,n,n" or "L,B,H,n,n"'
    )


def _padded_along(array: Reals) -> int | None:
    """The axis before the heads along which inputs are, where padding on the right shows it.

    Inputs differ in how many keys nobody hears, and every layer of an input has as many.
    """
    if 0 in array.shape:
        return None
    heard = (array != 0).any(axis=(-3, -2))  # (..., n)
    nodes = heard.shape[-1]
    lengths = nodes - np.argmax(heard[..., ::-1], axis=-1)
    if lengths.min() == lengths.max() or lengths.max() < nodes:
        return None
    for axis in range(lengths.ndim):
        along = np.moveaxis(lengths, axis, 0).reshape(lengths.shape[axis], -1)
        if np.all(along == along[:, :1]):
            return axis
    return None


def of_a_sequence(attention: Sequence[Reals], axes: Layout | None) -> Reals:
    """A sequence of arrays as (B, L, H, n, n): never a guess, because it may be either."""
    if axes is None:
        raise InvalidSystemError(
            f"A sequence of {len(attention)} arrays may be layers, as outputs.attentions are, or "
            'inputs: state axes="L,B,H,n,n" or axes="B,L,H,n,n".'
        )
    if axes.axes[:1] not in ("L", "B"):
        raise InvalidSystemError(f"A sequence of arrays has L or B first, not {axes}.")
    shapes = sorted({each.shape for each in attention})
    if len(shapes) > 1:
        raise InvalidSystemError(
            f"The arrays of a sequence must be of one shape, not {shapes[0]} and {shapes[1]}; "
            "measure inputs of different lengths one by one and `pool` them."
        )
    return arrange([np.stack(attention)], axes)


def with_axes(attention: npt.ArrayLike | Sequence[npt.ArrayLike], axes: str | None) -> Any:
    """Attention with its stated axes as (B, L, H, n, n); as it is where none are stated.

    A sequence of arrays must state them: it may be layers or inputs.
    """
    layout = None if axes is None else parse(axes)
    if isinstance(attention, (list, tuple)) and attention and np.ndim(attention[0]) >= 3:
        return of_a_sequence([_array(each) for each in attention], layout)
    return attention if layout is None else arrange([_array(attention)], layout)


def _array(values: Any) -> Any:
    """Values as an array; what NumPy cannot take (tensors with gradients, bfloat16) is refused."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidSystemError(
            f"The attention is not an array of numbers: {error}. Of a torch tensor give "
            "tensor.detach().float().cpu().numpy()."
        ) from None
