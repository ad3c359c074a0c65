"""Turns what a person has into something the engine measures: tensors, graph files, checkpoints."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synergy_tui.errors import UserError, for_commands
from synergy_tui.files import require_file
from synergy_tui.words import counted

if TYPE_CHECKING:
    from synergy_engine import AttentionFile, MultiHeadSystem
    from synergy_engine.graphio.tensors import TensorFile
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
    # any: raw weights of graphs; sinks: what rows lack of one goes to learned sinks
    rows: Literal["check", "normalise", "any", "sinks"] = "check"
    names: tuple[str, ...] | None = None  # of the file's tokens, different from one another
    labels: tuple[str, ...] | None = None  # texts of the file's tokens
    lengths: np.ndarray | None = None  # (B,) tokens of each input, where they differ
    first: np.ndarray | None = None  # (B,) the file's token that each input begins at
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
    undirected: str = "error"  # or "order": of graph files
    matrix_rows: str = "receivers"  # or "senders": of matrices
    axes: str | None = None  # what the axes of attention are, as in "L,B,H,n,n"
    mask: str | None = None  # file of a tokenizer's attention mask, one input per line
    lengths: str | None = None  # tokens of each input: numbers, or a file of them
    span: str | None = None  # the part "a:b" of every input
    sink: str | None = None  # node whose hearing is measured, instead of the last
    learned_sinks: bool = False  # rows sum to less than one; learned sinks have the rest
    labels: Path | None = None  # file of the tokens' texts


def read_source(path: Path, inputs: Inputs) -> Source:
    """Read one file as what it is: a checkpoint, an attention tensor or a graph."""
    if path.is_dir():
        raise UserError(
            f"{path} is a directory.",
            hint="Name a file, or --model DIR for a Hugging Face model directory.",
        )
    require_file(path)
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth"):
        from synergy_tui.analyze.saved import read_saved

        saved = read_saved(path)
        if saved is not None:
            return _attention(path, saved, inputs)
    if suffix in CHECKPOINT_SUFFIXES and _is_checkpoint(path):
        return _checkpoint(path, inputs)
    if suffix in TENSOR_SUFFIXES and not _is_sparse_matrix(path):
        from synergy_engine.graphio.tensors import open_tensors

        return _attention(path, open_tensors(path), inputs)
    if suffix in (*GRAPH_SUFFIXES, ".npz"):
        return _graph(path, inputs)
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


def _attention(path: Path, file: TensorFile, inputs: Inputs) -> Source:
    from synergy_engine.graphio.attention import Reading, read_tensors
    from synergy_tui.analyze.recorded import has_queries

    weights = sum(name.endswith(".weight") for name in file.tensors)
    if inputs.tensor is None and 2 * weights > len(file.tensors):
        raise UserError(
            f"{path} contains a model's weights, not attention.",
            hint="Give the directory with its config.json: --model DIR --text TEXT.",
        )
    square = any(
        len(each.shape) > 2 and each.shape[-1] == each.shape[-2] for each in file.tensors.values()
    )
    if not square and has_queries(file.tensors):
        raise UserError(
            f"{path} contains queries and keys, not attention.", hint=f"Give it as --qk {path}"
        )
    _refuse_options(path, inputs, "attention", GRAPH_OPTIONS | CHECKPOINT_OPTIONS)
    rows = "sinks" if inputs.learned_sinks else "normalise" if inputs.renormalise else "auto"
    read = read_tensors(
        path,
        file,
        Reading(
            tensor=inputs.tensor,
            axes=inputs.axes,
            rows=rows,
            span=inputs.span,
            lengths=None if inputs.lengths is None else _whole("--lengths", inputs.lengths),
            mask=None if inputs.mask is None else _whole("--mask", inputs.mask),
            sink=None if inputs.sink is None else _position(inputs.sink),
        ),
    )
    heads = read.attention.shape[2]
    if inputs.heads not in (None, heads):
        raise UserError(
            f"{path} has {counted(heads, 'head')} per layer, not {inputs.heads}.",
            hint="--heads is for checkpoints that do not name their number: leave it out.",
        )
    notes = [for_commands(note) for note in read.notes]
    if read.rows == "any":
        notes.append("rows are raw weights of a graph, not attention")
    if read.first is not None and np.any(read.first != read.first[0]):
        notes.append("tokens are numbered from where each input begins")
    return Source(
        str(path),
        attention=read.attention,
        learned=read.head_weights,
        norms=read.gamma,
        rows={"any": "any", "sinks": "sinks"}.get(read.rows, "check"),  # type: ignore[arg-type]
        names=read.names,
        labels=_labels(inputs.labels, read.labels, read),
        lengths=read.lengths,
        first=read.first,
        notes=tuple(notes),
    )


GRAPH_OPTIONS = {
    "undirected": "--undirected",
    "matrix_rows": "--matrix-rows",
    "self_loops": "--self-loops",
}
CHECKPOINT_OPTIONS = {"tokens": "--tokens", "count": "--inputs", "seed": "--seed"}
ATTENTION_OPTIONS = {
    "axes": "--axes",
    "mask": "--mask",
    "lengths": "--lengths",
    "span": "--range",
    "learned_sinks": "--learned-sinks",
    "labels": "--labels",
    "tensor": "--tensor",
    "renormalise": "--renormalise",
    "heads": "--heads",
}


def _refuse_options(path: Path, inputs: Inputs, kind: str, options: dict[str, str]) -> None:
    """Refuse options that say nothing about this kind of file, rather than ignore them."""
    plain = Inputs()
    given = [
        option
        for name, option in options.items()
        if np.any(getattr(inputs, name) != getattr(plain, name))
    ]
    if given:
        raise UserError(f"{path} is {kind}: {', '.join(given)} cannot apply.", hint="Leave it out.")


def _graph(path: Path, inputs: Inputs) -> Source:
    import synergy_engine as engine

    _refuse_options(path, inputs, "a graph", ATTENTION_OPTIONS | CHECKPOINT_OPTIONS)
    graph = engine.read_graph(
        path,
        self_loops=inputs.self_loops,
        undirected=inputs.undirected,
        rows=inputs.matrix_rows,
        sink=inputs.sink,
    )
    loops = (
        "; where a node has no self-loop, one of weight 1 was added (--self-loops keep: none)"
        if inputs.self_loops == "add"
        else ""
    )
    notes = [f"the sink is {graph.name(graph.nodes - 1)}{loops}", *engine.structure(graph).notes]
    if path.suffix.lower() in (".npz", ".mtx") and graph.order is not None:
        notes.append(
            f"rows of the matrix were read as {inputs.matrix_rows}, and nodes were put in "
            "topological order; rows of networkx's adjacency matrices are senders "
            "(--matrix-rows senders)"
        )
    return Source(str(path), graph=graph, notes=tuple(notes))


def _whole(option: str, given: str) -> np.ndarray:
    """Whole numbers of an option or of the file it names."""
    try:
        numbers = read_numbers(given, int)
        if numbers.dtype.kind not in "iub":
            raise ValueError("not whole numbers")
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise UserError(
            f"{option} {given}: {error}.",
            hint="Give numbers separated by commas, or a .npy, JSON or text file of them.",
        ) from error
    return numbers


def _position(sink: str) -> int:
    try:
        return int(sink)
    except ValueError:
        raise UserError(
            f"--sink {sink}: in attention the sink is a token's number, from 0 or, from the end, "
            "-1."
        ) from None


def _labels(
    path: Path | None, own: tuple[str, ...] | None, read: AttentionFile
) -> tuple[str, ...] | None:
    """The texts of a file's tokens: one per line, or a JSON list; the file's own without one."""
    if path is None:
        return own
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            import orjson

            labels = [str(each) for each in orjson.loads(text)]
        else:
            labels = text.splitlines()
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"--labels {path}: {error}.") from error
    least = read.attention.shape[-1] + (0 if read.first is None else int(read.first.max()))
    if len(labels) < least:
        raise UserError(
            f"--labels {path} has {counted(len(labels), 'line')} for {least} tokens.",
            hint="Give the text of each token of the file, one per line, or a JSON list.",
        )
    return tuple(labels)


def _checkpoint(path: Path, inputs: Inputs) -> Source:
    import synergy_trainer as trainer

    by_itself = {name: each for name, each in ATTENTION_OPTIONS.items() if name != "heads"}
    _refuse_options(path, inputs, "a checkpoint", GRAPH_OPTIONS | by_itself)
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
    names = [each.name for each in sources]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"--together: {twice[0]} is named twice, and would count twice.")
    shapes = {
        each.name: "a graph" if each.attention is None else str(each.attention.shape[1:])
        for each in sources
    }
    padded = [each.name for each in sources if each.lengths is not None or each.first is not None]
    if padded or "a graph" in shapes.values() or len(set(shapes.values())) > 1:
        shapes |= dict.fromkeys(padded, "inputs cut to their own lengths")
        listed = "; ".join(f"{name}: {shape}" for name, shape in shapes.items())
        raise UserError(
            f"--together needs attention of one shape (layers, heads, n, n); here: {listed}.",
            hint="Graphs may be heads of one system: write them into one file, with `head` on "
            "every edge."
            if "a graph" in shapes.values()
            else None,
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
        try:
            return np.atleast_2d([number(each) for each in given.split(",")])
        except ValueError:
            raise ValueError("neither numbers nor a file that exists") from None
    if path.stat().st_size > LARGEST_NUMBERS:
        raise ValueError(f"larger than {LARGEST_NUMBERS // 2**20} MiB")
    if path.suffix.lower() == ".npy":
        from synergy_engine.graphio.tensors import load, open_tensors

        return np.atleast_2d(load(path, open_tensors(path).tensors["array"]))
    if path.suffix.lower() == ".json":
        import orjson

        return np.atleast_2d(orjson.loads(path.read_bytes()))
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = (line.replace(",", " ").split() for line in lines)
    return np.atleast_2d([[number(each) for each in row] for row in rows if row])
