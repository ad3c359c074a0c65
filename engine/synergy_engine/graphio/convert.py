"""To and from networkx and SciPy: for people who have a graph in hand. Nothing here computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_engine.errors import EngineError, choose
from synergy_engine.graphio.assemble import system_of
from synergy_engine.graphio.table import TableBuilder, rows_of, sparse_heads
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem

if TYPE_CHECKING:
    import networkx as nx
    import scipy.sparse

NETWORKX_BYTES = 417
"""What networkx takes per edge (measured)."""


def from_networkx(
    graph: nx.DiGraph,
    *,
    weight: str = "weight",
    head: str = "head",
    self_loops: str = "add",
    weights: str | npt.ArrayLike | None = None,
    unreachable: str = "allow",
) -> MultiHeadSystem:
    """Take a directed networkx graph; an edge ``a → b`` carries information from ``a`` to ``b``.

    Nodes are put in topological order, as they are when already so. ``weight`` and ``head`` name
    edge attributes; weight 1 and one head where they are absent. ``self_loops``, ``weights`` and
    ``unreachable`` are as in `engine.read_graph`. O(edges) time, in Python. `EngineError` when the
    graph is undirected or cyclic (naming a cycle), or weights are negative.

    >>> import networkx as nx
    >>> from_networkx(nx.DiGraph([("u", "v"), ("v", "τ")]))
    MultiHeadSystem(1 head, 3 nodes, dense, uniform weights)
    """
    if not graph.is_directed():
        raise EngineError(
            "the graph is undirected: it does not say where information flows; "
            "make it a networkx.DiGraph"
        )
    builder = TableBuilder()
    for node in graph.nodes:
        builder.node(str(node))
    for sender, receiver, data in graph.edges(data=True):
        attributes = {"head": data.get(head), "head_weight": data.get("head_weight")}
        if weight in data:
            attributes["weight"] = data[weight]
        builder.edge(str(sender), str(receiver), attributes)
    return system_of(
        builder.table(),
        where="the networkx graph",
        self_loops=self_loops,
        weights=weights,
        unreachable=unreachable,
    )


def to_networkx(system: MultiHeadSystem) -> nx.MultiDiGraph:
    """Return a ``MultiDiGraph``; edges carry ``weight``, ``head`` (from 1) and ``head_weight``.

    Nodes are names, or numbers where there are none. O(edges) time and about 417 bytes per edge;
    refused when that does not fit in memory.

    >>> import synergy_engine as engine
    >>> to_networkx(engine.topology("line", 3)).number_of_edges()
    5
    """
    import networkx as nx

    edges = sum(head.edges for head in sparse_heads(system))
    refuse_if_too_large(NETWORKX_BYTES * edges, f"{edges:,} edges in networkx")
    names: Sequence[object] = system.names or range(system.nodes)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(
        (
            names[row.sender],
            names[row.receiver],
            {"weight": row.weight, "head": row.head, "head_weight": row.head_weight},
        )
        for row in rows_of(system)
    )
    return graph


def from_scipy(
    matrices: scipy.sparse.sparray | Sequence[scipy.sparse.sparray],
    *,
    self_loops: str = "keep",
    weights: str | npt.ArrayLike = "uniform",
    names: Sequence[str] | None = None,
) -> MultiHeadSystem:
    """Take SciPy sparse matrices ``A[receiver, sender]``, one per head, as sparse heads.

    Lower triangular; stored zeros are dropped, and weights too when all of them are one.
    ``self_loops`` is ``"keep"`` or ``"add"``; ``weights`` and ``names`` are as in
    `MultiHeadSystem.from_sparse`. O(edges log edges) time. `EngineError` names every kind of entry
    that is wrong: above the diagonal, negative, not finite.

    >>> import scipy.sparse
    >>> from_scipy(scipy.sparse.eye_array(3, k=-1), self_loops="add")
    MultiHeadSystem(1 head, 3 nodes, sparse, uniform weights)
    """
    choose("self_loops", self_loops, ("keep", "add"))
    listed = matrices if isinstance(matrices, (list, tuple)) else [matrices]
    heads = [SparseHead.from_scipy(matrix) for matrix in listed]
    if self_loops == "add":
        heads = [head.with_self_loops() for head in heads]
    return MultiHeadSystem.from_sparse(heads, weights, names=names)


def to_scipy(system: MultiHeadSystem) -> list[scipy.sparse.csr_array]:
    """Return raw weights ``A_h[receiver, sender]``, a float64 ``csr_array`` per head; O(edges).

    >>> import synergy_engine as engine
    >>> to_scipy(engine.topology("line", 3))[0].toarray().astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    from scipy.sparse import csr_array

    if system.sparse is not None:
        return [head.to_scipy() for head in system.sparse]
    return [csr_array(np.tril(system.head_array(head))) for head in range(system.heads)]
