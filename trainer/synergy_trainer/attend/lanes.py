"""Causal attention of narrow heads on CPUs, by compiled kernels, sixteen heads at a time.

The kernels (`lane_kernels`) need Numba. Without it, and for wide heads, whose products a matrix
library does better, there is `tiles`. Both compute the same up to rounding, but take dropout's
random numbers in a different order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synergy_trainer.attend.threads import over_ranges
from synergy_trainer.attend.workspace import Workspace

WIDEST = 16  # numbers per head up to which these kernels are faster than a matrix library
THREADED = 2**18  # register operations below which waking a thread costs more than it gains


@cache
def compiled_kernels() -> ModuleType | None:
    """The kernels; None where there is no Numba that works."""
    try:
        from synergy_trainer.attend import lane_kernels
    except (ImportError, OSError):  # OSError: LLVM's library cannot be loaded
        return None
    return None if lane_kernels.JIT_IS_OFF else lane_kernels


class LaneAttention:
    """The attention of narrow heads, of all sequences of all models.

    Its methods take the same arguments as `TiledAttention`'s; `kernels` are `compiled_kernels()`.
    """

    def __init__(self, workspace: Workspace, kernels: ModuleType) -> None:
        self._workspace = workspace
        self._kernels = kernels

    def kept_shapes(self, sequences: int, length: int, heads: int) -> list[tuple[int, ...]]:
        """Shape of one model's dropout mask: groups of pairs, causal entries, lanes."""
        rows = _rows(length)
        return [(self._groups(sequences, heads), rows * (rows + 1) // 2, self._kernels.LANES)]

    def forward(self, name: str, qkv: Tensor, out: Tensor, kept: Sequence[Tensor] = ()) -> None:
        """As `TiledAttention.forward`."""
        arguments = self._arguments(name, qkv, out, kept)

        def work(first: int, last: int) -> None:
            self._kernels.forward(first, last, *arguments)

        self._over_groups(work, qkv)

    def backward(
        self,
        name: str,
        qkv: Tensor,
        out: Tensor,
        gradient: Tensor,
        to: Tensor,
        kept: Sequence[Tensor] = (),
    ) -> None:
        """As `TiledAttention.backward`."""
        arguments = self._arguments(name, qkv, out, kept)
        more = _sequences(gradient), _sequences(to)

        def work(first: int, last: int) -> None:
            self._kernels.backward(first, last, *arguments, *more)

        self._over_groups(work, qkv)

    def _arguments(
        self, name: str, qkv: Tensor, out: Tensor, kept: Sequence[Tensor]
    ) -> tuple[object, ...]:
        """What both kernels take after the range of groups."""
        models, sequences, length, _, heads, _ = qkv.shape
        size = models * self._groups(sequences, heads) * _rows(length) * 2 * self._kernels.LANES
        normalisers = self._workspace.take(f"lanes.{name}.normalisers", size)
        masks = kept[0] if kept else torch.empty(0, dtype=torch.uint8)
        return (
            _sequences(qkv),
            sequences,
            masks.view(-1).numpy(),
            _sequences(out),
            normalisers.numpy(),
        )

    def _over_groups(self, work: Callable[[int, int], None], qkv: Tensor) -> None:
        """Every group is computed by the same serial code: the bits do not depend on threads."""
        models, sequences, length, _, heads, width = qkv.shape
        groups = models * self._groups(sequences, heads)
        over_ranges(work, groups, threaded=groups * length**2 * (width + 4) > THREADED)

    def _groups(self, sequences: int, heads: int) -> int:
        """Groups of one model."""
        lanes: int = self._kernels.LANES
        return -(-sequences * heads // lanes)


def _sequences(x: Tensor) -> NDArray[np.float32]:
    """View (M, S, …) as (M·S, …)."""
    array: NDArray[np.float32] = x.view(-1, *x.shape[2:]).numpy()
    return array


def _rows(length: int) -> int:
    """The kernels compute rows in pairs."""
    return length + length % 2
