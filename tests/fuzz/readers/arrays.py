"""Attention, masks, queries and what torch.save writes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_numpy
from safetensors.torch import save as save_torch

import synergy_engine as engine
from tests.fuzz.readers.reader import Reader, plain
from tests.places import DATA


def rows_of_attention(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Causal attention of the given shape, rows summing to one."""
    attention = np.tril(np.random.default_rng(seed).random(shape) + 0.05)
    return (attention / attention.sum(-1, keepdims=True)).astype(dtype)


def _padded() -> np.ndarray:
    """Three inputs of 4, 3 and 2 tokens, padded on the right with zeros."""
    attention = rows_of_attention(3, 1, 2, 4, 4)
    for number, length in enumerate((4, 3, 2)):
        attention[number, ..., length:, :] = 0
    return attention


def _layouts() -> list[dict[str, np.ndarray]]:
    sink = rows_of_attention(2, 3, 4, 4) * 0.9
    beside = np.concatenate([sink, 1 - sink.sum(-1, keepdims=True)], axis=-1)
    return [
        {"attention": rows_of_attention(4, 4)},
        {"attention": rows_of_attention(2, 4, 4, dtype=np.float64)},
        {"attention": rows_of_attention(2, 3, 4, 4)},
        {"attention": _padded(), "attention_mask": np.tri(3, 4)[::-1, ::-1].copy()},
        {f"blocks.{layer}.attn.hook_pattern": rows_of_attention(2, 4, 4) for layer in range(2)},
        {"attention": rows_of_attention(1, 2, 2, 4, 4), "head_weights": np.full((2, 2), 0.5),
         "gamma": np.full((1, 2, 4), 0.5), "tokens": np.arange(4)[None]},
        {"attention": beside.astype(np.float32), "labels": np.array(["a", "b", "c", "d"])},
        {"attention": rows_of_attention(2, 4, 4, dtype=np.float16)},
    ]  # fmt: skip


def _npy_files() -> list[bytes]:
    found = []
    for arrays in _layouts():
        file = io.BytesIO()
        np.save(file, next(iter(arrays.values())))
        found.append(file.getvalue())
    file = io.BytesIO()
    np.save(file, np.asfortranarray(rows_of_attention(2, 4, 4)))
    return [*found, file.getvalue()]


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def npz_files() -> list[bytes]:
    import scipy.sparse

    found = [npz(arrays) for arrays in _layouts()]
    for kind in ("csr", "csc", "coo"):
        file = io.BytesIO()
        scipy.sparse.save_npz(file, scipy.sparse.random_array((5, 5), density=0.5, format=kind))
        found.append(file.getvalue())
    return found


def _safetensors_files() -> list[bytes]:
    about = {"rows": "attention", "names": '["a", "b", "c", "d"]', "axes": "input,layer,head"}
    plain = [each for each in _layouts() if all(v.dtype.kind in "fi" for v in each.values())]
    narrow = save_torch({"attention": torch.from_numpy(rows_of_attention(2, 4, 4)).bfloat16()})
    raw = save_numpy({"attention": rows_of_attention(1, 1, 2, 4, 4)}, {"rows": "raw weights"})
    return [*(save_numpy(each, about) for each in plain), narrow, raw, *snapshots()]


def snapshots() -> list[bytes]:
    folder = DATA / "recordings/sort/attention"
    return [(folder / f"{run}-00000000.safetensors").read_bytes() for run in _RUNS]


_RUNS = ("single-head", "multi-head")
_WAYS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {"renormalise": True}, {"learned_sinks": True}, {"span": "1:3"}, {"sink": "-2"}),
    *({"lengths": "4,3,2"}, {"axes": "L,B,H,n,n"}, {"axes": "B,L,H,n,n"}, {"axes": "H,n,n"}),
    *({"tensor": "layer*"}, {"tensor": "blocks.*"}, {"heads": 2}, {"axes": "n,n,B"}, {"span": "x"}),
    *({"sink": "w"}, {"undirected": "order"}, {"matrix_rows": "senders"}, {"self_loops": "keep"}),
)


def analyse(path: Path, rng: Random) -> object:
    """Read as ``synergy analyze`` does, and measure what is small."""
    from synergy_tui.analyze.sources import Inputs, read_source

    source = read_source(path, Inputs(**rng.choice(_WAYS)))
    if source.graph is not None:
        return source.graph.nodes if source.graph.nodes < 9 else "large", len(source.notes)
    assert source.attention is not None
    if source.attention.size < 500 and rng.random() < 0.05:
        rows = source.rows if source.rows == "any" else "normalise"
        engine.analyze_batch(source.attention, rows=rows)
    return source.attention.shape, source.rows, len(source.notes)


def _read_attention(path: Path, rng: Random) -> object:
    way = rng.choice(({}, {"rows": "any"}, {"rows": "normalise"}, {"sink": 1}, {"tensor": "*"}))
    return engine.read_attention(path, **way).attention.shape


def _tensors(path: Path, rng: Random) -> object:
    return _read_attention(path, rng) if rng.random() < 0.3 else analyse(path, rng)


# Masks, lengths, labels, tokens and texts: small files beside another.


def _beside(suffix: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        (folder / "attention.npz").write_bytes(npz({"attention": _padded()}))
        return folder / f"fuzzed{suffix}"

    return prepare


def _number_files(suffix: str) -> Callable[[], list[bytes]]:
    def files() -> list[bytes]:
        mask, lengths = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]], [4, 3, 2]
        if suffix == ".json":
            return [json.dumps(each).encode() for each in (mask, lengths, ["a", "b", "c", "d"])]
        if suffix == ".txt":
            return [b"1 1 1 1\n1 1 1 0\n1 1 0 0\n", b"4,3,2\n", "a\nτ\nc\nd\n".encode()]
        found = []
        for each in (np.array(mask), np.array(lengths), np.array(mask, dtype=bool)):
            file = io.BytesIO()
            np.save(file, each)
            found.append(file.getvalue())
        return found

    return files


def _numbers(path: Path, rng: Random) -> object:
    from synergy_tui.analyze.huggingface import read_texts
    from synergy_tui.analyze.measure import Options, measure
    from synergy_tui.analyze.sources import Inputs, read_source, read_tokens

    attention = path.with_name("attention.npz")
    use = rng.choice(("mask", "lengths", "labels", "tokens", "texts", "weights"))
    if use == "tokens":
        return read_tokens(str(path)).shape
    if use == "texts":
        return len(read_texts([path])[0]) > 3
    if use == "weights":
        source = read_source(attention, Inputs())
        return sum(1 for _ in measure(source, Options(weights=str(path), max_steps=50)))
    return read_source(attention, Inputs(**{use: str(path) if use != "labels" else path})).lengths


def _queries(path: Path, rng: Random) -> object:
    from synergy_tui.analyze.recorded import read_queries

    return [each.query.shape for _, each in read_queries(path).layers]


def _query_arrays() -> list[dict[str, np.ndarray]]:
    made = np.random.default_rng(0).random((2, 2, 4, 3), dtype=np.float32)
    pairs = {f"layers.{layer}.{name}": made[layer] for layer in range(2) for name in "qk"}
    return [{"q": made, "k": made}, {"q": made[0], "k": made[0][:1], "scale": np.ones(1)}, pairs]


def readers() -> Iterator[Reader]:
    for suffix, files in ((".npy", _npy_files), (".npz", npz_files)):
        yield Reader(f"attention{suffix}", suffix, files, plain(suffix), _tensors)
    yield Reader(
        "attention.safetensors",
        ".safetensors",
        _safetensors_files,
        plain(".safetensors"),
        _tensors,
    )
    for suffix in (".npy", ".json", ".txt"):
        files = _number_files(suffix)
        yield Reader(f"numbers{suffix}", suffix, files, _beside(suffix), _numbers)
    queries = [npz(each) for each in _query_arrays()], list(map(save_numpy, _query_arrays()))
    for suffix, made in zip((".npz", ".safetensors"), queries, strict=True):
        yield Reader(f"queries{suffix}", suffix, lambda made=made: made, plain(suffix), _queries)
