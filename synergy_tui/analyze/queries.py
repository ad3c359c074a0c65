"""Attention from queries and keys, head by head, for those who record these instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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


@dataclass(frozen=True, eq=False)
class Recorded:
    """Queries and keys of layers, and of how many tokens each input is."""

    layers: tuple[tuple[int, Queries], ...]  # (number from 1, what it attends with)
    lengths: np.ndarray | None = None  # (B,) where inputs differ; what follows is padding
    notes: tuple[str, ...] = ()


ASSUMED = "every token hears all before it and itself: the file has no windows or learned sinks"
