"""Edges of a system on their way out to a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from engine.sparse import SparseHead
from engine.system import MultiHeadSystem


class EdgeRow(NamedTuple):
    """One edge of one head; heads count from 1, nodes from 0."""

    sender: int
    receiver: int
    weight: float
    head: int
    head_weight: float


def sparse_heads(system: MultiHeadSystem) -> list[SparseHead]:
    """All heads as CSR, whatever they are kept as."""
    if system.sparse is not None:
        return list(system.sparse)
    return [SparseHead.from_dense(system.head_array(head)) for head in range(system.heads)]


def rows_of(system: MultiHeadSystem) -> Iterator[EdgeRow]:
    """Every edge of every head, by receiver.

    One of several heads that has no edge says so by a self-loop of weight 0, which is no edge;
    nothing else would say that the head is there.
    """
    for number, head in enumerate(sparse_heads(system)):
        share = float(system.weights[number])
        if not head.edges and system.heads > 1:
            yield EdgeRow(system.sink, system.sink, 0.0, number + 1, share)
        for receiver in range(head.nodes):
            low, high = int(head.indptr[receiver]), int(head.indptr[receiver + 1])
            for edge in range(low, high):
                weight = 1.0 if head.weights is None else float(head.weights[edge])
                yield EdgeRow(int(head.indices[edge]), receiver, weight, number + 1, share)


def names_of(system: MultiHeadSystem) -> list[str]:
    """Node names; numbers where there are none."""
    return list(system.names) if system.names else [str(node) for node in range(system.nodes)]


def listing_of(system: MultiHeadSystem) -> Iterator[EdgeRow]:
    """A self-loop of weight 0 for every node in order, where the edges do not list them so.

    For formats that have no nodes of their own: a node without edges would be lost, the sink
    perhaps among them. Numbers for names would be sorted.
    """
    first = sparse_heads(system)[0]
    numbers = system.names is not None and all(name.isdecimal() for name in system.names)
    if numbers or not np.all(np.diff(first.indptr) > 0):
        share = float(system.weights[0])
        for node in range(system.nodes):
            yield EdgeRow(node, node, 0.0, 1, share)
