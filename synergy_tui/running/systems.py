"""Designed and loaded runs: from the tables of a scenario to what the engine measures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.files import require_file
from synergy_tui.scenario import DesignedRun, FamilyRun, LoadedRun, Scenario

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem


class Loaded(NamedTuple):
    """Attention that came from a file."""

    snapshot: Snapshot
    label: str  # of the head weights: learned, uniform or given
    parameters: int | None = None
    notes: tuple[str, ...] = ()  # what was guessed about the file


def build_system(run: DesignedRun | FamilyRun, scenario: Scenario) -> MultiHeadSystem:
    """Return the system of a designed run; an `EngineError` lists what is wrong with its graphs."""
    import synergy_engine as engine

    if isinstance(run, FamilyRun):
        graph = run.graph
        system = engine.topology(
            graph.topology,
            graph.nodes,
            heads=run.heads,
            seed=scenario.seed if graph.seed is None else graph.seed,
            diversity=graph.diversity,
            redraw=graph.redraw,
            **graph.parameters,
        )
    else:
        system = _designed(run, scenario)
    if run.unreachable == "refuse":
        system.require_reachable()
    if isinstance(run.weights, list):
        return system.with_weights(run.weights)
    if run.weights == "optimal":
        best = engine.optimal_weights(system, objective="fidelity")
        return system.with_weights(best.weights, label="optimal")
    return system


def _designed(run: DesignedRun, scenario: Scenario) -> MultiHeadSystem:
    import synergy_engine as engine

    names = run.nodes if isinstance(run.nodes, list) else None
    count = len(names) if names else run.nodes if isinstance(run.nodes, int) else None
    number = {name: index for index, name in enumerate(names or [])}
    from_edges = partial(
        engine.MultiHeadSystem.from_edges,
        nodes=count,
        names=names,
        self_loops=run.self_loops,
        unreachable="allow",
    )
    if all(head.edges is not None for head in run.heads):
        return from_edges([_numbered(head.edges or [], number) for head in run.heads])
    heads: list[MultiHeadSystem] = []
    for index, head in enumerate(run.heads):
        if head.edges is not None:
            one = from_edges([_numbered(head.edges, number)])
        elif head.file is not None:
            require_file(head.file)
            one = engine.read_graph(head.file, self_loops=run.self_loops)
        else:
            seed = scenario.seed + index if head.seed is None else head.seed
            assert head.topology is not None
            assert count is not None
            one = engine.topology(head.topology, count, seed=seed, **head.parameters)
        heads += [one.head(h) for h in range(one.heads)]
    sizes = sorted({head.nodes for head in heads})
    if len(sizes) > 1:
        raise engine.EngineError(
            f"Heads of run '{run.name}' have different numbers of nodes: "
            f"{', '.join(map(str, sizes))}. All heads share their nodes and their sink."
        )
    if all(head.sparse is not None for head in heads):
        return engine.MultiHeadSystem.from_sparse(
            [head.sparse[0] for head in heads if head.sparse], names=names or heads[0].names
        )
    stacked = np.stack([head.head_array(0) for head in heads])
    return engine.MultiHeadSystem.from_weights(stacked, names=names or heads[0].names)


def _numbered(edges: list[list[Any]], number: dict[str, int]) -> list[tuple[int, int, float]]:
    def node(end: Any) -> int:
        return number[end] if isinstance(end, str) else int(end)

    return [
        (node(edge[0]), node(edge[1]), float(edge[2]) if len(edge) > 2 else 1.0) for edge in edges
    ]


def load_run(run: LoadedRun, scenario: Scenario) -> Loaded:
    """Return the attention of a loaded run.

    A `UserError`, `EngineError` or `TrainerError` says that the file is missing, contains something
    else, or that its numbers are not attention (NaN, …).
    """
    return _from_checkpoint(run, scenario) if run.checkpoint else _from_tensor(run)


def _from_tensor(run: LoadedRun) -> Loaded:
    from synergy_engine.graphio.attention import Reading, read_tensors
    from synergy_engine.graphio.tensors import open_tensors

    assert run.attention is not None
    require_file(run.attention)
    file = open_tensors(Path(run.attention))
    # What scenarios document of four axes, where the file says nothing.
    metadata = {"axes": "input,layer,head", **file.metadata}
    read = read_tensors(Path(run.attention), replace(file, metadata=metadata), Reading())
    attention, stored = read.attention, read.head_weights
    if run.heads is not None and attention.shape[2] != run.heads:
        raise UserError(
            f"{run.attention}: contains {attention.shape[2]} heads per layer, "
            f"but run '{run.name}' says {run.heads}."
        )
    weights, label = _weights(run, attention.shape[1], attention.shape[2], stored)
    if read.lengths is not None:
        raise UserError(
            f"{run.attention}: its inputs have different lengths.",
            hint="Save each length by itself, or measure the file with synergy analyze.",
        )
    names: tuple[str, ...] = ()
    if read.first is None:
        # Texts of tokens repeat: their numbers tell them apart.
        labels = tuple(f"{node} {text}" for node, text in enumerate(read.labels or ()))
        names = read.names or labels
    # What was guessed ends with how to state it otherwise, by options that scenarios do not have.
    guesses = [
        note.partition(" (")[0]
        for note in read.notes
        # The axes of one input are as scenarios document them.
        if note.endswith(")") and not (note.startswith("axes") and len(attention) == 1)
    ]
    otherwise = "if that is wrong, save it as (inputs, layers, heads, n, n), without padding"
    return Loaded(
        Snapshot(run.attention, attention, weights, names=names),
        label,
        notes=tuple(f"{run.attention}: {guess}; {otherwise}" for guess in guesses),
    )


def _from_checkpoint(run: LoadedRun, scenario: Scenario) -> Loaded:
    import torch

    import synergy_trainer as trainer
    from synergy_trainer.data import Source

    assert run.checkpoint is not None
    require_file(run.checkpoint)
    train = scenario.train
    assert train is not None
    model = trainer.load_published(Path(run.checkpoint), run.heads)
    task = trainer.TASKS[train.task](train.length, train.vocabulary)
    seed = scenario.seed if train.probe_stream is None else train.probe_stream
    source = Source(task, seed, train.probe_inputs, torch.device("cpu"), split="held_out")
    tokens = source.batch(1).inputs.numpy()
    attention = model.attention(tokens)
    weights, label = _weights(run, attention.shape[1], attention.shape[2], model.head_weights())
    snapshot = Snapshot(run.checkpoint, attention, weights, np.asarray(tokens))
    return Loaded(snapshot, label, model.shape.parameters())


def _weights(
    run: LoadedRun, layers: int, heads: int, stored: np.ndarray | None
) -> tuple[np.ndarray, str]:
    wanted = run.weights or ("learned" if stored is not None else "uniform")
    if isinstance(wanted, list):
        if len(wanted) != heads:
            raise UserError(f"Run '{run.name}': {len(wanted)} weights for {heads} heads.")
        given = np.asarray(wanted, dtype=np.float64)
        return np.tile(given / given.sum(), (layers, 1)), "given"
    if wanted == "learned":
        if stored is None:
            raise UserError(
                f"{run.attention}: contains no head weights, so run '{run.name}' cannot use "
                "learned ones (allowed here: uniform, or a list)."
            )
        return np.broadcast_to(np.asarray(stored, dtype=np.float64), (layers, heads)), "learned"
    if wanted == "optimal":
        raise UserError(f"Run '{run.name}': optimal weights are for designed graphs.")
    return np.full((layers, heads), 1.0 / heads), "uniform"
