"""Renumbering nodes so that those that talk lie close, without leaving topological order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from synergy_engine.arrays import Ints
from synergy_engine.errors import EngineError
from synergy_engine.kernels import order as kernels
from synergy_engine.sparse import SparseHead, offsets
from synergy_engine.system import MultiHeadSystem


@dataclass(frozen=True, eq=False)
class Reordering:
    """A system whose nodes were renumbered.

    Attributes
    ----------
    system
        The renumbered system, sink last as before.
    order
        (n,) int64: ``order[k]`` is the old number of new node ``k``, so
        ``old[order] = new`` puts what was measured of the renumbered nodes back in place.
    distance_before, distance_after
        Mean distance ``receiver - sender`` over edges, self-loops left out: what caches feel.
    """

    system: MultiHeadSystem
    order: Ints
    distance_before: float
    distance_after: float


def reorder(system: MultiHeadSystem) -> Reordering:
    """Bring nodes closer to those they hear, within topological order.

    Every measure of the system stays the same, node by node; steps over graphs whose numbering
    has no locality become up to a few times faster. Depth-first from the sink: a node is numbered
    right after the last of those it hears, so a receiver follows its senders closely; nodes that
    the sink does not hear of, even indirectly, come first. The mean distance may grow, on graphs
    that are local already or cannot be. Sparse systems only; O(H · edges) time, one head at a time
    is copied.

    Two chains that were numbered alternately are numbered one after the other:

    >>> import synergy_engine as engine
    >>> chains = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6)]], storage="sparse")
    >>> found = engine.reorder(chains)
    >>> found.order.tolist(), round(found.distance_before, 2), found.distance_after
    ([1, 3, 5, 0, 2, 4, 6], 1.83, 1.5)
    """
    if system.sparse is None:
        raise EngineError("only sparse systems are reordered; a dense one reads every entry anyway")
    order = _depth_first(system)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    heads = [_renumbered(head, order, rank) for head in system.sparse]
    names = None if system.names is None else tuple(system.names[node] for node in order)
    listed = order if system.order is None else system.order[order]
    renumbered = replace(system, sparse=tuple(heads), names=names, order=listed)
    before, after = _distance(system.sparse), _distance(heads)
    return Reordering(renumbered, order, before, after)


def _depth_first(system: MultiHeadSystem) -> Ints:
    assert system.sparse is not None
    indptr = np.stack([head.indptr for head in system.sparse])
    starts = np.concatenate([[0], np.cumsum(indptr[:, -1])])
    indices = (
        system.sparse[0].indices
        if system.heads == 1
        else np.concatenate([head.indices for head in system.sparse])
    )
    return kernels.depth_first(indptr + starts[:-1, None], indices)


def _renumbered(head: SparseHead, order: Ints, rank: Ints) -> SparseHead:
    indptr = offsets(np.diff(head.indptr)[order])
    indices = np.empty(head.edges, dtype=np.int32)
    weights = np.empty(0 if head.weights is None else head.edges)
    old = np.empty(0) if head.weights is None else head.weights
    kernels.renumber(head.indptr, head.indices, old, order, rank, indptr, indices, weights)
    return SparseHead(indptr, indices, None if head.weights is None else weights)


def _distance(heads: list[SparseHead] | tuple[SparseHead, ...]) -> float:
    total = edges = 0
    for head in heads:
        total += int(kernels.total_distance(head.indptr, head.indices))
        edges += head.edges - int(head.has_self_loop().sum())
    return total / edges if edges else 0.0
