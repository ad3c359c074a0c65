"""Every reader, fuzzed briefly; ``python -m tests.fuzz`` does it for a million inputs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from safetensors.torch import load, save

from tests.fuzz.campaign import bounded, fuzz, outcome_of
from tests.fuzz.readers import READERS
from tests.places import DATA

INPUTS = 60


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_end_in_a_value_or_in_words(name: str) -> None:
    reader = READERS[name]
    tally = fuzz(reader, "short", max(5, int(INPUTS * reader.share)))
    assert tally.failures == 0
    assert tally.outcomes > 1, "the files were not damaged, or nothing looked at them"


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _checkpoint(old: str, new: str) -> Callable[[], bytes]:
    """A checkpoint some of whose tensors have another name."""

    def made() -> bytes:
        content = (DATA / "interrupted/checkpoints/two-00000100.safetensors").read_bytes()
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length])["__metadata__"]
        return save({k.replace(old, new): v for k, v in load(content).items()}, about)

    return made


def _zeroed(name: str) -> bytes:
    content = (DATA / "interrupted/checkpoints/two-00000100.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length])["__metadata__"]
    return save({k: v * 0 if name in k else v for k, v in load(content).items()}, about)


def _sparse(
    kind: str, indptr: list[int], indices: Sequence[int] = (), dtype: type = np.float64
) -> bytes:
    return _npz(
        format=np.array(kind.encode()), shape=np.array([5, 5]), data=np.ones(len(indices), dtype),
        indices=np.array(indices, np.int32), indptr=np.array(indptr, np.int32),
    )  # fmt: skip


def _renamed(old: str, new: str) -> bytes:
    """A shard of a model, whose tensors have other names."""
    tensors = load(READERS["model's shard"].files()[0])
    assert any(old in name for name in tensors)
    return save({name.replace(old, new): values for name, values in tensors.items()})


SWEEP = b'title = "a"\n[train]\ntask = "sort"\n[sweep]\nseeds = 2\nheads = [1, 2]\n'
DESIGNED = (
    b'title = "a"\n[[runs]]\nname = "a"\nnodes = ["u", "v"]\nheads = [{ edges = [["u", "v"]] }, '
    b'{ edges = [["u", "v"]] }]\nweights = [1, 1]\n'
)


def _event(**fields: object) -> bytes:
    return json.dumps({"v": 1, "t": 0, "point": "sort-s0", **fields}).encode() + b"\n"


def _header(text: bytes, version: int = 1) -> bytes:
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


# What fuzzing found, by what was wrong with the file: the reader, the file, and our words for it.
FOUND: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "not a number among 32-bit ones": (
        "attention.npy", lambda: _npy(np.array([[np.nan, 0], [0.5, 0.5]], np.float32)), "not finite"
    ),
    "a layer that is no number": (
        "finished layers", lambda: b'{"key":"key","layer":{},"records":[]}\n', "not a file of"
    ),
    "a bracket left open in a header": (
        "numbers.npy", lambda: _header(b"{'descr': '<f4', 'shape': ("), "not a whole"
    ),
    "a header of four gigabytes": (
        "numbers.npy", lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "claims that its header has"
    ),
    "an attempt that is text": (
        "sweep.jsonl", lambda: _event(kind="point_started", attempt="../x"), "read"
    ),
    "an exit code that is a table": (
        "sweep.jsonl", lambda: _event(kind="sweep_finished", exit_code={"a": 1}), "read"
    ),
    "an encoding of several bytes": (
        "graph.graphml", lambda: b'<?xml version="1.0" encoding="euc-jp"?><graphml/>', "well-formed"
    ),
    "a moment of another name": (
        "kept checkpoint", _checkpoint("exp_avg_sq", "exp_avg_ss"), "has no tensor"
    ),
    "a moment of another name, resumed": (
        "resume", _checkpoint("exp_avg_sq", "exp_avg_ss"), "'RunStopped', 1"
    ),
    "indptr that goes up and down, with nothing in it": (
        "graph.npz", lambda: _sparse("csc", indptr=[0, 2000, 4000, 3000, 0, 0]), "indptr decreases"
    ),
    "weights of sixteen bits": (
        "graph.npz", lambda: _sparse("csc", [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], np.float16), "read"
    ),
    "an infinite step": (
        "failure note", lambda: b'{"step": 1e999, "reason": ""}', "cannot be read as a note"
    ),
    "queries of no heads": (
        "queries.npz",
        lambda: _npz(q=np.ones((0, 2, 3), np.float32), k=np.ones((0, 2, 3), np.float32)),
        "has shape",
    ),
    "more seeds than there are": (
        "scenario", lambda: SWEEP.replace(b"= 2", b"= 9223372036854775808"), "less than or equal"
    ),
    "a head weight beyond all floats": (
        "scenario", lambda: DESIGNED.replace(b"[1, 1]", b"[1, %s]" % (b"9" * 400)), "finite numbers"
    ),
    "head weights that are text": (
        "attention.npz",
        lambda: _npz(attention=np.eye(2)[None, None], head_weights=np.array(["a"])), "not numbers",
    ),
    "an underline after a number": (
        "scenario", lambda: DESIGNED + b'[[expect]]\nthat = "a.fidelity > 320_"\n', "expect"
    ),
    "a projection of zeros": ("checkpoint.safetensors", lambda: _zeroed("attn.out_proj"), "read"),
    "a scale of two numbers": (
        "queries.npz",
        lambda: _npz(q=np.ones((1, 2, 3), np.float32), k=np.ones((1, 2, 3), np.float32),
                     scale=np.zeros(1, [("a", "<f4"), ("b", "<f4")])),
        "not one number",
    ),
    "an ending without a verdict": (
        "events",
        lambda: b'{"v":1,"t":1,"kind":"experiment_finished","exit_code":0,"verdict":null}\n', "read"
    ),
    "a padding that is a number": (
        "model's tokenizer.json", lambda: b'{"version": "1.0", "padding": 0.5}',
        "cannot be read as a model with a tokenizer",
    ),
    "a configuration of another model": (
        "model's config.json", lambda: READERS["model's config.json"].files()[1], "weights lack"
    ),
    "blocks without their tensors": (
        "model's shard", lambda: _renamed(".layers.", ".others."), "weights lack # tensors"
    ),
    "two billion layers": (
        "model's config.json",
        lambda: READERS["model's config.json"].files()[0].replace(
            b'"num_hidden_layers": 2', b'"num_hidden_layers": 2147483648'
        ),
        "layers; its weights are",
    ),
    "an event that a worker made up": (
        "packet", lambda: b'{"events": [{"kind": "train_step", "run": {}}], "files": {}}',
        "of another shape",
    ),
    "a file that a worker places elsewhere": (
        "packet", lambda: b'{"events": [], "files": {"scenario.toml": ""}}', "outside its attention"
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", FOUND)
def test_what_fuzzing_found_stays_fixed(wrong: str, tmp_path: Path) -> None:
    name, made, words = FOUND[wrong]
    reader = READERS[name]
    path = reader.prepare(tmp_path)
    path.write_bytes(made())
    with bounded():  # its ways of reading are drawn
        outcomes = {outcome_of(reader, path, Random(seed)) for seed in range(20)}
    assert any(words in outcome for outcome in outcomes), outcomes
