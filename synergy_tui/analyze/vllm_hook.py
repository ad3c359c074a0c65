"""Queries, keys and scores as vLLM-Hook (https://github.com/IBM/vLLM-Hook) writes them.

A ``qk.pt`` is ``{"config": …, "qk_cache": {module: {"q": […], "k_all": […], "layer_num": …}}}``
with one (tokens, heads × width) tensor per forward pass and request; newer versions keep each
request's keys once (``k_full``, ``k_prefix_ends``), attention itself (``scores``), or a
``qk.safetensors`` with a ``qk.json`` beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from synergy_engine.graphio.tensors import Tensor, TensorFile
from synergy_tui.analyze.containers import load_plain, tensor_of
from synergy_tui.analyze.queries import ASSUMED, Queries, Recorded
from synergy_tui.errors import UserError
from synergy_tui.files import require_file

if TYPE_CHECKING:
    import torch

CACHE = "qk_cache"
"""The key that tells these files from others."""

_WHOLE_TEXT = (
    'Record prompts whole: hookq_mode "all_tokens" (VLLM_HOOKQ_MODE=all_tokens), without prefix '
    "caching."
)


def read_hooked(path: Path) -> Recorded | None:
    """Return the queries and keys of such a file; ``None`` for any other."""
    require_file(path)
    suffix = path.suffix.lower()
    content = None
    if suffix in (".pt", ".pth"):
        content = load_plain(path)
    elif suffix == ".safetensors" and path.with_suffix(".json").is_file():
        content = _beside(path)
    if not isinstance(content, Mapping) or CACHE not in content:
        return None
    with _as_written(f"--qk {path}"):
        return _recorded(path, content)


def read_scores(path: Path, content: Mapping[str, Any]) -> TensorFile:
    """Return attention that was recorded in place of queries and keys, (B, H, n, n) per layer."""
    with _as_written(str(path)):
        return _scores(path, content)


@contextmanager
def _as_written(where: str) -> Iterator[None]:
    """Say of what is torn or of another shape that it is not what vLLM-Hook writes."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        raise UserError(
            f"{where}: not a cache of queries and keys as vLLM-Hook writes it "
            f"({type(error).__name__}: {error})."
        ) from error


def _scores(path: Path, content: Mapping[str, Any]) -> TensorFile:
    import torch

    entries = content[CACHE]
    if not all(isinstance(entry, Mapping) and "scores" in entry for entry in entries.values()):
        raise UserError(
            f"{path} contains queries and keys, not attention.", hint=f"Give it as --qk {path}"
        )
    found: dict[str, Tensor] = {}
    lengths: list[int] | None = None
    for name, entry in entries.items():
        scores = [each if each.ndim == 3 else each[None] for each in entry["scores"]]
        if any(each.shape[-2] != each.shape[-1] for each in scores):
            raise UserError(
                f"{path}: {name} has scores of {scores[0].shape[-2]} queries for "
                f"{scores[0].shape[-1]} keys.",
                hint=_WHOLE_TEXT,
            )
        counts = [each.shape[-1] for each in scores]
        if lengths not in (None, counts):
            raise ValueError(f"{name} has texts of other lengths than other layers")
        lengths = counts
        padded = scores[0].new_zeros(len(scores), len(scores[0]), max(lengths), max(lengths))
        for own, each, length in zip(padded, scores, lengths, strict=True):
            own[:, :length, :length] = each
        found[str(name)] = tensor_of(str(name), padded)
    if lengths is None:
        raise ValueError("no layers")
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return TensorFile({**found, "attention_mask": tensor_of("attention_mask", mask)}, {})


def _beside(path: Path) -> dict[str, Any] | None:
    """What a ``.safetensors`` and the ``.json`` beside it contain, as a ``qk.pt`` has it."""
    from safetensors.torch import load_file

    try:
        about = orjson.loads(path.with_suffix(".json").read_bytes())
        order = about["layer_order"]
        tensors = load_file(path)
        entries: dict[str, Any] = {}
        for item in order:
            q, k = tensors[item["key_q"]], tensors[item["key_k"]]
            entry: dict[str, Any] = {"layer_num": item["layer_num"]}
            queries, keys = about.get("q_seq_lens"), about.get("k_seq_lens")
            if about.get("compact_all_tokens"):
                entry |= {"q": q.split(queries), "k_full": k.split(about["k_full_lens"])}
                entry["k_prefix_ends"] = about["k_prefix_ends"]
            else:
                entry["q"] = _cut(q, queries) if q.ndim == 3 else list(q)
                entry["k_all"] = _cut(k, keys)
            entries[item["module_name"]] = entry
        return {"config": about["config"], CACHE: entries}
    except (KeyError, TypeError, ValueError, OSError):
        return None  # a file of somebody else's


def _cut(padded: torch.Tensor, lengths: Sequence[int] | None) -> list[torch.Tensor]:
    if lengths is None:
        return list(padded)
    return [each[:length] for each, length in zip(padded, lengths, strict=True)]


def _recorded(path: Path, content: Mapping[str, Any]) -> Recorded:
    config, layers, notes = content["config"], [], []
    lengths: list[int] | None = None
    for name, entry in content[CACHE].items():
        if "q" not in entry or "q_qmeta" in entry:
            raise UserError(
                f"--qk {path}: {name} has {'quantised' if 'q' in entry else 'no'} queries.",
                hint="Record queries and keys as they are."
                if "q" in entry
                else f"If these are scores, leave out --qk: synergy analyze {path}",
            )
        texts = _texts(path, name, entry)
        own = [(q, k) for q, k in texts if len(q) > 1]
        if not own:
            raise UserError(f"--qk {path}: {name} has single tokens only.", hint=_WHOLE_TEXT)
        counts = [len(q) for q, _ in own]
        if lengths not in (None, counts):
            raise UserError(f"--qk {path}: {name} has texts of other lengths than other layers.")
        if lengths is None:
            listed = ", ".join(map(str, counts[:8])) + ", …" * (len(counts) > 8)
            notes.append(f"recorded by vLLM-Hook: texts of {listed} tokens")
            if len(own) < len(texts):
                notes.append(f"{len(texts) - len(own)} passes of one token, as generating makes "
                             "them, left out")  # fmt: skip
        lengths = counts
        queries, more = _queries(path, name, own, config)
        notes += [each for each in more if each not in notes]
        layers.append((int(entry["layer_num"]) + 1, queries))
    if lengths is None:
        raise UserError(f"--qk {path}: its {CACHE} is empty.")
    layers.sort(key=lambda layer: layer[0])
    differ = len(set(lengths)) > 1
    return Recorded(tuple(layers), np.array(lengths) if differ else None, (*notes, ASSUMED))


def _texts(
    path: Path, name: str, entry: Mapping[str, Any]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Queries and keys (n, width) of every text; passes that follow one another are joined."""
    import torch

    if "k_full" in entry:
        keys = [
            whole[:end]
            for whole, ends in zip(entry["k_full"], entry["k_prefix_ends"], strict=True)
            for end in ends
        ]
    else:
        keys = list(entry["k_all"])
    passes = list(zip(entry["q"], keys, strict=True))
    texts: list[tuple[list[torch.Tensor], torch.Tensor]] = []
    for q, k in passes:
        follows = texts and q.ndim == 2 and len(k) == len(texts[-1][1]) + len(q)
        if follows:
            texts[-1] = ([*texts[-1][0], q], k)
        elif q.ndim == 2 and len(q) == len(k):
            texts.append(([q], k))
        else:
            queries = len(q) if q.ndim == 2 else 1
            raise UserError(
                f"--qk {path}: {name} has {queries} queries for {len(k)} keys.", hint=_WHOLE_TEXT
            )
    return [(torch.cat(parts), k) for parts, k in texts]


def _queries(
    path: Path, name: str, texts: list[tuple[Any, Any]], config: Mapping[str, Any]
) -> tuple[Queries, list[str]]:
    """Pad the texts of one layer to (B, H, n, d), and say what its shapes show."""
    import torch

    heads, groups = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
    width, scale = int(config["head_dim"]), float(config["attention_multiplier"])
    whole, own = texts[0][0].shape[1], texts[0][1].shape[1]
    notes = []
    if whole != heads * width and whole % heads == 0 and whole * groups == own * heads:
        found = whole // heads
        if found > width:
            # Older versions take the width to be hidden_size / heads, which not all models have.
            notes.append(f"heads have width {found}, not {width} as the file's config says")
            scale = found**-0.5 if math.isclose(scale, width**-0.5) else scale
            width = found
    if whole % width or own % width or (whole // width) % (own // width):
        raise UserError(
            f"--qk {path}: {name} has queries of {whole} and keys of {own} numbers, which are not "
            f"whole heads of width {width}."
        )
    if whole != heads * width:
        notes.append(
            f"{whole // width} of {heads} heads: those of one rank of a tensor-parallel model"
        )
    longest = max(len(q) for q, _ in texts)
    padded = []
    for side in (0, 1):
        count = texts[0][side].shape[1] // width
        out = torch.zeros(len(texts), count, longest, width)
        for target, text in zip(out, texts, strict=True):
            each = text[side]
            target[:, : len(each)] = each.float().reshape(len(each), count, width).transpose(0, 1)
        padded.append(out)
    return Queries(padded[0], padded[1], scale=scale), notes
