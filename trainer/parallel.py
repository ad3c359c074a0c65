"""The little that the trainer must know of other processes that train the same models."""

from __future__ import annotations

from typing import Protocol

import torch


class Parallel(Protocol):
    """Processes that share every batch; whoever starts them provides this.

    Each takes rows rank, rank + size, … of the batch, and gradients are averaged before the
    update, so together they make the update that one process would.
    """

    rank: int
    size: int

    def average_(self, tensors: list[torch.Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
