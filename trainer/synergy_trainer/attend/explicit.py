"""Attention written out, as probes and interventions need it, and wherever nothing else fits."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]
"""An intervention: logits (S, H, n, n) to logits, before the causal mask. Compared by `==`."""


def causal_softmax(queries: Tensor, keys: Tensor, change: Change | None = None) -> Tensor:
    """Attention (S, H, n, n) of each query (rows) to the keys up to its place, float32."""
    scores = (queries.float() / math.sqrt(queries.shape[-1])) @ keys.float().mT
    if change is not None:
        scores = change(scores)
    length = scores.shape[-1]
    future = torch.full((length, length), -math.inf, device=scores.device).triu(1)
    return (scores + future).softmax(-1)
