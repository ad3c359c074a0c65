"""A head as compressed sparse rows: what each receiver hears, in 4 bytes per edge.

Rows are receivers and columns senders, as in ``A[j, i]`` of a dense head, so a row lists the nodes
that node ``j`` hears, in rising order and ending with ``j`` itself when it has a self-loop. A graph
whose edges all weigh one keeps no weights at all, which is what lets 10^8 edges fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Ints
from synergy_engine.errors import EngineError, InvalidSystemError, TooLargeError
from synergy_engine.kernels import sparse as kernels
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import refuse_if_too_large, report
from synergy_engine.validation import FAINTEST, LARGEST, without_faint

if TYPE_CHECKING:
    import scipy.sparse

CALL_EDGES = 1 << 22
"""Edges that a kernel touching each edge once takes in a call, some tens of milliseconds."""

DENSE_LIMIT_BYTES = 1 << 30
"""A sparse head is written out densely only below this many bytes."""

MAX_NODES = np.iinfo(np.int32).max
"""Nodes are numbered by 32-bit integers: half the memory of a uniform graph."""

NO_WEIGHTS = np.empty(0)
"""Stands for the weights of a uniform graph where a kernel wants an array."""


@dataclass(frozen=True, eq=False)
class SparseHead:
    """One lower-triangular head in CSR form.

    The constructor trusts its arrays, because looking at 10^8 edges costs as much as using them;
    `check` looks at everything.

    Attributes
    ----------
    indptr
        (n + 1,) int64: row ``j`` is ``indices[indptr[j]:indptr[j + 1]]``.
    indices
        (edges,) int32 senders; strictly rising within a row, none above the row's own number.
    weights
        (edges,) float64 from 1e-290 to 1e100; ``None`` stands for 1 per edge.

    >>> head = SparseHead.from_edges([0, 1], [1, 2], nodes=3)
    >>> head.to_array().astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """

    indptr: Ints
    indices: npt.NDArray[np.int32]
    weights: Floats | None = None

    @property
    def nodes(self) -> int:
        """Number of nodes, ``n``."""
        return len(self.indptr) - 1

    @property
    def edges(self) -> int:
        """Number of stored entries, self-loops among them."""
        return len(self.indices)

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, in bytes."""
        weights = 0 if self.weights is None else self.weights.nbytes
        return self.indptr.nbytes + self.indices.nbytes + weights

    def cut(self, nodes: int) -> SparseHead:
        """Return the head over the first ``nodes`` nodes, sharing its arrays."""
        end = int(self.indptr[nodes])
        weights = None if self.weights is None else self.weights[:end]
        return SparseHead(self.indptr[: nodes + 1], self.indices[:end], weights)

    @classmethod
    def from_edges(
        cls,
        senders: npt.ArrayLike,
        receivers: npt.ArrayLike,
        nodes: int,
        weights: npt.ArrayLike | None = None,
        *,
        self_loops: str = "add",
    ) -> SparseHead:
        """Collect edges ``senders[k] → receivers[k]`` of a graph whose nodes are already in order.

        ``senders[k] <= receivers[k]``, both in ``0 .. nodes - 1``; `EngineError` lists every kind
        of wrong edge.

        Parameters
        ----------
        weights
            (edges,) from 1e-290 to 1e100; those of repeated edges add up. Without weights a
            repeated edge counts once.
        self_loops
            ``"add"`` gives every node without a self-loop one of weight 1; or ``"keep"``.
        """
        columns = _as_int64(senders, "senders")
        rows = _as_int64(receivers, "receivers")
        values = None if weights is None else _real(weights).ravel()
        _check_edges(columns, rows, values, nodes)
        if self_loops == "add":
            looped = np.zeros(nodes, dtype=bool)
            looped[rows[rows == columns]] = True
            missing = np.flatnonzero(~looped)
            rows = np.concatenate([rows, missing])
            columns = np.concatenate([columns, missing])
            if values is not None:
                values = np.concatenate([values, np.ones(len(missing))])
        elif self_loops != "keep":
            raise EngineError(f'self_loops is "add" or "keep", not {self_loops!r}')
        keys = rows * nodes + columns
        if values is None:
            keys.sort()
            keys = keys[first_of_each(keys)]
        else:
            # Stable, so that equal edges add up in the order in which they were given.
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            first = first_of_each(keys)
            values = np.add.reduceat(values[order], np.flatnonzero(first)) if len(keys) else values
            keys = keys[first]
        return cls.from_sorted_keys(keys, nodes, values)

    @classmethod
    def from_sorted_keys(cls, keys: Ints, nodes: int, weights: Floats | None = None) -> SparseHead:
        """Take edges as strictly rising numbers ``receiver · nodes + sender``, unchecked."""
        receivers = keys // nodes
        indptr = offsets(np.bincount(receivers, minlength=nodes))
        receivers *= nodes
        return cls(indptr, np.subtract(keys, receivers).astype(np.int32), weights)

    @classmethod
    def from_dense(cls, matrix: npt.ArrayLike) -> SparseHead:
        """Keep the entries above zero of a lower-triangular ``(n, n)`` matrix ``A[j, i]``.

        Weights are dropped when all of them are exactly one.
        """
        dense = np.asarray(matrix, dtype=np.float64)
        if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
            raise EngineError(f"a head is a square matrix; this one has shape {dense.shape}")
        rows, columns = np.nonzero(dense)
        return head_from_edges(columns, rows, dense[rows, columns], len(dense), self_loops="keep")

    @classmethod
    def from_scipy(cls, matrix: scipy.sparse.sparray | scipy.sparse.spmatrix) -> SparseHead:
        """Take a SciPy sparse matrix whose rows are receivers; zeros it stores are dropped."""
        if matrix.shape is None or len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
            raise EngineError(f"a head is a square matrix; this one has shape {matrix.shape}")
        entries = matrix.tocoo()
        return head_from_edges(
            entries.col, entries.row, _real(entries.data), matrix.shape[0], self_loops="keep"
        )

    def to_scipy(self) -> scipy.sparse.csr_array:
        """The head as ``scipy.sparse.csr_array`` of float64, rows receivers."""
        from scipy.sparse import csr_array

        values = np.ones(self.edges) if self.weights is None else self.weights
        return csr_array((values, self.indices, self.indptr), shape=(self.nodes, self.nodes))

    def to_array(self) -> Floats:
        """The head as a dense ``(n, n)`` float64 matrix; refused above 1 GiB."""
        size = 8 * self.nodes**2
        if size > DENSE_LIMIT_BYTES:
            raise TooLargeError(
                f"{self.nodes:,} nodes would take {size / 2**30:,.1f} GiB as a dense matrix; "
                "keep the head sparse"
            )
        dense = np.zeros((self.nodes, self.nodes))
        values = 1.0 if self.weights is None else self.weights
        dense[self.receivers(), self.indices] = values
        return dense

    def receivers(self) -> npt.NDArray[np.int32]:
        """The receiver of every stored edge, ``(edges,)`` int32, in storage order."""
        return np.repeat(np.arange(self.nodes, dtype=np.int32), np.diff(self.indptr))

    def has_self_loop(self) -> Bools:
        """Which nodes hear themselves, ``(n,)`` bool. A self-loop is its row's last entry."""
        looped = np.zeros(self.nodes, dtype=bool)
        filled = np.flatnonzero(np.diff(self.indptr))
        looped[filled] = self.indices[self.indptr[filled + 1] - 1] == filled
        return looped

    def with_self_loops(self) -> SparseHead:
        """The same head, each node without a self-loop given one of weight 1."""
        bare = ~self.has_self_loop()
        if not bare.any():
            return self
        indptr = self.indptr.copy()
        indptr[1:] += np.cumsum(bare)
        # A self-loop is its row's last entry.
        added = indptr[1:][bare] - 1
        old = np.ones(indptr[-1], dtype=bool)
        old[added] = False
        indices = np.empty(len(old), dtype=np.int32)
        indices[added], indices[old] = np.flatnonzero(bare), self.indices
        weights = None
        if self.weights is not None:
            weights = np.ones(len(old))
            weights[old] = self.weights
        return SparseHead(indptr, indices, weights)

    def without_unit_weights(self) -> SparseHead:
        """The same head, without its weights when all of them are exactly one."""
        if self.weights is None or np.any(self.weights != 1.0):
            return self
        return SparseHead(self.indptr, self.indices)

    def check(self) -> SparseHead:
        """Return the head when all that kernels rely on is so, else raise `InvalidSystemError`."""
        problems = list(_shape_problems(self))
        if not problems:
            problems = list(_entry_problems(self))
        if problems:
            raise InvalidSystemError(problems)
        return self


def head_from_edges(
    senders: Ints, receivers: Ints, weights: Floats, nodes: int, *, self_loops: str = "add"
) -> SparseHead:
    """`SparseHead.from_edges`, where edges too faint to count are dropped and weights of 1 too."""
    kept = without_faint(weights) != 0
    head = SparseHead.from_edges(
        senders[kept], receivers[kept], nodes, weights[kept], self_loops=self_loops
    )
    return head.without_unit_weights()


def offsets(counts: Ints) -> Ints:
    """Where rows of that many entries start and end: ``indptr``, (rows + 1,)."""
    indptr = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    return indptr


def refuse_nodes(nodes: int) -> None:
    """Refuse a number of nodes that cannot be, or that would not fit in memory."""
    if not 1 <= nodes <= MAX_NODES:
        raise EngineError(f"a graph has 1 to {MAX_NODES:,} nodes, not {nodes:,}")
    # Offsets, and a few numbers per node while edges are sorted and self-loops added.
    refuse_if_too_large(40 * nodes, f"a graph of {nodes:,} nodes")


def first_of_each(keys: Ints) -> Bools:
    """Mask of the first of each run of equal keys in a sorted array."""
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def _as_int64(values: npt.ArrayLike, what: str) -> Ints:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise EngineError(f"{what} are node numbers (integers), not {array.dtype}")
    return array.astype(np.int64).ravel()


def _real(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise EngineError("weights are real numbers, not complex ones")
    return np.asarray(array, dtype=np.float64)


def _check_edges(columns: Ints, rows: Ints, values: Floats | None, nodes: int) -> None:
    problems = []
    refuse_nodes(nodes)
    if len(columns) != len(rows) or (values is not None and len(values) != len(rows)):
        raise EngineError("senders, receivers and weights must be of one length")
    low, high = np.minimum(columns, rows), np.maximum(columns, rows)
    outside = np.flatnonzero((low < 0) | (high >= nodes))
    if len(outside):
        problems.append(_examples("outside the nodes", outside, columns, rows))
    backward = np.flatnonzero(columns > rows)
    if len(backward):
        problems.append(_examples("against the order of the nodes", backward, columns, rows))
    if values is not None:
        wrong = np.flatnonzero(~((values >= FAINTEST) & (values <= LARGEST)))
        if len(wrong):
            what = f"without a weight from {FAINTEST:g} to {LARGEST:g}"
            problems.append(_examples(what, wrong, columns, rows))
    if problems:
        raise InvalidSystemError(problems)


def _examples(what: str, where: Ints, columns: Ints, rows: Ints) -> str:
    shown = ", ".join(f"{columns[k]} → {rows[k]}" for k in where[:3])
    return f"{len(where):,} edge{'s' * (len(where) > 1)} {what}: {shown}" + (
        ", …" if len(where) > 3 else ""
    )


def _shape_problems(head: SparseHead) -> Iterable[str]:
    if head.indptr.dtype != np.int64 or head.indices.dtype != np.int32:
        yield f"indptr is int64 and indices int32, not {head.indptr.dtype}, {head.indices.dtype}"
    if head.indptr.ndim != 1 or len(head.indptr) < 2 or head.indptr[0] != 0:
        yield "indptr is a vector of n + 1 offsets that starts at 0"
    elif np.any(np.diff(head.indptr) < 0) or head.indptr[-1] != head.edges:
        yield "indptr must rise from 0 to the number of edges"
    if head.weights is not None and (
        head.weights.dtype != np.float64 or head.weights.shape != head.indices.shape
    ):
        yield "weights are float64, one per edge"


def _entry_problems(head: SparseHead) -> Iterable[str]:
    receivers = head.receivers()
    if np.any(head.indices < 0) or np.any(head.indices > receivers):
        yield "every sender must lie between 0 and its receiver"
    same_row = receivers[1:] == receivers[:-1]
    if np.any(same_row & (head.indices[1:] <= head.indices[:-1])):
        yield "senders must rise strictly within a row"
    weights = head.weights
    if weights is not None and not np.all((weights >= FAINTEST) & (weights <= LARGEST)):
        yield f"weights must be positive numbers from {FAINTEST:g} to {LARGEST:g}"


def in_row_calls(
    indptr: Ints, stage: str, call: Callable[[int, int], object], *, backwards: bool = False
) -> None:
    """``call(low, high)`` over all rows, :data:`CALL_EDGES` edges or fewer at a time."""
    nodes = len(indptr) - 1
    bounds = row_bounds(indptr, CALL_EDGES)
    pieces = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
    for low, high in reversed(pieces) if backwards else pieces:
        report(stage, nodes - high if backwards else low, nodes)
        call(low, high)


def row_bounds(indptr: Ints, edges: int) -> Ints:
    """Cut rows into pieces of about ``edges`` edges: rising row numbers from 0 to n."""
    nodes = len(indptr) - 1
    # Empty rows cost something too; a thirty-second of an edge keeps line graphs in few pieces.
    load = indptr + np.arange(nodes + 1, dtype=np.int64) // 32
    cuts = np.searchsorted(load, np.arange(edges, load[-1], edges), side="left")
    return np.unique(np.concatenate([[0], cuts, [nodes]])).astype(np.int64)


def scaled(
    head: SparseHead, row_scale: Floats | None, column_scale: Floats | None, factor: float
) -> SparseHead:
    """A head times ``factor`` and scales, nodes that a scale of 0 silences keeping their own."""
    ones = np.ones(head.nodes)
    rows = ones if row_scale is None else row_scale
    columns = ones if column_scale is None else column_scale
    given = NO_WEIGHTS if head.weights is None else head.weights
    weights = np.empty(head.edges)
    _over_rows(
        head,
        lambda low, high: kernels.scale(
            head.indptr, head.indices, given, rows, columns, factor, low, high, weights
        ),
    )
    scaled = SparseHead(head.indptr, head.indices, weights)
    silent = np.flatnonzero((rows == 0) | (columns == 0))
    if not len(silent):
        return scaled
    keeping = SparseHead.from_edges(
        silent, silent, head.nodes, np.full(len(silent), factor), self_loops="keep"
    )
    return _add(scaled, keeping)


def added(parts: list[SparseHead]) -> SparseHead:
    """Weighted heads added up, in a tree: every edge is moved log₂ H times."""
    while len(parts) > 1:
        paired = [_add(one, other) for one, other in zip(parts[::2], parts[1::2], strict=False)]
        parts = paired + parts[2 * len(paired) :]
    return parts[0]


def _add(one: SparseHead, other: SparseHead) -> SparseHead:
    counts = np.empty(one.nodes, dtype=np.int64)
    _over_rows(
        one,
        lambda low, high: kernels.count_union(
            one.indptr, one.indices, other.indptr, other.indices, low, high, counts
        ),
    )
    indptr = offsets(counts)
    indices = np.empty(indptr[-1], dtype=np.int32)
    weights = np.empty(indptr[-1])
    _over_rows(
        one,
        lambda low, high: kernels.add_rows(
            one.indptr, one.indices, one.weights,
            other.indptr, other.indices, other.weights,
            low, high, indptr, indices, weights,
        ),
    )  # fmt: skip
    return SparseHead(indptr, indices, weights)


def _over_rows(head: SparseHead, task: Callable[[int, int], object]) -> None:
    """Call ``task(low, high)`` on pieces of rows in threads."""
    bounds = row_bounds(head.indptr, 1 << 20)

    def some(low: int, high: int) -> None:
        for piece in range(low, high):
            task(int(bounds[piece]), int(bounds[piece + 1]))

    over_ranges(some, len(bounds) - 1, float(head.edges))
