"""Node-link JSON, as networkx and D3 write it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from synergy_engine.errors import GraphFileError
from synergy_engine.graphio.files import read_text
from synergy_engine.graphio.table import EdgeRow, EdgeTable, TableBuilder, shorten


def read(path: Path, undirected: str) -> EdgeTable:
    """Read node-link JSON: ``nodes`` with ``id``, and ``edges`` or ``links``."""
    try:
        document = json.loads(read_text(path))
    except RecursionError:
        raise GraphFileError(f"{path}: lists nest too deeply for a graph") from None
    except ValueError as error:
        raise GraphFileError(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise GraphFileError(f"{path}: contains a {type(document).__name__}, not a graph object")
    edges = document.get("edges", document.get("links"))
    nodes = document.get("nodes")
    if not isinstance(nodes, list) or not isinstance(edges, list):
        raise GraphFileError(f'{path}: needs lists "nodes" and "edges" (or "links")')
    builder = TableBuilder(undirected, 'set "directed": true; ')
    for node in nodes:
        if isinstance(node, dict) and _is_name(node.get("id")):
            builder.node(str(node["id"]))
        else:
            builder.problem("nodes without an id that is a word or a number", shorten(node))
    directed = document.get("directed", True) is not False
    for edge in edges:
        if not (
            isinstance(edge, dict) and _is_name(edge.get("source")) and _is_name(edge.get("target"))
        ):
            builder.problem("edges without source and target", shorten(edge))
            continue
        builder.edge(str(edge["source"]), str(edge["target"]), edge, directed=directed)
    return builder.table()


def _is_name(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def lines(names: list[str], rows: Iterator[EdgeRow]) -> Iterator[str]:
    """Write node-link JSON, one edge per line."""
    yield '{"directed": true, "multigraph": true, "graph": {}, "nodes": [\n'
    for number, name in enumerate(names):
        yield f'{", " * bool(number)}{{"id": {json.dumps(name)}}}\n'
    yield '], "edges": [\n'
    for number, row in enumerate(rows):
        edge = {
            "source": names[row.sender],
            "target": names[row.receiver],
            "key": number,
            "weight": row.weight,
            "head": row.head,
            "head_weight": row.head_weight,
        }
        yield f"{', ' * bool(number)}{json.dumps(edge)}\n"
    yield "]}\n"
