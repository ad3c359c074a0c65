"""The seam between the model and whatever computes its attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.explicit import causal_softmax
from synergy_trainer.attend.fused import (
    FusedAttention,
    FusedDropout,
    attention_is_fused,
    fused_serves,
)
from synergy_trainer.attend.interventions import joined
from synergy_trainer.attend.lanes import WIDEST, LaneAttention, LaneDropout, lanes_serve
from synergy_trainer.settings import Intervention

ByHead = Tensor | tuple[Tensor, Tensor, Tensor]
"""Queries, keys and values (M, B, n, 3, H, w); three tensors (M, B, n, H, ·) if widths differ."""


def attend(
    qkv: ByHead,
    drops: Drops | None = None,
    change: Intervention | None = None,
    found: list[Tensor] | None = None,
) -> Tensor:
    """Mix values by causal attention: (M, B, n, H, w), or with wider heads if they attend alike.

    `drops` are of these models; with `change`, the attention is not the ordinary one. Where `found`
    is given, attention (M·B, H, n, n) is appended to it.
    """
    if change is not None and found is None and drops is None:
        heads = qkv.shape[4] if isinstance(qkv, Tensor) else qkv[0].shape[3]
        if pair := joined(change, heads):
            qkv, change = _wider(qkv, *pair), None
    plain = change is None and found is None
    if isinstance(qkv, Tensor) and plain and qkv.shape[-1] <= WIDEST and lanes_serve(qkv):
        return LaneAttention.apply(qkv, drops)
    if isinstance(qkv, Tensor) and plain and attention_is_fused(qkv.flatten(3), [qkv.shape[4]]):
        alike = [qkv.shape[4]] * len(qkv)
        return FusedAttention.apply(qkv.flatten(3), alike, drops).unflatten(3, (alike[0], -1))
    parts = qkv.unbind(3) if isinstance(qkv, Tensor) else qkv
    models, sequences = parts[0].shape[:2]
    queries, keys, values = (part.flatten(0, 1).transpose(1, 2) for part in parts)
    varies = torch.are_deterministic_algorithms_enabled()  # as gradients of PyTorch's kernel do
    on_cpu = values.device.type == "cpu"  # whose kernel is slower than explicit attention
    if plain and drops is None and not on_cpu and not varies:
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    else:
        attention = causal_softmax(queries, keys, change)
        if found is not None:
            found.append(attention)
        if drops is not None:
            attention = dropout(attention.unflatten(0, (models, sequences)), drops).flatten(0, 1)
        mixed = attention.to(values.dtype) @ values
    return mixed.transpose(1, 2).unflatten(0, (models, sequences))


def _wider(qkv: ByHead, heads: int, factor: float) -> ByHead:
    """Adjacent heads laid side by side, `heads` in all, with `factor` times their queries."""
    if isinstance(qkv, Tensor):
        wider: Tensor = qkv.flatten(4).unflatten(4, (heads, -1))
        if factor == 1.0:
            return wider
        return torch.cat([wider[:, :, :, :1] * factor, wider[:, :, :, 1:]], 3)
    queries, keys, values = (part.flatten(3).unflatten(3, (heads, -1)) for part in qkv)
    return queries * factor, keys, values


def dropout(x: Tensor, drops: Drops, added: Tensor | None = None) -> Tensor:
    """Drop entries of x (M, B, H, rows, columns), then add a tensor of that shape if given."""
    if fused_serves(x):
        return FusedDropout.apply(x, drops, added)
    if lanes_serve(x):
        dropped = LaneDropout.apply(x, drops)
    else:
        dropped = x * drops.kept(*x.shape[1:]) * drops.gain
    return dropped if added is None else added + dropped
