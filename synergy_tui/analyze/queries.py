"""Attention from queries and keys, head by head, for those who record these instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.errors import UserError
from synergy_tui.files import require_file

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Queries:
    """What one layer attends with, after rotary positions and the like."""

    query: torch.Tensor  # (B, H, n, d)
    key: torch.Tensor  # (B, G, n, d), H a multiple of G
    mask: torch.Tensor | None = None  # broadcasts to (B, H, n, n): allowed, or added to scores
    causal: bool = True
    scale: float | None = None  # of scores, 1/√d by default

    def attention(self) -> torch.Tensor:
        """Return (B, H, n, n) float32; beside it, memory is a few times that of one head."""
        import torch

        batch, heads, n, width = self.query.shape
        group = heads // self.key.shape[1]
        scale = width**-0.5 if self.scale is None else self.scale
        mask = None if self.mask is None else self.mask.expand(batch, heads, n, n)
        later = torch.ones(n, n, dtype=torch.bool, device=self.query.device).triu(1)
        found = torch.empty(batch, heads, n, n, dtype=torch.float32)
        for place in np.ndindex(batch, heads):
            one = (place[0], place[1] // group)
            scores = self.query[place].float() @ self.key[one].float().T
            scores *= scale
            if mask is not None:
                given = mask[place]
                if given.dtype == torch.bool:
                    scores.masked_fill_(~given, -torch.inf)
                else:
                    scores += given
            if self.causal:
                scores.masked_fill_(later, -torch.inf)
            torch.softmax(scores, dim=-1, out=scores)
            found[place].copy_(scores)
        return found


def read_queries(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (layer from 1, attention (B, H, n, n)) from a file of queries and keys.

    The file is a ``.npz`` or ``.safetensors`` with ``q`` and ``k`` of shape (n, d) per head: (H, n,
    d), (L, H, n, d) or (B, L, H, n, d), where ``k`` may have fewer heads; or with one pair for each
    layer, (H, n, d) or (B, H, n, d), whose names are the same but for ``q`` and ``k`` and contain
    the layer's number, counted from 0 (``layers.3.q``). ``scale`` multiplies the scores (1/√d where
    it is absent). Every token hears those before it and itself.
    """
    import torch

    tensors = _tensors(path)
    scale = _scale(path, tensors.pop("scale", None))
    for number, q, k in _pairs(path, tensors):
        asked = Queries(
            torch.from_numpy(np.ascontiguousarray(q)),
            torch.from_numpy(np.ascontiguousarray(k)),
            scale=scale,
        )
        yield number, asked.attention().numpy()


def count_layers(path: Path) -> int:
    """Return how many layers a file of queries and keys has, or say what is wrong with it."""
    tensors = _tensors(path)
    tensors.pop("scale", None)
    return sum(1 for _ in _pairs(path, tensors))


def _tensors(path: Path) -> dict[str, np.ndarray]:
    require_file(path)
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return {name: value.float().numpy() for name, value in load_file(path).items()}
    except Exception as error:  # what zip, npy and safetensors readers raise is of many kinds
        raise UserError(f"--qk {path}: cannot be read: {error}.") from error
    raise UserError(
        f"--qk {path}: files that end in '{path.suffix}' are not known.",
        hint="Give a .npz or .safetensors file with q and k.",
    )


def _scale(path: Path, value: np.ndarray | None) -> float | None:
    if value is None:
        return None
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise UserError(f"--qk {path}: scale is not one number.")
    return float(value.reshape(-1)[0])


def _pairs(
    path: Path, tensors: dict[str, np.ndarray]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (layer from 1, q (B, H, n, d), k (B, G, n, d)), in the order of layers."""
    if set(tensors) == {"q", "k"}:
        q, k = (_whole(path, name, tensors[name], layers=True) for name in "qk")
        if q.shape[1] != k.shape[1]:
            raise UserError(f"--qk {path}: q has {q.shape[1]} layers, k has {k.shape[1]}.")
        for layer in range(q.shape[1]):
            yield layer + 1, *_fitting(path, q[:, layer], k[:, layer])
        return
    named: dict[tuple[int, str], dict[str, Any]] = {}
    for name, value in tensors.items():
        found = re.fullmatch(r"(.*?)(\d+)(.*?)([qk])(.*)", name)
        if found is None:
            raise UserError(
                f"--qk {path}: the name {name!r} is neither q, k, nor one with a layer's number.",
                hint="Name them q and k, or layers.0.q, layers.0.k and so on.",
            )
        before, number, middle, kind, after = found.groups()
        named.setdefault((int(number), f"{before}#{middle}@{after}"), {})[kind] = value
    if not named:
        raise UserError(f"--qk {path}: it contains no tensors.", hint="Save q and k in it.")
    for (number, _), pair in sorted(named.items(), key=lambda item: item[0]):
        if set(pair) != {"q", "k"}:
            missing = "k" if "q" in pair else "q"
            raise UserError(f"--qk {path}: layer {number} has no {missing}.")
        q, k = (_whole(path, f"{name} of layer {number}", pair[name]) for name in "qk")
        yield number + 1, *_fitting(path, q, k)


def _whole(path: Path, name: str, value: np.ndarray, *, layers: bool = False) -> np.ndarray:
    """Give an array the axes (B, [L,] H, n, d), and refuse what has others."""
    axes = 5 if layers else 4
    numbers = value.size and value.dtype.kind == "f" and np.isfinite(value).all()
    if not 3 <= value.ndim <= axes or not numbers:
        raise UserError(
            f"--qk {path}: {name} has shape {value.shape} and type {value.dtype}; needed are "
            f"finite numbers of shape (H, n, d){', (L, H, n, d)' if layers else ''} or "
            f"{'(B, L, H, n, d)' if layers else '(B, H, n, d)'}."
        )
    return value.reshape((1,) * (axes - value.ndim) + value.shape)


def _fitting(path: Path, q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Refuse queries and keys of different lengths, widths, or numbers of heads."""
    if q.shape[2] != k.shape[2]:
        raise UserError(
            f"--qk {path}: {q.shape[2]} queries for {k.shape[2]} keys.",
            hint="Record the whole text at once, not a step with a key-value cache.",
        )
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or q.shape[1] % k.shape[1]:
        raise UserError(
            f"--qk {path}: q {q.shape} and k {k.shape} do not fit: inputs and width must be equal, "
            "and q's heads a multiple of k's."
        )
    return q, k
