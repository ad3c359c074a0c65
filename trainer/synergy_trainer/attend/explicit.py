"""Attention written out, as probes and interventions need it, and wherever nothing else fits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from synergy_trainer.attend.interventions import intervened
from synergy_trainer.settings import Intervention


def causal_softmax(queries: Tensor, keys: Tensor, change: Intervention | None = None) -> Tensor:
    """Attention (S, H, n, n) of each query (rows) to the keys up to its place, float32."""
    scores = (queries.float() / math.sqrt(queries.shape[-1])) @ keys.float().mT
    heads = scores.shape[1]
    if change is not None:
        scores = intervened(scores, change)
    length = scores.shape[-1]
    future = torch.full((length, length), -math.inf, device=scores.device).triu(1)
    attention = (scores + future).softmax(-1)
    alike = heads // attention.shape[1]
    return attention if alike == 1 else attention.repeat_interleave(alike, dim=1)
