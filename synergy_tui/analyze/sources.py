"""Turns what a person has into something the engine measures: tensors, graph files, checkpoints."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synergy_tui.errors import UserError
from synergy_tui.files import require_file

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem
    from synergy_trainer import LoadedModel

TENSOR_SUFFIXES = (".npy", ".npz", ".safetensors")
CHECKPOINT_SUFFIXES = (".pt", ".pth", ".safetensors")
GRAPH_SUFFIXES = (".graphml", ".xml", ".gml", ".json", ".csv", ".tsv", ".txt", ".edges", ".mtx")

# Files of numbers beyond this are not what the options that read them are for.
LARGEST_NUMBERS = 16 * 2**20

# Inputs drawn when a checkpoint is measured and none are given.
DEFAULT_INPUTS = 16


@dataclass(frozen=True, eq=False)
class Source:
    """One thing to measure: attention of layers over inputs, or one graph."""

    name: str  # the path as it was given
    attention: np.ndarray | None = None  # (B, L, H, n, n), rows are queries; None for a graph
    learned: np.ndarray | None = None  # (L, H) head weights of the output projection, if known
    norms: np.ndarray | None = None  # (B, L, n) measured share of attention beside the residual
    graph: MultiHeadSystem | None = None
    rows: Literal["check", "normalise", "any"] = "check"  # any: raw weights of graphs
    names: tuple[str, ...] | None = None  # of nodes
    notes: tuple[str, ...] = ()  # sentences that belong beside the numbers


@dataclass(frozen=True)
class Inputs:
    """What to feed a checkpoint, and how to read a file that does not contain everything."""

    heads: int | None = None  # of a checkpoint whose file does not know
    tokens: np.ndarray | None = None  # (B, n) token ids; None: drawn
    count: int = DEFAULT_INPUTS  # how many inputs to draw
    seed: int = 0
    tensor: str | None = None  # name or pattern of the tensors to read from a file with several
    self_loops: str = "add"  # or "keep": of graph files
    renormalise: bool = False  # divide attention rows by their sums instead of refusing others


def read_source(path: Path, inputs: Inputs) -> Source:
    """Read one file as what it is: a checkpoint, an attention tensor or a graph."""
    if path.is_dir():
        raise UserError(
            f"{path} is a directory.",
            hint="Name a file, or --model DIR for a Hugging Face model directory.",
        )
    require_file(path)
    suffix = path.suffix.lower()
    if suffix in CHECKPOINT_SUFFIXES and _is_checkpoint(path):
        return _checkpoint(path, inputs)
    if suffix in TENSOR_SUFFIXES and not _is_sparse_matrix(path):
        return _tensor(path, inputs)
    if suffix in (*GRAPH_SUFFIXES, ".npz"):
        import synergy_engine as engine

        graph = engine.read_graph(path, self_loops=inputs.self_loops)
        return Source(str(path), graph=graph, notes=tuple(engine.structure(graph).notes))
    known = ", ".join(sorted({*TENSOR_SUFFIXES, *CHECKPOINT_SUFFIXES, *GRAPH_SUFFIXES}))
    raise UserError(f"{path}: files that end in '{suffix}' are not known.", hint=f"Known: {known}.")


def _is_checkpoint(path: Path) -> bool:
    """Whether a file contains a model's parameters rather than attention."""
    if path.suffix.lower() != ".safetensors":
        return True
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return "token_emb.weight" in set(file.keys())
    except (SafetensorError, OSError, ValueError):
        return False  # what reads attention will say what is wrong with it


def _is_sparse_matrix(path: Path) -> bool:
    """Whether a ``.npz`` contains a SciPy sparse matrix, which is a graph."""
    if path.suffix.lower() != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"format.npy", "shape.npy"} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # what reads attention will say what is wrong with it


def _tensor(path: Path, inputs: Inputs) -> Source:
    import synergy_engine as engine

    rows: Literal["normalise", "auto"] = "normalise" if inputs.renormalise else "auto"
    read = engine.read_attention(path, tensor=inputs.tensor, rows=rows)
    raw = read.rows == "any"
    return Source(
        str(path),
        attention=read.attention,
        learned=read.head_weights,
        norms=read.gamma,
        rows="any" if raw else "check",
        names=None if read.names is None else tuple(read.names),
        notes=("rows are raw weights of a graph, not attention",) if raw else (),
    )


def _checkpoint(path: Path, inputs: Inputs) -> Source:
    import synergy_trainer as trainer

    model = trainer.load_published(path, inputs.heads)
    tokens, notes = (inputs.tokens, ()) if inputs.tokens is not None else _drawn(model, inputs)
    return Source(
        str(path), attention=model.attention(tokens), learned=model.head_weights(), notes=notes
    )


def _drawn(model: LoadedModel, inputs: Inputs) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return inputs for a model: from its task where its file names one, else uniform tokens."""
    import torch

    import synergy_trainer as trainer
    from synergy_trainer.data import Source as Data

    task = trainer.TASKS.get(str(model.about.get("task")))
    vocabulary = model.about.get("vocabulary")
    if task is None or not isinstance(vocabulary, int):
        rng = np.random.default_rng(inputs.seed)
        drawn = rng.integers(0, model.shape.tokens, (inputs.count, model.shape.length))
        return drawn, (f"inputs drawn uniformly with seed {inputs.seed}",)
    made = task(model.shape.length, vocabulary)
    data = Data(made, inputs.seed, inputs.count, torch.device("cpu"), split="held_out")
    note = f"held-out inputs of the task {made.name}, drawn with seed {inputs.seed}"
    return data.batch(1).inputs.numpy(), (note,)


def together(sources: Sequence[Source]) -> Source:
    """Return several sources of one shape as one: each is another input to the same layers."""
    shapes = {each.name: each.attention.shape[1:] for each in sources if each.attention is not None}
    if len(shapes) < len(sources) or len(set(shapes.values())) > 1:
        listed = "; ".join(f"{name}: {shape}" for name, shape in shapes.items())
        raise UserError(
            f"--together needs attention of one shape (layers, heads, n, n); here: {listed}."
        )
    stacked = np.concatenate([each.attention for each in sources if each.attention is not None])
    norms = [each.norms for each in sources if each.norms is not None]
    known = np.concatenate(norms) if len(norms) == len(sources) else None
    name = f"{sources[0].name} and {len(sources) - 1} more" if len(sources) > 1 else sources[0].name
    return replace(sources[0], name=name, attention=stacked, norms=known)


def read_tokens(given: str) -> np.ndarray:
    """Read (B, n) token ids: ``3,1,2``, or a .npy, JSON or text file with one input per line."""
    try:
        tokens = read_numbers(given, int)
        if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or tokens.size == 0:
            raise ValueError("not whole numbers, in rows of one length")
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise UserError(
            f"--tokens {given}: {error}.",
            hint="Give ids separated by commas, or a .npy, JSON or text file, one input per line.",
        ) from error
    return tokens.astype(np.int64)


def read_numbers(given: str, number: type[int] | type[float]) -> np.ndarray:
    """Read ``0.2,0.8``, or a ``.npy``, JSON or text file of rows, as an array of at least two axes.

    What is neither raises ValueError, TypeError, OSError or EOFError, with the reason.
    """
    path = Path(given)
    if not os.path.isfile(given):  # noqa: PTH113  (numbers may make too long a name for a Path)
        return np.atleast_2d([number(each) for each in given.split(",")])
    if path.stat().st_size > LARGEST_NUMBERS:
        raise ValueError(f"larger than {LARGEST_NUMBERS // 2**20} MiB")
    if path.suffix.lower() == ".npy":
        # Mapped, because a header that promises more than there is would have it all allocated.
        return np.atleast_2d(np.load(path, mmap_mode="r", allow_pickle=False))
    if path.suffix.lower() == ".json":
        import orjson

        return np.atleast_2d(orjson.loads(path.read_bytes()))
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = (line.replace(",", " ").split() for line in lines)
    return np.atleast_2d([[number(each) for each in row] for row in rows if row])
