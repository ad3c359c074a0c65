"""Attention that ``torch.save`` wrote: a tensor, a tuple of layers, or dictionaries of these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synergy_engine.graphio.attention import LABELS
from synergy_engine.graphio.layouts import AVERAGED
from synergy_engine.graphio.tensors import Tensor, TensorFile
from synergy_tui.analyze.containers import load_plain, named_tensors, tensor_of
from synergy_tui.analyze.recorded import has_queries
from synergy_tui.analyze.vllm_hook import CACHE, read_scores
from synergy_tui.errors import UserError


def read_saved(path: Path) -> TensorFile | None:
    """The tensors of a file of attention; ``None`` for a checkpoint or anything else.

    What is not a pickle of plain containers is left to those who read checkpoints.
    """
    import torch

    content = load_plain(path)
    if isinstance(content, Mapping) and CACHE in content:
        return read_scores(path, content)
    if _generated(content):
        raise UserError(
            f"{path} contains attention of each generated token by itself, whose queries are fewer "
            "than its keys.",
            hint="Record one pass over the whole text: model(ids, output_attentions=True, "
            "use_cache=False).",
        )
    found = {name: tensor_of(name, value) for name, value in named_tensors(content)}
    pair = list(found.values())
    if isinstance(content, (tuple, list)) and len(pair) == 2 and _multihead(*pair):
        # What nn.MultiheadAttention returns: its output, and its weights.
        return TensorFile({AVERAGED: tensor_of(AVERAGED, content[1])}, {})
    square = [each for each in found.values() if len(each.shape) >= 3 and each.dtype.kind in "fu"]
    attention = [each for each in square if 0 <= each.shape[-1] - each.shape[-2] <= 1]
    known = attention or isinstance(content, torch.Tensor) or has_queries(found)
    return TensorFile(found, _texts(content)) if known else None


def _texts(content: Any) -> dict[str, str]:
    """The tokens' texts beside tensors, as the metadata of tensor files has them."""
    if isinstance(content, Mapping):
        for name in (*LABELS, "tokens"):
            texts = content.get(name)
            if isinstance(texts, (list, tuple)) and all(isinstance(each, str) for each in texts):
                return {"labels": json.dumps(list(texts))}
    return {}


def _multihead(output: Tensor, weights: Tensor) -> bool:
    """Whether shapes are those of an attention module's output (B, n, d) and weights."""
    shape, own = output.shape, weights.shape
    square = len(own) in (3, 4) and own[-1] == own[-2]
    return len(shape) == 3 and square and own[0] == shape[0] and own[-1] == shape[1] != shape[2]


def _generated(content: Any) -> bool:
    """Whether this is ``generate(output_attentions=True)``: a tuple of layers for each token."""
    if not isinstance(content, (tuple, list)) or len(content) < 2:
        return False
    last = content[-1]
    if not isinstance(last, (tuple, list)) or not last:
        return False
    shape: tuple[int, ...] = getattr(last[0], "shape", ())
    return len(shape) == 4 and shape[-2] == 1 < shape[-1]
