"""What reads files, and the good files that fuzzing starts from."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_numpy
from safetensors.torch import save as save_torch

import synergy_engine as engine
import synergy_trainer as trainer
from synergy_engine.errors import EngineError
from synergy_trainer.errors import TrainerError
from synergy_tui.errors import UserError
from tests.places import DATA, ROOT

OURS = (UserError, EngineError, TrainerError)


@dataclass(frozen=True)
class Reader:
    """One kind of file, and everything that reads it."""

    name: str
    suffix: str
    files: Callable[[], list[bytes]]
    """Good files of this kind."""
    prepare: Callable[[Path], Path]
    """Makes, in an empty folder, what lies beside the file; returns the file's own path."""
    read: Callable[[Path, Random], object]
    """Reads it in one of several ways; returns something short that tells values apart."""
    errors: tuple[type[Exception], ...] = OURS
    """What it may raise."""
    share: float = 1.0
    """Of all inputs: less where reading is slow."""


def _plain(suffix: str) -> Callable[[Path], Path]:
    return lambda folder: folder / f"fuzzed{suffix}"


# Attention.


def _rows(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Causal attention of the given shape, rows summing to one."""
    attention = np.tril(np.random.default_rng(seed).random(shape) + 0.05)
    return (attention / attention.sum(-1, keepdims=True)).astype(dtype)


def _padded() -> np.ndarray:
    """Three inputs of 4, 3 and 2 tokens, padded on the right with zeros."""
    attention = _rows(3, 1, 2, 4, 4)
    for number, length in enumerate((4, 3, 2)):
        attention[number, ..., length:, :] = 0
    return attention


def _layouts() -> list[dict[str, np.ndarray]]:
    sink = _rows(2, 3, 4, 4) * 0.9
    beside = np.concatenate([sink, 1 - sink.sum(-1, keepdims=True)], axis=-1)
    return [
        {"attention": _rows(4, 4)},
        {"attention": _rows(2, 4, 4, dtype=np.float64)},
        {"attention": _rows(2, 3, 4, 4)},
        {"attention": _padded(), "attention_mask": np.tri(3, 4)[::-1, ::-1].copy()},
        {f"blocks.{layer}.attn.hook_pattern": _rows(2, 4, 4) for layer in range(2)},
        {"attention": _rows(1, 2, 2, 4, 4), "head_weights": np.full((2, 2), 0.5),
         "gamma": np.full((1, 2, 4), 0.5), "tokens": np.arange(4)[None]},
        {"attention": beside.astype(np.float32), "labels": np.array(["a", "b", "c", "d"])},
        {"attention": _rows(2, 4, 4, dtype=np.float16)},
    ]  # fmt: skip


def _npy_files() -> list[bytes]:
    found = []
    for arrays in _layouts():
        file = io.BytesIO()
        np.save(file, next(iter(arrays.values())))
        found.append(file.getvalue())
    file = io.BytesIO()
    np.save(file, np.asfortranarray(_rows(2, 4, 4)))
    return [*found, file.getvalue()]


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _npz_files() -> list[bytes]:
    import scipy.sparse

    found = [_npz(arrays) for arrays in _layouts()]
    for kind in ("csr", "csc", "coo"):
        file = io.BytesIO()
        scipy.sparse.save_npz(file, scipy.sparse.random_array((5, 5), density=0.5, format=kind))
        found.append(file.getvalue())
    return found


def _safetensors_files() -> list[bytes]:
    about = {"rows": "attention", "names": '["a", "b", "c", "d"]', "axes": "input,layer,head"}
    plain = [each for each in _layouts() if all(v.dtype.kind in "fi" for v in each.values())]
    narrow = save_torch({"attention": torch.from_numpy(_rows(2, 4, 4)).bfloat16()})
    raw = save_numpy({"attention": _rows(1, 1, 2, 4, 4)}, {"rows": "raw weights"})
    return [*(save_numpy(each, about) for each in plain), narrow, raw, *_kept()]


def _kept() -> list[bytes]:
    folder = DATA / "recordings/sort/attention"
    return [(folder / f"{run}-00000000.safetensors").read_bytes() for run in _RUNS]


_RUNS = ("single-head", "multi-head")
_WAYS: tuple[dict[str, Any], ...] = (
    *({}, {}, {}, {"renormalise": True}, {"learned_sinks": True}, {"span": "1:3"}, {"sink": "-2"}),
    *({"lengths": "4,3,2"}, {"axes": "L,B,H,n,n"}, {"axes": "B,L,H,n,n"}, {"axes": "H,n,n"}),
    *({"tensor": "layer*"}, {"tensor": "blocks.*"}, {"heads": 2}, {"axes": "n,n,B"}, {"span": "x"}),
    *({"sink": "w"}, {"undirected": "order"}, {"matrix_rows": "senders"}, {"self_loops": "keep"}),
)


def _analyse(path: Path, rng: Random) -> object:
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
    return _read_attention(path, rng) if rng.random() < 0.3 else _analyse(path, rng)


# Masks, lengths, labels, tokens and texts: small files beside another.


def _beside(suffix: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        (folder / "attention.npz").write_bytes(_npz({"attention": _padded()}))
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


# What torch.save writes, and checkpoints.


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _state() -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    state = load((DATA / "interrupted/checkpoints/two-00000100.safetensors").read_bytes())
    return {name: values for name, values in state.items() if not name.startswith("adam.")}


def _pt_files() -> list[bytes]:
    layer = torch.from_numpy(_rows(1, 2, 4, 4))
    contents = (
        layer[0],
        (layer, layer),
        {"attentions": (layer, layer)},
        layer.bfloat16(),
        _state(),
    )
    old = io.BytesIO()
    torch.save(layer, old, _use_new_zipfile_serialization=False)
    return [*map(_saved, contents), old.getvalue()]


def _checkpoint_files() -> list[bytes]:
    folder = DATA / "interrupted/checkpoints"
    kept = [(folder / f"{run}-00000100.safetensors").read_bytes() for run in ("one", "two")]
    return [*kept, save_torch(_state())]


def _published(path: Path, rng: Random) -> object:
    if rng.random() < 0.3:
        return _analyse(path, rng)
    model = trainer.load_published(path, rng.choice((None, None, 1, 2, 3)))
    return model.attention([0, 1, 1]).shape, model.heads


def _interrupted(folder: Path) -> Path:
    shutil.copytree(DATA / "interrupted", folder / "experiment")
    return folder / "experiment/checkpoints/two-00000100.safetensors"


def _resume(path: Path, rng: Random) -> object:
    """Resume a training, which stops at once."""
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.scenario.training import training_of

    experiment = Experiment(path.parents[1])
    settings, runs = training_of(experiment.scenario())
    events = trainer.train(
        settings, runs, device="cpu", directory=experiment.path, resume=True,
        should_stop=lambda: True,
    )  # fmt: skip
    kinds = [type(event).__name__ for event in events]
    for written in path.parent.glob("*-00000000.safetensors"):
        written.unlink()
    return kinds[-1], kinds.count("Warned")


def _kept_checkpoint(path: Path, rng: Random) -> object:
    from synergy_trainer.checkpoint import CheckpointFolder

    return len(CheckpointFolder(path.parents[1]).read("two", 100).state)


def _note(folder: Path) -> Path:
    _interrupted(folder)
    return folder / "experiment/checkpoints/two.failed.json"


def _read_note(path: Path, rng: Random) -> object:
    from synergy_trainer.checkpoint import CheckpointFolder

    return CheckpointFolder(path.parents[1]).failure("two") is None


def _queries(path: Path, rng: Random) -> object:
    from synergy_tui.analyze.queries import count_layers, read_queries

    return count_layers(path), [each.shape for _, each in read_queries(path)]


def _query_arrays() -> list[dict[str, np.ndarray]]:
    made = np.random.default_rng(0).random((2, 2, 4, 3), dtype=np.float32)
    pairs = {f"layers.{layer}.{name}": made[layer] for layer in range(2) for name in "qk"}
    return [{"q": made, "k": made}, {"q": made[0], "k": made[0][:1], "scale": np.ones(1)}, pairs]


# Graphs.

_EDGES = (("u", "v", 1.0, 1), ("v", "τ", 0.5, 1), ("u", "τ", 2.0, 2), ("v", "v", 1.0, 2))


def _graph_files(suffix: str) -> Callable[[], list[bytes]]:
    def files() -> list[bytes]:
        import tempfile

        import networkx as nx

        systems = [
            engine.topology("line", 4),
            engine.topology("sliding_window", 5, heads=2, window=2, diversity=1.0, seed=1),
        ]
        found = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"a{suffix}"
            for system in systems[:1] if suffix in (".mtx", ".npz") else systems:
                engine.write_graph(system, path)
                found.append(path.read_bytes())
            graph = nx.DiGraph()
            for source, target, weight, head in _EDGES:
                graph.add_edge(source, target, weight=weight, head=head)
            if suffix == ".graphml":
                nx.write_graphml(graph, path)
            elif suffix == ".gml":
                nx.write_gml(graph, path)
            elif suffix == ".json":
                path.write_text(json.dumps(nx.node_link_data(graph, edges="links")))
            elif suffix in (".csv", ".tsv", ".txt", ".edges"):
                lines = ["\t".join(map(str, edge)) for edge in _EDGES]
                text = "\n".join(["source\ttarget\tweight\thead", *lines])
                path.write_text(text if suffix != ".csv" else text.replace("\t", ";"))
            else:
                path.write_text(
                    "%%MatrixMarket matrix array real general\n% a comment\n3 3\n"
                    "1\n0.5\n0\n0\n1\n2\n0\n0\n1\n"
                )
            found.append(path.read_bytes())
            if suffix == ".mtx":
                found.append(
                    b"%%MatrixMarket matrix coordinate pattern symmetric\n3 3 2\n1 1\n2 1\n"
                )
        return found

    return files


def _graph(path: Path, rng: Random) -> object:
    if rng.random() < 0.5:
        return _analyse(path, rng)
    way = rng.choice(({}, {"undirected": "order"}, {"sink": "v"}, {"unreachable": "error"}))
    system = engine.read_graph(path, **way)
    return system.nodes if system.nodes < 9 else "large", system.heads


# Scenarios, keys, and what experiments consist of.


def _scenario_files() -> list[bytes]:
    written = [path.read_bytes() for path in sorted((ROOT / "scenarios").glob("*.toml"))]
    return [*written, (DATA / "recordings/sort/scenario.toml").read_bytes()]


def _scenario(path: Path, rng: Random) -> object:
    from synergy_tui.scenario import library, load_scenario
    from synergy_tui.sweep.plan import expand

    way = rng.random()
    if way < 0.1:
        return bool(library.read(path).problem)
    sets = ("train.steps=10", "runs.heads=2", "runs.0.heads=x", "a.b=1", "runs.multi-head.heads=4")
    scenario = load_scenario(path, overrides=[rng.choice(sets)] if way < 0.3 else ())
    if scenario.sweep is not None and way < 0.5:
        return len(expand(scenario)) > 3
    scenario.as_toml()
    return len(scenario.runs) or "none"


def _keymap(path: Path, rng: Random) -> object:
    from synergy_tui.app.keymap import load_keymap

    return len(load_keymap(path).keys)


def _finished_layers(path: Path, rng: Random) -> object:
    from synergy_tui.analyze.layerwise import Notebook

    return len(Notebook(path, "key").layers)


def _log_files() -> list[bytes]:
    """Recorded logs, of each kind of event the first few."""
    found = []
    for name in ("sort", "four", "example2", "failed"):
        kept: dict[str, int] = {}
        lines = []
        for line in (DATA / "recordings" / name / "events.jsonl").read_bytes().splitlines(True):
            kind = json.loads(line)["kind"]
            kept[kind] = kept.get(kind, 0) + 1
            if kept[kind] <= (1 if kind in ("probe", "simulated") else 4):
                lines.append(line)
        found.append(b"".join(lines))
    return found


def _recorded(name: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        shutil.copytree(DATA / "recordings/sort", folder / "2026-11-23-sort")
        (folder / "2026-11-23-sort/events.jsonl").write_bytes(_log_files()[0])
        return folder / "2026-11-23-sort" / name

    return prepare


def _log(path: Path, rng: Random) -> object:
    from synergy_tui.experiments.events import EventReader, events_from_end
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.experiments.metrics import experiment_record
    from synergy_tui.experiments.summary import summary
    from synergy_tui.experiments.verdict import scoreboard

    reader = EventReader(path)
    events = list(reader.read_all())
    list(events_from_end(path))
    experiment = Experiment(path.parent)
    state = experiment.fold()
    record = experiment_record(state)
    json.dumps(record)
    if rng.random() < 0.5:
        scoreboard(state)
    return len(events), reader.garbled, summary(experiment)["state"]


def _experiment(path: Path, rng: Random) -> object:
    """Everything about an experiment of which one file is damaged."""
    from synergy_tui.experiments.experiment import Experiment, list_experiments
    from synergy_tui.experiments.summary import summary

    experiment = Experiment(path.parents[path.suffix == ".safetensors"])
    found = summary(experiment)
    json.dumps(found)
    assert len(list_experiments(experiment.path.parent)) == 1
    experiment.worker()
    if rng.random() < 0.5:
        experiment.require_sound()
    else:
        experiment.scenario()
    return found["state"], bool(found["problem"])


def _worker_files() -> list[bytes]:
    own = {"pid": 1, "created": 1.0e9, "host": "here", "uptime": 3.5, "watched": False}
    return [json.dumps(each).encode() for each in (own, {**own, "watched": True, "uptime": None})]


def _snapshot(path: Path, rng: Random) -> object:
    from synergy_tui.experiments.attention import load_snapshot
    from synergy_tui.experiments.experiment import Experiment

    experiment = Experiment(path.parents[1])
    snapshot = load_snapshot(experiment, f"attention/{path.name}", weighted=rng.random() < 0.5)
    if min(snapshot.attention.shape) > 0:
        snapshot.system(snapshot.layers - 1, snapshot.inputs - 1)
    return snapshot.attention.shape, len(snapshot.names), snapshot.designed


# Sweeps.


def _sweep(folder: Path) -> Path:
    from tests.tui.recorded_sweeps import record

    sweep = record(folder / "made", finished=False)
    shutil.move(sweep.path, folder / "2026-11-23-sweep")
    shutil.rmtree(folder / "made")
    return folder / "2026-11-23-sweep"


def _of_sweep(name: str) -> Callable[[], list[bytes]]:
    def files() -> list[bytes]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            return [(_sweep(Path(folder)) / name).read_bytes()]

    return files


def _read_sweep(path: Path, rng: Random) -> object:
    from synergy_tui.sweep.directory import Sweep
    from synergy_tui.sweep.entries import list_entries, summary
    from synergy_tui.sweep.overview import Overview

    sweep = Sweep(path.parent)
    found = summary(sweep)
    json.dumps(found)
    assert len(list_entries(path.parents[1])) == 1
    if rng.random() < 0.5:
        sweep.require_sound()
    if path.suffix == ".toml":
        return found["state"], len(sweep.predictions)
    overview = Overview(sweep)
    overview.update()
    return found["state"], dict(overview.counts), overview.remaining is None


def _report(path: Path, rng: Random) -> object:
    from synergy_tui.report.evidence import gather

    return len(gather([str(path.parents[2])]).rows)


def _points_log(folder: Path) -> Path:
    return _sweep(folder) / "points/sort-s0/events.jsonl"


def _all() -> Iterator[Reader]:
    for suffix, files in ((".npy", _npy_files), (".npz", _npz_files)):
        yield Reader(f"attention{suffix}", suffix, files, _plain(suffix), _tensors)
    yield Reader(
        "attention.safetensors",
        ".safetensors",
        _safetensors_files,
        _plain(".safetensors"),
        _tensors,
    )
    yield Reader("saved.pt", ".pt", _pt_files, _plain(".pt"), _analyse)
    for suffix in (".graphml", ".gml", ".json", ".csv", ".tsv", ".mtx"):
        yield Reader(f"graph{suffix}", suffix, _graph_files(suffix), _plain(suffix), _graph)
    yield Reader("graph.npz", ".npz", _npz_files, _plain(".npz"), _graph)
    for suffix in (".npy", ".json", ".txt"):
        files = _number_files(suffix)
        yield Reader(f"numbers{suffix}", suffix, files, _beside(suffix), _numbers)
    queries = [_npz(each) for each in _query_arrays()], list(map(save_numpy, _query_arrays()))
    for suffix, made in zip((".npz", ".safetensors"), queries, strict=True):
        yield Reader(f"queries{suffix}", suffix, lambda made=made: made, _plain(suffix), _queries)
    yield Reader(
        "checkpoint.safetensors", ".safetensors", _checkpoint_files, _plain(".safetensors"),
        _published,
    )  # fmt: skip
    yield Reader("checkpoint.pt", ".pt", lambda: [_saved(_state())], _plain(".pt"), _published)
    yield Reader(
        "kept checkpoint", ".safetensors", _checkpoint_files, _interrupted, _kept_checkpoint,
        (TrainerError,),
    )  # fmt: skip
    yield Reader("resume", ".safetensors", _checkpoint_files, _interrupted, _resume, share=0.1)
    yield Reader(
        "failure note", ".json", lambda: [b'{"step": 3, "reason": "the loss is nan"}'], _note,
        _read_note, (TrainerError,), share=0.3,
    )  # fmt: skip
    yield Reader("scenario", ".toml", _scenario_files, _plain(".toml"), _scenario, (UserError,))
    yield Reader(
        "keys", ".toml", lambda: [b'"time.pause" = "p"\n"view.log" = "y,ctrl+y"\n'],
        _plain(".toml"), _keymap, (UserError,), share=0.3,
    )  # fmt: skip
    yield Reader(
        "finished layers", ".jsonl",
        lambda: [b'{"key":"key","layer":1,"records":[{}]}\n{"key":"key","layer":2,"records":[]}\n'],
        _plain(".jsonl"), _finished_layers, (UserError,), share=0.3,
    )  # fmt: skip
    yield Reader("events", ".jsonl", _log_files, _recorded("events.jsonl"), _log, (UserError,))
    yield Reader(
        "worker", ".json", _worker_files, _recorded("worker.json"), _experiment, (UserError,)
    )
    yield Reader(
        "experiment's scenario", ".toml", lambda: _scenario_files()[-1:],
        _recorded("scenario.toml"), _experiment, (UserError,), share=0.3,
    )  # fmt: skip
    yield Reader(
        "snapshot", ".safetensors", _kept, _recorded("attention/multi-head-00000000.safetensors"),
        _snapshot,
    )  # fmt: skip
    for name in ("plan.json", "sweep.toml", "sweep.jsonl"):
        yield Reader(
            name, Path(name).suffix, _of_sweep(name), lambda f, name=name: _sweep(f) / name,
            _read_sweep, (UserError,), share=0.3,
        )  # fmt: skip
    yield Reader(
        "report", ".jsonl", _of_sweep("points/sort-s0/events.jsonl"), _points_log, _report,
        (UserError,), share=0.02,
    )  # fmt: skip


READERS = {reader.name: reader for reader in _all()}
