"""Attention written out, as probes and interventions need it, and wherever nothing else fits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from synergy_trainer.attend.interventions import intervened
from synergy_trainer.settings import Intervention


def causal_softmax(queries: Tensor, keys: Tensor, change: Intervention | None = None) -> Tensor:
    """Attention (S, H, n, n) of each query (rows) to the keys up to its place, float32."""
    scores = queries.float() @ keys.float().mT / math.sqrt(queries.shape[-1])
    heads = scores.shape[1]
    if change is not None:
        scores = intervened(scores, change)
    length = scores.shape[-1]
    future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
    attention = scores.masked_fill(future, -math.inf).softmax(-1)
    alike = heads // attention.shape[1]
    return attention if alike == 1 else attention.repeat_interleave(alike, dim=1)
