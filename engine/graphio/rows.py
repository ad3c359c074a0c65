"""Edges of a system on their way out to a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

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
    """Every edge of every head, by receiver."""
    for number, head in enumerate(sparse_heads(system)):
        share = float(system.weights[number])
        for receiver in range(head.nodes):
            low, high = int(head.indptr[receiver]), int(head.indptr[receiver + 1])
            for edge in range(low, high):
                weight = 1.0 if head.weights is None else float(head.weights[edge])
                yield EdgeRow(int(head.indices[edge]), receiver, weight, number + 1, share)


def names_of(system: MultiHeadSystem) -> list[str]:
    """Node names; numbers where there are none."""
    return list(system.names) if system.names else [str(node) for node in range(system.nodes)]
