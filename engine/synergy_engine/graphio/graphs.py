"""Graph files in and out, by suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy.typing as npt

from synergy_engine.errors import GraphFileError, choose
from synergy_engine.graphio import edgelist, gml, graphml, matrices, nodelink
from synergy_engine.graphio.assemble import ending_at, join, system_of
from synergy_engine.graphio.files import write_text
from synergy_engine.graphio.table import EdgeTable, listing_of, names_of, rows_of, sparse_heads
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem

_TEXT: dict[str, Callable[[Path, str], EdgeTable]] = {
    ".graphml": graphml.read,
    ".xml": graphml.read,
    ".gml": gml.read,
    ".json": nodelink.read,
    ".csv": edgelist.read,
    ".tsv": edgelist.read,
    ".txt": edgelist.read,
    ".edges": edgelist.read,
}
_MATRICES = (".mtx", ".npz")

GRAPH_SUFFIXES = (*_TEXT, *_MATRICES)
"""Suffixes of the graph files that are read and written."""


def read_graph(
    path: str | Path | Sequence[str | Path],
    *,
    self_loops: str = "add",
    weights: str | npt.ArrayLike | None = None,
    undirected: str = "error",
    unreachable: str = "allow",
    rows: str = "receivers",
    sink: str | None = None,
) -> MultiHeadSystem:
    """Read a system of heads from a graph file, or one head from each of several.

    An edge ``a → b`` carries information from ``a`` to ``b``. Edges may have a ``weight`` (1
    otherwise; those of parallel edges add up), a ``head`` (one head otherwise) and a
    ``head_weight``. Matrices (``.mtx``, ``.npz``) are one head, rows receivers. Nodes are put in
    topological order, as they are when already so (`MultiHeadSystem.order` says what moved); the
    last one is the sink. Heads are dense up to
    512 nodes, sparse beyond. O(edges log edges) time, O(edges) for a matrix that is in order.
    `GraphFileError` names everything that is wrong at once, a cycle by its nodes; what would not
    fit in memory is refused before it is allocated.

    Parameters
    ----------
    path
        GraphML, GML, node-link JSON, edge list (``.csv .tsv .txt .edges``), Matrix Market or SciPy
        ``.npz``. Several files are heads over the same nodes, matched by name.
    self_loops
        ``"add"`` gives nodes without a self-loop one of weight 1, as [FF] assumes; or ``"keep"``.
    weights
        ``"uniform"`` or H numbers; those of the file, else uniform, when not given.
    undirected
        What to do with undirected edges: ``"error"``, or ``"order"``: send information from the
        node listed first.
    unreachable
        ``"error"`` refuses nodes without a way to the sink; ``"allow"`` keeps them
        (`engine.structure` names them).
    rows
        Of matrices: whether rows are ``"receivers"``, as here, or ``"senders"``, as in adjacency
        matrices of networkx.
    sink
        Name of the node to be the sink; what is reached from it is left out, as it cannot matter.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "example1.csv"
    >>> _ = file.write_text("source,target,head\\nu,v,1\\nv,τ,2\\n")
    >>> read_graph(file)
    MultiHeadSystem(2 heads, 3 nodes, dense, uniform weights)
    """
    choose("self_loops", self_loops, ("add", "keep"))
    choose("undirected", undirected, ("error", "order"))
    choose("unreachable", unreachable, ("error", "allow"))
    choose("rows", rows, ("receivers", "senders"))
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(each) for each in path]
    if not paths:
        raise GraphFileError("there are no graph files; give at least one")
    where = ", ".join(map(str, paths))
    if len(paths) == 1:
        found = _read(paths[0], undirected, rows, in_order=sink is None)
        if isinstance(found, SparseHead):
            return _large(found, self_loops, unreachable)
        table = found
    else:
        table = join([_table(_read(each, undirected, rows)) for each in paths])
    return system_of(
        table if sink is None else ending_at(table, sink, where=where),
        where=where,
        self_loops=self_loops,
        weights=weights,
        unreachable=unreachable,
        sink=sink,
    )


def write_graph(system: MultiHeadSystem, path: str | Path) -> None:
    """Write a system in the format of the suffix; `read_graph` reads it back.

    Edges carry ``weight``, ``head`` (from 1) and ``head_weight``; weights keep every digit. Reading
    with ``self_loops="keep"`` gives the same heads, weights, names and order of nodes. Matrices
    hold one head and no names. A self-loop of weight 0 is not an edge: it keeps the place of a node
    or a head that has none. O(edges) time, written in pieces beside the file, which is replaced
    when all of it is there. ``path`` ends in one of ``.graphml .xml .gml .json .csv .tsv .txt
    .edges``, or ``.mtx .npz`` for one head. `GraphFileError` when it does not, when the format
    cannot hold several heads or these names, or when writing failed.

    >>> import tempfile, pathlib, synergy_engine as engine
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "line.csv"
    >>> write_graph(engine.topology("line", 2), file)
    >>> print(file.read_text())
    source,target,weight,head,head_weight
    0,0,1.0,1,1.0
    0,1,1.0,1,1.0
    1,1,1.0,1,1.0
    <BLANKLINE>
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _MATRICES:
        if system.heads > 1:
            raise GraphFileError(
                f"{path}: a matrix file holds one head, not {system.heads}; "
                "write system.head(h), or GraphML"
            )
        write = matrices.write_market if suffix == ".mtx" else matrices.write_scipy
        write(sparse_heads(system)[0], path)
        return
    names, rows = names_of(system), rows_of(system)
    if suffix in (".graphml", ".xml"):
        lines = graphml.lines(names, rows)
    elif suffix == ".gml":
        lines = gml.lines(names, rows)
    elif suffix == ".json":
        lines = nodelink.lines(names, rows)
    elif suffix in _TEXT:
        lines = edgelist.lines(
            names, chain(listing_of(system), rows), "," if suffix == ".csv" else "\t"
        )
    else:
        raise GraphFileError(f"{path}: graphs are written as {', '.join(GRAPH_SUFFIXES)}")
    write_text(path, lines)


def _read(
    path: Path, undirected: str, rows: str, *, in_order: bool = True
) -> EdgeTable | SparseHead:
    suffix = path.suffix.lower()
    if suffix in _TEXT:
        try:
            return _TEXT[suffix](path, undirected)
        except GraphFileError as error:
            raise GraphFileError(
                [p if p.startswith(str(path)) else f"{path}: {p}" for p in error.problems]
            ) from None
    if suffix == ".mtx":
        return matrices.table_of(matrices.read_market(path), rows)
    if suffix == ".npz":
        found = matrices.read_scipy(path, in_order=in_order and rows == "receivers")
        return found if isinstance(found, SparseHead) else matrices.table_of(found, rows)
    raise GraphFileError(f"{path}: graphs are read from {', '.join(GRAPH_SUFFIXES)}")


def _table(found: EdgeTable | SparseHead) -> EdgeTable:
    return found if isinstance(found, EdgeTable) else matrices.table_of(found.to_scipy().tocoo())


def _large(head: SparseHead, self_loops: str, unreachable: str) -> MultiHeadSystem:
    """A head that was read in order already; nothing is left to sort."""
    if self_loops == "add":
        head = head.with_self_loops()
    system = MultiHeadSystem.from_sparse([head])
    if unreachable == "error":
        system.require_reachable()
    return system
