"""Sparse operators laid out for the kernels: the order of rows, scales, and pieces of work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Floats, Ints
from synergy_engine.kernels import sparse as kernels
from synergy_engine.kernels.sparse_rows import AHEAD, STEPS
from synergy_engine.sparse import NO_WEIGHTS, SparseHead, in_row_calls, offsets, row_bounds

PIECE_EDGES = 1 << 17
"""Edges of a piece of work: with ``STEPS`` steps a few milliseconds, so Ctrl-C is heard."""

NEAR_BYTES = 1 << 19
"""Histories up to this size stay in a core's cache; larger ones are fetched ahead of use."""

BLOCKS = 4
"""Blocks of ``STEPS`` steps that follow one another through a graph whose histories are near."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What each node hears, sends, and keeps for itself, (n,) float64 each."""

    heard: Floats
    sent: Floats
    own: Floats
    counts: Ints

    @cached_property
    def hearing_scale(self) -> Floats:
        """``1 / heard``, 0 where nothing is heard."""
        return reciprocal(self.heard)

    @cached_property
    def sending_scale(self) -> Floats:
        """``1 / sent``, 0 where nothing is sent."""
        return reciprocal(self.sent)


def reciprocal(sums: Floats) -> Floats:
    """``1 / sums``, 0 where the sum is 0."""
    return np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)


class Laid:
    """A head with what is derived from it, each computed once when first needed."""

    def __init__(self, head: SparseHead) -> None:
        self.head = head
        self.weights = NO_WEIGHTS if head.weights is None else head.weights

    @cached_property
    def sums(self) -> Sums:
        """Row sums, column sums, diagonal; O(edges)."""
        head, nodes = self.head, self.head.nodes
        counts = np.zeros(nodes, dtype=np.int64)
        sent, own = np.zeros(nodes), np.zeros(nodes)
        in_row_calls(
            head.indptr,
            "summing weights",
            lambda low, high: kernels.count_senders(
                head.indptr, head.indices, self.weights, low, high, counts, sent, own
            ),
        )
        heard = np.diff(head.indptr).astype(np.float64)
        if head.weights is not None:
            in_row_calls(
                head.indptr,
                "summing weights",
                lambda low, high: kernels.sum_rows(head.indptr, self.weights, low, high, heard),
            )
        return Sums(heard, sent, own, counts)

    @cached_property
    def senders(self) -> tuple[Ints, npt.NDArray[np.int32], Floats]:
        """The head by sender: ``indptr``, ``indices``, ``weights``; self-loops left out.

        Farthest receivers first. O(edges) time, another 4 (12 with weights) bytes per edge.
        """
        head = self.head
        indptr = offsets(self.sums.counts)
        cursor = indptr[:-1].copy()
        indices = np.empty(indptr[-1], dtype=np.int32)
        weights = np.empty(indptr[-1] if head.weights is not None else 0)
        in_row_calls(
            head.indptr,
            "ordering edges by sender",
            lambda low, high: kernels.transpose(
                head.indptr, head.indices, self.weights, low, high, cursor, indices, weights
            ),
            backwards=True,
        )
        return indptr, indices, weights


@dataclass(frozen=True, eq=False)
class Layout:
    """One operator in push or pull order; its fields: `synergy_engine.kernels.sparse`."""

    starts: Ints
    ends: Ints
    indices: npt.NDArray[np.int32]
    weights: Floats
    inner: Floats
    outer: Floats
    diagonal: Floats
    descending: bool
    reach: int

    @property
    def rows(self) -> tuple[Ints, Ints, npt.NDArray[np.int32], Floats, Floats, Floats]:
        """What every kernel on rows takes first."""
        return self.starts, self.ends, self.indices, self.weights, self.inner, self.outer

    @property
    def nodes(self) -> int:
        return len(self.starts)

    @cached_property
    def slots(self) -> int:
        """Size of the ring that histories wrap around in: a power of two above every reach."""
        return 1 << self.reach.bit_length()

    @property
    def histories(self) -> int:
        """Histories that are kept: nothing wraps around when the ring is longer than the graph."""
        return min(self.slots, self.nodes)

    def ahead(self, values: int) -> int:
        """How many edges ahead the ``values`` of a node are fetched; 0 where caches hold them.

        Rows are stored by node, so places that go down through the nodes go down through the edges.
        """
        if self.histories * values * 8 <= NEAR_BYTES:
            return 0
        return -AHEAD if self.descending else AHEAD

    @cached_property
    def far(self) -> bool:
        """Whether histories have to be fetched from beyond the cache."""
        return self.ahead(STEPS) != 0

    @cached_property
    def pieces(self) -> Ints:
        """Cuts between pieces of work, as places."""
        lengths = self.ends - self.starts
        if self.descending:
            lengths = lengths[::-1]
        return row_bounds(offsets(lengths), PIECE_EDGES)

    @cached_property
    def together(self) -> int:
        """Blocks of ``STEPS`` steps under way together, so that threads have something to share.

        It depends on the graph only: the number of threads changes no result.
        """
        return 1 if self.far or len(self.pieces) <= 2 else BLOCKS

    @cached_property
    def edges(self) -> int:
        """Edges, self-loops not counted."""
        return int((self.ends - self.starts).sum())

    def new_ring(self) -> Floats:
        """Histories that are all zero, aligned to cache lines."""
        size = self.histories * STEPS
        raw = np.zeros(size + 16)
        shift = -(raw.ctypes.data // 8) % 16
        return raw[shift : shift + size]

    def clear(self, ring: Floats, first: int) -> None:
        """Zero the histories that places from ``first`` on may still look back at."""
        places = np.arange(max(0, first - self.reach), first)
        nodes = self.nodes - 1 - places if self.descending else places
        ring.reshape(self.histories, STEPS)[nodes & (self.slots - 1)] = 0.0


def lay_out(
    laid: Laid, row_scale: Floats | None, column_scale: Floats | None, *, push: bool
) -> Layout:
    """The operator ``diag(row_scale) A diag(column_scale)`` of a head, in push or pull order.

    ``None`` stands for scales of one. A scale of 0 means that the node hears (rows) or sends
    (columns) nothing: it keeps what it has.
    """
    head, sums = laid.head, laid.sums
    ones = np.ones(head.nodes)
    rows = ones if row_scale is None else row_scale
    columns = ones if column_scale is None else column_scale
    diagonal = rows * sums.own * columns
    diagonal[(rows == 0) | (columns == 0)] = 1.0
    if push:
        indptr, indices, weights = laid.senders
        starts, ends = indptr[:-1], indptr[1:]
        inner, outer = rows, columns
    else:
        starts = head.indptr[:-1]
        ends = head.indptr[1:] - head.has_self_loop()
        indices, weights, inner, outer = head.indices, laid.weights, columns, rows
    longest = kernels.reach(starts, ends, indices, 0, head.nodes)
    return Layout(starts, ends, indices, weights, inner, outer, diagonal, push, longest)
