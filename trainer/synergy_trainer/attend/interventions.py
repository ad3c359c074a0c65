"""Interventions on the diversity of heads, between their logits and the softmax."""

from __future__ import annotations

import math

from torch import Tensor

from synergy_trainer.settings import Intervention


def intervened(scores: Tensor, what: Intervention) -> Tensor:
    """Logits (S, P, n, n) of the P distinct patterns by which heads of logits (S, H, n, n) attend.

    H/P adjacent heads share each pattern. The formula is that of :class:`Intervention`.
    """
    heads = scores.shape[1]
    if what.tied > 1:
        scores = scores.unflatten(1, (-1, what.tied)).mean(2)
        if what.match_scale:
            scores = scores * math.sqrt(what.tied)
    if what.head_diversity == 1.0:
        return scores
    mean = scores.mean(1, keepdim=True) * what.of_mean(heads)
    return mean if what.head_diversity == 0.0 else scores * what.head_diversity + mean


def joined(what: Intervention, heads: int) -> tuple[int, float] | None:
    """Ordinary heads that attend alike, and the factor of their queries; None: there are none.

    Where adjacent heads attend alike, the mean of their logits is the product of their queries and
    keys laid side by side: that of an ordinary, wider head. It divides by the root of its own
    width, so the factor is 1 with `match_scale` and √(P/H) without, for P patterns of H heads.
    """
    if what.head_diversity not in (0.0, 1.0):
        return None
    patterns = what.patterns(heads)
    return patterns, 1.0 if what.match_scale else math.sqrt(patterns / heads)
