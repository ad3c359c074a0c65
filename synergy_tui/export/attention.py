"""Attention of a run at a step, written as tensors and as graphs for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.files import write_output, write_output_with
from synergy_tui.words import xml_text

if TYPE_CHECKING:
    import networkx as nx


TENSORS = (".safetensors", ".npz", ".npy")
GRAPHS = (".graphml", ".gml", ".json")


def write_attention(path: Path, kept: Snapshot) -> None:
    """Write attention, head weights and tokens to ``path``, as its suffix says."""
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        write_output(path, kept.packed(**_origin(kept)))
    elif suffix == ".npz":
        write_output_with(path, lambda target: np.savez_compressed(target, **kept.arrays))
    elif suffix == ".npy":
        write_output_with(path, lambda target: np.save(target, kept.attention))
    else:
        raise UserError(f"{path}: attention is written as {', '.join(TENSORS)}.")


def _origin(kept: Snapshot) -> dict[str, str]:
    return {
        "experiment": kept.experiment,
        "run": kept.run,
        "step": str(kept.step),
        "axes": "input, layer, head, query, key",
    }


def head_graph(kept: Snapshot, *, layer: int, example: int, threshold: float) -> nx.MultiDiGraph:
    """Return the heads of one layer (from 1) and input (from 0), edges in information's direction.

    Nodes have their token or name; there is an edge for each head that carries it, with ``head``
    (from 1), ``weight`` (of attention) and ``head_weight``. Edges of a weight up to ``threshold``
    are left out. The engine's own writers know neither tokens nor where a graph is from.
    """
    import networkx as nx

    inputs, layers, heads, nodes, _ = kept.attention.shape
    if not 1 <= layer <= layers:
        raise UserError(f"--layer {layer}: {kept.run} has layers 1 to {layers}.")
    if not 0 <= example < inputs:
        raise UserError(f"--input {example}: inputs 0 to {inputs - 1} were kept.")
    graph = nx.MultiDiGraph(
        **kept.about,
        **_origin(kept),
        layer=layer,
        input=example,
        heads=heads,
        threshold=threshold,
        sink=nodes - 1,
    )
    for node in range(nodes):
        known: dict[str, int | str] = {}
        if kept.tokens is not None:
            known["token"] = int(kept.tokens[example, node])
        if kept.names:
            known["name"] = kept.names[node]
        graph.add_node(node, **known)
    for head, matrix in enumerate(kept.attention[example, layer - 1]):
        share = float(kept.head_weights[layer - 1, head])
        hearers, heard = np.nonzero(matrix > threshold)
        for query, key in zip(hearers.tolist(), heard.tolist(), strict=True):
            weight = float(matrix[query, key])
            graph.add_edge(key, query, head=head + 1, weight=weight, head_weight=share)
    return graph


def _for_xml(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """Return a copy whose names and origin XML can hold."""
    copied = graph.copy()
    for about in (copied.graph, *(known for _, known in copied.nodes(data=True))):
        about.update({key: xml_text(text) for key, text in about.items() if isinstance(text, str)})
    return copied


def write_graph(path: Path, graph: nx.MultiDiGraph) -> None:
    """Write a graph to ``path`` as its suffix says."""
    import networkx as nx

    suffix = path.suffix.lower()
    if suffix == ".graphml":
        write_output_with(path, lambda target: nx.write_graphml(_for_xml(graph), target))
    elif suffix == ".gml":
        write_output_with(path, lambda target: nx.write_gml(graph, target))
    elif suffix == ".json":
        write_output(path, json.dumps(nx.node_link_data(graph, edges="edges")) + "\n")
    else:
        raise UserError(f"{path}: graphs are written as {', '.join(GRAPHS)}.")
