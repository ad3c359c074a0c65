"""The seam between the model and whatever computes its attention."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.explicit import Change, causal_softmax
from synergy_trainer.attend.lanes import WIDEST, LaneAttention, LaneDropout, lanes_serve


def attend(
    qkv: Tensor,
    drops: Drops | None = None,
    change: Change | None = None,
    found: list[Tensor] | None = None,
) -> Tensor:
    """Mix values by causal attention: (M, B, n, 3, H, w) to (M, B, n, H, w).

    `drops` are of these models; with `change`, the attention is not the ordinary one. Where `found`
    is given, attention (M·B, H, n, n) is appended to it.
    """
    models, sequences = qkv.shape[:2]
    plain = change is None and found is None
    if plain and qkv.shape[-1] <= WIDEST and lanes_serve(qkv):
        return LaneAttention.apply(qkv, drops)
    queries, keys, values = qkv.flatten(0, 1).permute(2, 0, 3, 1, 4).unbind()
    if plain and drops is None and qkv.device.type != "cpu":  # a CPU's is slower than explicit
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    else:
        attention = causal_softmax(queries, keys, change)
        if found is not None:
            found.append(attention)
        if drops is not None:
            attention = dropout(attention.unflatten(0, (models, sequences)), drops).flatten(0, 1)
        mixed = attention.to(values.dtype) @ values
    return mixed.transpose(1, 2).unflatten(0, (models, sequences))


def dropout(x: Tensor, drops: Drops) -> Tensor:
    """Drop entries of x (M, B, H, rows, columns)."""
    if lanes_serve(x):
        return LaneDropout.apply(x, drops)
    return x * drops.kept(*x.shape[1:]) * drops.gain
