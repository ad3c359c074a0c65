"""From an edge table to a system: nodes in topological order, cycles named, everything checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Ints
from synergy_engine.errors import GraphFileError
from synergy_engine.graphio.table import EdgeTable
from synergy_engine.kernels import order as kernels
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.sparse import SparseHead, first_of_each, head_from_edges
from synergy_engine.system import DENSE_LIMIT, MultiHeadSystem
from synergy_engine.validation import LARGEST

_SHOWN = 5


def system_of(
    table: EdgeTable,
    *,
    where: str,
    self_loops: str = "add",
    weights: str | npt.ArrayLike | None = None,
    unreachable: str = "allow",
    sink: str | None = None,
) -> MultiHeadSystem:
    """Build the system of an edge table from ``where``; options as in `read_graph`.

    `GraphFileError` names every edge whose weight is wrong, and a cycle if there is one.
    """
    problems = _weight_problems(table)
    order = np.arange(len(table.names))
    try:
        order = topological_order(table)
    except GraphFileError as error:
        problems += error.problems
    if problems:
        raise GraphFileError([f"{where}: {problem}" for problem in problems])
    if sink is not None:  # it sends nothing, so it may stand behind all others
        last = table.names.index(sink)
        order = np.append(order[order != last], last)
    moved = bool(np.any(order[1:] < order[:-1]))
    if moved:
        table = _reordered(table, order)
    nodes, count = len(table.names), len(table.head_names)
    dense_bytes = 8 * nodes**2 if nodes <= DENSE_LIMIT else 0
    # Offsets of each head while it is built; a file may name a head with every edge.
    refuse_if_too_large(
        count * (40 * nodes + dense_bytes), f"{where}: {count:,} heads of {nodes:,} nodes"
    )
    heads = [_head(table, number, self_loops) for number in range(count)]
    head_weights = table.head_weights if weights is None else weights
    given: str | npt.ArrayLike = "uniform" if head_weights is None else head_weights
    numbered = table.names == [str(node) for node in range(nodes)]
    names = None if numbered else table.names
    if nodes <= DENSE_LIMIT:
        dense = np.stack([head.to_array() for head in heads])
        system = MultiHeadSystem.from_weights(dense, given, names=names)
    else:
        system = MultiHeadSystem.from_sparse(heads, given, names=names)
    if moved:
        system = replace(system, order=order)
    if unreachable == "error":
        system.require_reachable()
    return system


def topological_order(table: EdgeTable) -> Ints:
    """Nodes in topological order, kept where it already holds; `GraphFileError` names a cycle."""
    nodes = len(table.names)
    if np.all(table.senders <= table.receivers):
        return np.arange(nodes)
    indptr, targets, waiting = kernels.by_sender(table.senders, table.receivers, nodes)
    order = kernels.topological(indptr, targets, waiting, np.arange(nodes))
    if len(order) == nodes:
        return order
    around = kernels.cycle(table.senders, table.receivers, waiting)
    names = [table.names[node] for node in around]
    shown = " → ".join(names if len(names) <= 12 else [*names[:9], "…", *names[-2:]])
    caught = nodes - len(order)
    raise GraphFileError(
        f"the graph is cyclic: {shown} ({len(names) - 1:,} edges; {caught:,} nodes lie on cycles "
        "or behind them). Information must flow one way: remove an edge"
    )


def ending_at(table: EdgeTable, sink: str, *, where: str) -> EdgeTable:
    """The graph without what is reached from ``sink``; O(edges)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    if sink not in table.names:
        listed = ", ".join(table.names[:_SHOWN]) + (", …" if len(table.names) > _SHOWN else "")
        raise GraphFileError(
            f"{where}: no node is called {sink} to be the sink; there are {listed}"
        )
    nodes, last = len(table.names), table.names.index(sink)
    ends = (table.senders, table.receivers)
    reached = breadth_first_order(
        coo_array((np.ones(len(table.senders)), ends), shape=(nodes, nodes)).tocsr(),
        last,
        return_predecessors=False,
    )
    kept = np.ones(nodes, dtype=bool)
    kept[reached] = False
    kept[last] = True
    inside = kept[table.senders] & kept[table.receivers]
    number = np.cumsum(kept) - 1
    return replace(
        table,
        names=[name for name, keep in zip(table.names, kept, strict=True) if keep],
        senders=number[table.senders[inside]],
        receivers=number[table.receivers[inside]],
        weights=None if table.weights is None else table.weights[inside],
        heads=None if table.heads is None else table.heads[inside],
    )


def join(tables: list[EdgeTable]) -> EdgeTable:
    """Several graphs over the same nodes as the heads of one, nodes matched by name."""
    number: dict[str, int] = {}
    for table in tables:
        for name in table.names:
            number.setdefault(name, len(number))
    heads: list[Ints] = []
    senders: list[Ints] = []
    receivers: list[Ints] = []
    head_names: list[str] = []
    for table in tables:
        place = np.array([number[name] for name in table.names], dtype=np.int64)
        senders.append(place[table.senders])
        receivers.append(place[table.receivers])
        own = np.zeros(len(table.senders), np.int64) if table.heads is None else table.heads
        heads.append(own + len(head_names))
        head_names += [f"{len(head_names) + k + 1}" for k in range(len(table.head_names))]
    weighted = any(table.weights is not None for table in tables)
    return EdgeTable(
        list(number),
        np.concatenate(senders),
        np.concatenate(receivers),
        np.concatenate(
            [np.ones(len(t.senders)) if t.weights is None else t.weights for t in tables]
        )
        if weighted
        else None,
        np.concatenate(heads) if len(head_names) > 1 else None,
        head_names,
    )


def _weight_problems(table: EdgeTable) -> list[str]:
    if table.weights is None:
        return []
    problems = []
    for what, wrong in (
        ("are not finite", ~np.isfinite(table.weights)),
        ("are negative", table.weights < 0),
        (f"are above {LARGEST:g}", np.isfinite(table.weights) & (table.weights > LARGEST)),
    ):
        edges = np.flatnonzero(wrong)
        if len(edges):
            shown = ", ".join(
                f"{table.weights[edge]:g} ({table.edge_name(edge)})" for edge in edges[:_SHOWN]
            )
            rest = f" and {len(edges) - _SHOWN:,} more" if len(edges) > _SHOWN else ""
            problems.append(f"weights {what}: {shown}{rest}; weights are finite and >= 0")
    return problems


def _reordered(table: EdgeTable, order: Ints) -> EdgeTable:
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return replace(
        table,
        names=[table.names[node] for node in order],
        senders=rank[table.senders],
        receivers=rank[table.receivers],
    )


def _head(table: EdgeTable, number: int, self_loops: str) -> SparseHead:
    """One head; weights of parallel edges add up, edges of weight 0 are dropped."""
    nodes = len(table.names)
    mine = slice(None) if table.heads is None else table.heads == number
    senders, receivers = table.senders[mine], table.receivers[mine]
    if table.weights is not None:
        return head_from_edges(
            senders, receivers, table.weights[mine], nodes, self_loops=self_loops
        )
    keys = np.sort(receivers * nodes + senders)
    weights = None if first_of_each(keys).all() else np.ones(len(senders))
    return SparseHead.from_edges(senders, receivers, nodes, weights, self_loops=self_loops)
