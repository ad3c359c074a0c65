"""Files of queries and keys, by what people call them and how they order their axes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synergy_tui.analyze.containers import load_plain, named_tensors
from synergy_tui.analyze.queries import ASSUMED, Queries, Recorded
from synergy_tui.analyze.vllm_hook import read_hooked
from synergy_tui.errors import UserError
from synergy_tui.files import require_file
from synergy_tui.words import counted

# A layer's number, then q or k between separators: layers.0.q, blocks.0.attn.hook_rot_k.
_NAME = re.compile(r"(.*?)(\d+)((?:.*[._/])?)(q|k|query|key)((?:[._/].*)?)", re.IGNORECASE)
_KINDS = {"q": "q", "query": "q", "k": "k", "key": "k"}
_SUFFIXES = ("npz", "safetensors", "pt", "pth")


def read_queries(path: Path, axes: str | None = None) -> Recorded:
    """Read queries and keys from ``.npz``, ``.safetensors`` or what ``torch.save`` wrote.

    The file has ``q`` and ``k`` of shape (n, d) per head: (H, n, d), (L, H, n, d) or (B, L, H, n,
    d), where ``k`` may have fewer heads; or one pair for each layer, (H, n, d) or (B, H, n, d),
    whose names are the same but for ``q`` and ``k`` and contain the layer's number, counted from 0
    (``layers.3.q``). ``axes`` states others, as in ``"B,n,H,d"``; those of TransformerLens, and
    files of vLLM-Hook, are known. ``scale`` multiplies the scores (1/√d where it is absent).
    """
    hooked = read_hooked(path)
    if hooked is not None:
        if axes is not None:
            raise UserError(f"--qk {path}: vLLM-Hook wrote it: --axes cannot apply.")
        return hooked
    tensors = _tensors(path)
    scale = _scale(path, tensors.pop("scale", None))
    if {"q", "k"} <= tensors.keys():
        layers, notes = _stacked(path, tensors["q"], tensors["k"], axes)
    else:
        layers, notes = _by_layer(path, tensors, axes)
    return Recorded(
        tuple((number, _queries(path, q, k, scale)) for number, q, k in layers),
        notes=(*notes, ASSUMED),
    )


def has_queries(names: Iterable[str]) -> bool:
    """Whether a file with tensors of these names has queries and keys, not weights of theirs."""
    names = {name for name in names if not name.endswith((".weight", ".bias"))}
    kinds = {_KINDS[found[4].lower()] for name in names if (found := _NAME.fullmatch(name))}
    return kinds == {"q", "k"} or {"q", "k"} <= names


def _queries(path: Path, q: np.ndarray, k: np.ndarray, scale: float | None) -> Queries:
    """Queries (B, H, n, d) and keys of one layer; refused where they do not fit together."""
    import torch

    if q.shape[2] != k.shape[2]:
        raise UserError(
            f"--qk {path}: {q.shape[2]} queries for {k.shape[2]} keys.",
            hint="Record the whole text at once, not a step with a key-value cache; --axes states "
            "other axes, as in B,n,H,d.",
        )
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or q.shape[1] % k.shape[1]:
        raise UserError(
            f"--qk {path}: q {q.shape} and k {k.shape} do not fit: inputs and width must be equal, "
            "and q's heads a multiple of k's."
        )
    queries, keys = (torch.from_numpy(np.ascontiguousarray(each)) for each in (q, k))
    return Queries(queries, keys, scale=scale)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    require_file(path)
    suffix = path.suffix.lower().removeprefix(".")
    try:
        if suffix == "npz":
            with np.load(path, allow_pickle=False) as archive:
                members = ((name, archive[name]) for name in archive.files)
                # What lies in the archive beside its arrays comes as bytes.
                return {name: each for name, each in members if isinstance(each, np.ndarray)}
        if suffix == "safetensors":
            from safetensors.torch import load_file

            return {name: value.float().numpy() for name, value in load_file(path).items()}
        if suffix in ("pt", "pth"):
            saved = named_tensors(load_plain(path))
            return {name: value.detach().float().numpy() for name, value in saved}
    except UserError:
        raise
    except Exception as error:  # what zip, npy and safetensors readers raise is of many kinds
        raise UserError(f"--qk {path}: cannot be read: {error}.") from error
    raise UserError(
        f"--qk {path}: files that end in '{path.suffix}' are not known.",
        hint=f"Give a file with q and k that ends in .{', .'.join(_SUFFIXES)}.",
    )


def _scale(path: Path, value: np.ndarray | None) -> float | None:
    if value is None:
        return None
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise UserError(f"--qk {path}: scale is not one number.")
    return float(value.reshape(-1)[0])


_Layers = list[tuple[int, np.ndarray, np.ndarray]]


def _stacked(
    path: Path, q: np.ndarray, k: np.ndarray, axes: str | None
) -> tuple[_Layers, list[str]]:
    """Layers (number, q, k) of arrays for all of them."""
    order = axes or ",".join("BLHnd"[-q.ndim :])
    q, k = (_arranged(path, name, each, order) for name, each in (("q", q), ("k", k)))
    if q.shape[1] != k.shape[1]:
        raise UserError(f"--qk {path}: q has {q.shape[1]} layers, k has {k.shape[1]}.")
    notes = [] if axes else [_axes_note(order, q)]
    return [(at + 1, q[:, at], k[:, at]) for at in range(q.shape[1])], notes


def _by_layer(
    path: Path, tensors: Mapping[str, np.ndarray], axes: str | None
) -> tuple[_Layers, list[str]]:
    """Layers (number, q, k) of a file with a pair of arrays for each."""
    named: dict[tuple[int, str], dict[str, Any]] = {}
    found = {name: match for name in tensors if (match := _NAME.fullmatch(name))}
    # A whole cache of TransformerLens also has what was before the rotary positions.
    turned = {name: match for name, match in found.items() if "hook_rot_" in name}
    for name, match in (turned or found).items():
        before, number, middle, kind, after = match.groups()
        if "proj" in after:
            raise UserError(
                f"--qk {path}: {name} is what a projection puts out, not split into heads and "
                "before rotary positions.",
                hint="Record what attention is called with, (H,n,d) or (B,H,n,d).",
            )
        pair = named.setdefault((int(number), f"{before}#{middle}@{after}"), {})
        pair[_KINDS[kind.lower()]] = tensors[name]
    if not named:
        listed = ", ".join(list(tensors)[:10]) or "none"
        raise UserError(
            f"--qk {path}: no tensor is called q or k; there are: {listed}.",
            hint="Name them q and k, or layers.0.q, layers.0.k and so on.",
        )
    numbers = [number for number, _ in named]
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice:
        texts = ", ".join(text.replace("#", "*") for number, text in named if number == twice[0])
        raise UserError(f"--qk {path}: several pairs are of layer {twice[0]}: {texts}.")
    lens = all("hook_" in text for _, text in named)
    layers: _Layers = []
    order = axes or ""
    if "L" in order:
        raise UserError(f"--axes {axes}: the names in {path} say what L is.", hint="Leave L out.")
    for (number, _), pair in sorted(named.items()):
        if set(pair) != {"q", "k"}:
            missing = "k" if "q" in pair else "q"
            raise UserError(f"--qk {path}: layer {number} has no {missing}.")
        usual = ",".join("BnHd" if lens else "BHnd"[-pair["q"].ndim :])
        order = axes or usual
        q, k = (_arranged(path, f"{each} of layer {number}", pair[each], order) for each in "qk")
        layers.append((number + 1, q[:, 0], k[:, 0]))
    return layers, [] if axes else [_axes_note(order, layers[0][1][:, None])]


def _arranged(path: Path, name: str, value: np.ndarray, order: str) -> np.ndarray:
    """An array as (B, L, H, n, d), by the order of its axes."""
    letters = [letter.strip() for letter in order.split(",")]
    known = len(set(letters)) == len(letters) and {"H", "n", "d"} <= set(letters) <= set("BLHnd")
    if not known:
        raise UserError(
            f"--axes {order}: of queries and keys, axes are H, n and d (width), and B or L, each "
            "once, as in B,n,H,d."
        )
    numbers = value.size and value.dtype.kind == "f" and np.isfinite(value).all()
    if value.ndim != len(letters) or not numbers:
        raise UserError(
            f"--qk {path}: {name} has shape {value.shape} and type {value.dtype}; needed are "
            f"finite numbers of shape ({', '.join(letters)})."
        )
    present = [letters.index(letter) for letter in "BLHnd" if letter in letters]
    missing = [at for at, letter in enumerate("BLHnd") if letter not in letters]
    return np.expand_dims(value.transpose(present), missing)


def _axes_note(order: str, q: np.ndarray) -> str:
    inputs, _, heads, tokens, width = q.shape
    return (
        f"axes taken to be {order}: {counted(inputs, 'input')} of {counted(heads, 'head')}, "
        f"{tokens} tokens, width {width} (--axes states others)"
    )
