"""Graphs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import networkx as nx

import synergy_engine as engine
from tests.fuzz.readers.arrays import analyse, npz_files
from tests.fuzz.readers.reader import Reader, plain

_EDGES = (("u", "v", 1.0, 1), ("v", "τ", 0.5, 1), ("u", "τ", 2.0, 2), ("v", "v", 1.0, 2))


def _graph_files(suffix: str) -> Callable[[], list[bytes]]:
    def files() -> list[bytes]:
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
        return analyse(path, rng)
    way = rng.choice(({}, {"undirected": "order"}, {"sink": "v"}, {"unreachable": "error"}))
    system = engine.read_graph(path, **way)
    return system.nodes if system.nodes < 9 else "large", system.heads


def readers() -> Iterator[Reader]:
    for suffix in (".graphml", ".gml", ".json", ".csv", ".tsv", ".mtx"):
        yield Reader(f"graph{suffix}", suffix, _graph_files(suffix), plain(suffix), _graph)
    yield Reader("graph.npz", ".npz", npz_files, plain(".npz"), _graph)
