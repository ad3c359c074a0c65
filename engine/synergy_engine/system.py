"""A multi-head DAG system: heads over the same nodes, head weights, and one sink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from synergy_engine import validation
from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.errors import InvalidSystemError, UnreachableError, choose
from synergy_engine.limits import refuse_if_too_large

if TYPE_CHECKING:
    from synergy_engine.sparse import SparseHead


DENSE_LIMIT = 512
"""Edge lists up to this many nodes become dense heads: every measure is there, and fast."""


@dataclass(frozen=True, eq=False, repr=False)
class MultiHeadSystem:
    """``H`` heads over nodes ``0..n-1`` in topological order; the sink is node ``n-1``.

    Head ``h`` has raw weights ``A_h[j, i] >= 0`` for ``i <= j``: receiver (query) ``j``, sender
    (key) ``i``. Build one with `from_attention`, `from_weights`, `from_edges` or `from_sparse`.

    Attributes
    ----------
    dense
        (H, n, n) float32 or float64, or ``None`` when the heads are sparse.
    sparse
        One `synergy_engine.sparse.SparseHead` for each head, or ``None`` when they are dense.
    weights
        (H,) float64 head weights, summing to one (α for walks, β for diffusions).
    weights_label
        Where the weights come from: ``"uniform"``, ``"given"``, ``"learned"`` or ``"optimal"``.
    names
        Node names, or ``None``.
    order
        (n,) int64: the number of each node in the list it was read from, where reading put nodes
        in topological order (`engine.read_graph`); ``None`` where the two agree.
    learned_sinks
        Whether rows are not all that a node hears: a learned sink before node 0 has the rest. It
        is only heard, and is neither among the nodes nor in any measure.

    Examples
    --------
    Example 2 of Sáez de Ocáriz Borde (2025): together clearer than either head alone.

    >>> import synergy_engine as engine
    >>> system = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]],
    ...     nodes=4, names=["u", "v", "w", "τ"])
    >>> system
    MultiHeadSystem(2 heads, 4 nodes, dense, uniform weights)
    >>> [round(engine.fidelity(system.head(h)).minimax, 6) for h in range(2)]
    [0.375, 0.25]
    >>> round(engine.fidelity(system).minimax, 6)
    0.416667
    """

    dense: Reals | None
    sparse: tuple[SparseHead, ...] | None
    weights: Floats
    weights_label: str
    names: tuple[str, ...] | None = None
    order: Ints | None = None
    learned_sinks: bool = False

    @classmethod
    def from_attention(
        cls,
        attention: npt.ArrayLike,
        weights: str | npt.ArrayLike = "uniform",
        *,
        rows: Literal["check", "normalise", "any", "sinks"] = "check",
        tolerance: float = validation.ROW_SUM_TOLERANCE,
        names: Sequence[str] | None = None,
        weights_label: str | None = None,
    ) -> MultiHeadSystem:
        """Heads from causal attention ``(n, n)`` or ``(H, n, n)``, rows = queries.

        `InvalidSystemError` names everything that is wrong at once.

        Parameters
        ----------
        attention
            Lower triangular, rows summing to one; float32 stays float32 and is accumulated in
            float64. Not copied where its type and layout will do: leave it alone afterwards.
            Weights below 1e-290 count as zero, weights above 1e100 are refused.
        weights
            ``"uniform"`` or H numbers >= 0, which are normalised to sum to one.
        rows
            What to do about row sums: ``"check"`` (refuse when one is off by more than
            ``tolerance``), ``"normalise"``, ``"any"``, or ``"sinks"``: they are at most one, and
            `learned_sinks` have the rest.
        names
            One name for each node.
        weights_label
            Overrides the label of the weights, for instance ``"learned"``.
        """
        choose("rows", rows, validation.ROWS)
        heads = validation.dense_heads(attention, rows=rows, tolerance=tolerance)
        if heads.ndim == 2:
            heads = heads[None]
        if heads.ndim != 3:
            raise InvalidSystemError(
                f"The attention has shape {heads.shape}; one system takes (n, n) or (H, n, n). "
                "For batches (B, L, H, n, n) use analyze_batch."
            )
        label = weights_label or ("uniform" if isinstance(weights, str) else "given")
        return cls(
            dense=heads,
            sparse=None,
            weights=validation.head_weights(weights, heads.shape[0]),
            weights_label=label,
            names=validation.node_names(names, heads.shape[-1]),
            learned_sinks=rows == "sinks",
        )

    @classmethod
    def from_weights(
        cls,
        weights_by_head: npt.ArrayLike,
        weights: str | npt.ArrayLike = "uniform",
        *,
        names: Sequence[str] | None = None,
    ) -> MultiHeadSystem:
        """Heads from raw weights ``(n, n)`` or ``(H, n, n)`` whose rows may sum to anything."""
        return cls.from_attention(weights_by_head, weights, rows="any", names=names)

    @classmethod
    def from_edges(
        cls,
        heads: Sequence[Sequence[tuple[int, int] | tuple[int, int, float]]],
        *,
        nodes: int | None = None,
        names: Sequence[str] | None = None,
        self_loops: Literal["add", "keep"] = "add",
        weights: str | npt.ArrayLike = "uniform",
        storage: Literal["auto", "dense", "sparse"] = "auto",
        unreachable: Literal["error", "allow"] = "error",
    ) -> MultiHeadSystem:
        """Heads from edge lists: ``(a, b)`` or ``(a, b, weight)`` carries information a → b.

        Parameters
        ----------
        heads
            One list of edges for each head; nodes are numbered in topological order (a < b), the
            last one is the sink. The weight is 1 when not given; parallel edges add up, and
            edges of weight 0 are dropped.
        nodes
            How many nodes there are; one more than the largest number used when not given.
        self_loops
            ``"add"`` gives every node without a self-loop one of weight 1 in every head;
            ``"keep"`` takes the edges as they are.
        storage
            ``"auto"`` is dense up to `DENSE_LIMIT` nodes and CSR beyond.
        unreachable
            ``"error"`` refuses a system in which a node has no way to the sink over all heads
            together (single heads may well miss it); ``"allow"`` keeps it.
        """
        choose("self_loops", self_loops, ("add", "keep"))
        choose("storage", storage, ("auto", "dense", "sparse"))
        choose("unreachable", unreachable, ("error", "allow"))
        from synergy_engine.sparse import head_from_edges, refuse_nodes

        tables = [_edge_table(edges, h) for h, edges in enumerate(heads)]
        if not tables:
            raise InvalidSystemError("There are no heads; give at least one list of edges.")
        largest = max((_largest_node(table) for table in tables), default=0)
        count = nodes if nodes is not None else (len(names) if names else largest + 1)
        refuse_nodes(count)
        problems = [p for h, table in enumerate(tables) for p in _edge_problems(table, h, count)]
        if problems:
            raise InvalidSystemError(problems)
        if storage == "sparse" or (storage == "auto" and count > DENSE_LIMIT):
            sparse = [
                head_from_edges(*_ends(table), table[:, 2], count, self_loops=self_loops)
                for table in tables
            ]
            system = cls.from_sparse(sparse, weights, names=names)
        else:
            refuse_if_too_large(
                8 * len(tables) * count**2, f"{len(tables)} dense heads of {count:,} nodes"
            )
            dense = np.zeros((len(tables), count, count))
            for matrix, table in zip(dense, tables, strict=True):
                senders, receivers = _ends(table)
                np.add.at(matrix, (receivers, senders), table[:, 2])
                if self_loops == "add":
                    bare = np.diagonal(matrix) == 0
                    matrix[bare, bare] = 1.0
            system = cls.from_weights(dense, weights, names=names)
        if unreachable == "error":
            system.require_reachable()
        return system

    @classmethod
    def from_sparse(
        cls,
        heads: Sequence[SparseHead],
        weights: str | npt.ArrayLike = "uniform",
        *,
        names: Sequence[str] | None = None,
    ) -> MultiHeadSystem:
        """Heads from CSR matrices (rows = receivers); see `synergy_engine.sparse.SparseHead`."""
        if not heads:
            raise InvalidSystemError("There are no heads; give at least one.")
        sizes = [head.nodes for head in heads]
        if len(set(sizes)) != 1:
            raise InvalidSystemError(f"Heads have different numbers of nodes: {sizes}.")
        return cls(
            dense=None,
            sparse=tuple(heads),
            weights=validation.head_weights(weights, len(heads)),
            weights_label="uniform" if isinstance(weights, str) else "given",
            names=validation.node_names(names, sizes[0]),
        )

    @property
    def heads(self) -> int:
        """How many heads there are."""
        return self.weights.shape[0]

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        if self.dense is not None:
            return self.dense.shape[-1]
        assert self.sparse is not None
        return self.sparse[0].nodes

    @property
    def sink(self) -> int:
        """The last node."""
        return self.nodes - 1

    def head(self, h: int) -> MultiHeadSystem:
        """Return head ``h`` (from 0) as a system of its own."""
        return self.subset([h])

    def subset(self, heads: Sequence[int]) -> MultiHeadSystem:
        """Return the system of these heads only, their weights renormalised."""
        chosen = list(heads)
        if not chosen:
            raise InvalidSystemError("A system needs at least one head.")
        wrong = [h for h in chosen if not -self.heads <= h < self.heads]
        if wrong:
            raise InvalidSystemError(f"Heads {wrong} do not exist; there are {self.heads}.")
        weights = self.weights[chosen]
        # Ablating down to heads of weight zero leaves nothing to renormalise.
        weights = weights if weights.sum() > 0 else np.ones(len(chosen))
        return replace(
            self,
            dense=None if self.dense is None else np.ascontiguousarray(self.dense[chosen]),
            sparse=None if self.sparse is None else tuple(self.sparse[h] for h in chosen),
            weights=weights / weights.sum(),
        )

    def cut(self, sink: int) -> MultiHeadSystem:
        """Return the system of the nodes up to ``sink``, which becomes its sink.

        Nodes hear only earlier ones, so nothing is lost of what ``sink`` hears.
        """
        if not 0 <= sink < self.nodes:
            raise InvalidSystemError(f"Node {sink} does not exist; there are {self.nodes} nodes.")
        end = sink + 1
        return replace(
            self,
            dense=None if self.dense is None else np.ascontiguousarray(self.dense[:, :end, :end]),
            sparse=None if self.sparse is None else tuple(head.cut(end) for head in self.sparse),
            names=self.names[:end] if self.names else None,
            order=None if self.order is None else self.order[:end],
        )

    def with_weights(
        self, weights: str | npt.ArrayLike, *, label: str | None = None
    ) -> MultiHeadSystem:
        """Return the same heads with other head weights."""
        return replace(
            self,
            weights=validation.head_weights(weights, self.heads),
            weights_label=label or ("uniform" if isinstance(weights, str) else "given"),
        )

    def head_array(self, h: int) -> Floats:
        """Raw weights ``A_h`` as a dense (n, n) float64 array."""
        if self.dense is not None:
            return self.dense[h].astype(np.float64)
        assert self.sparse is not None
        return self.sparse[h].to_array()

    def to_dense(self) -> MultiHeadSystem:
        """Return the same system with dense heads, (H, n, n) float64; refused where too large."""
        if self.dense is not None:
            return self
        refuse_if_too_large(
            8 * self.heads * self.nodes**2, f"{self.heads} dense heads of {self.nodes:,} nodes"
        )
        dense = np.stack([self.head_array(h) for h in range(self.heads)])
        return replace(self, dense=dense, sparse=None)

    def name(self, node: int) -> str:
        """What to call a node: its name, or its number."""
        return self.names[node] if self.names else str(node)

    def unreachable(self) -> list[int]:
        """Nodes without a way to the sink over all heads together, in order."""
        from synergy_engine.reach import dense_reach, sparse_reach  # for sparse kernels only

        if self.dense is not None:
            reaches = dense_reach(self.dense.max(axis=0))
        else:
            assert self.sparse is not None
            reaches = sparse_reach(self.sparse)
        return np.flatnonzero(~reaches).tolist()

    def require_reachable(self) -> None:
        """Raise `UnreachableError` naming every node without a way to the sink."""
        lost = self.unreachable()
        if lost:
            shown = ", ".join(self.name(node) for node in lost[:10])
            more = f" and {len(lost) - 10:,} more" if len(lost) > 10 else ""
            raise UnreachableError(
                f"{len(lost)} of {self.nodes} nodes cannot reach the sink {self.name(self.sink)} "
                f"over any head: {shown}{more}. Add an edge from each towards the sink."
            )

    def __repr__(self) -> str:
        heads = "1 head" if self.heads == 1 else f"{self.heads} heads"
        kind = "dense" if self.dense is not None else "sparse"
        return f"MultiHeadSystem({heads}, {self.nodes} nodes, {kind}, {self.weights_label} weights)"


def _edge_table(edges: Sequence[Sequence[float]], h: int) -> Floats:
    """Edges as (m, 3) float64: from, to, weight."""
    table = np.ones((len(edges), 3))
    for row, edge in enumerate(edges):
        if len(edge) not in (2, 3) or not all(isinstance(value, Real) for value in edge):
            raise InvalidSystemError(
                f"Head {h + 1}, edge {row}: {tuple(edge)!r} is not (from, to[, weight]) in numbers."
            )
        table[row, : len(edge)] = edge
    return table


def _ends(table: Floats) -> tuple[Ints, Ints]:
    """Senders and receivers of a table of edges."""
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)


def _largest_node(table: Floats) -> int:
    """The largest node number there is; those that are not numbers are reported later."""
    ends = table[:, :2]
    return int(max(ends[np.isfinite(ends)], default=0))


def _edge_problems(table: Floats, h: int, nodes: int) -> list[str]:
    """Everything that is wrong with the edges of one head."""
    problems = []
    for start, end, weight in table.tolist():
        edge = f"Head {h + 1}, edge {start:g} → {end:g}"
        if not (0 <= start < nodes and 0 <= end < nodes) or start % 1 or end % 1:
            problems.append(f"{edge}: nodes are whole numbers from 0 to {nodes - 1}.")
        elif start > end:
            problems.append(f"{edge} runs backwards: number nodes in topological order.")
        if not 0 <= weight <= validation.LARGEST:
            problems.append(
                f"{edge}: the weight is {weight}; it must be a number from 0 to "
                f"{validation.LARGEST:g}."
            )
    return problems
