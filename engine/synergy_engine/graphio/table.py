"""What every graph file is read into: named nodes, and edges that may belong to heads."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from synergy_engine.arrays import Floats, Ints
from synergy_engine.errors import GraphFileError
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem

WEIGHT_NAMES = ("weight", "value")
"""Attributes that may hold an edge's weight; its head and head weight are called just that."""


@dataclass
class EdgeTable:
    """Edges ``senders[k] → receivers[k]`` between nodes numbered as the file lists them."""

    names: list[str]
    senders: Ints
    receivers: Ints
    weights: Floats | None = None  # None when no edge carries one
    heads: Ints | None = None  # which of `head_names` each edge belongs to; None for one head
    head_names: list[str] = field(default_factory=lambda: ["1"])
    head_weights: Floats | None = None

    def edge_name(self, edge: int) -> str:
        """``"a → b"``, with the head where there are several."""
        name = f"{self.names[self.senders[edge]]} → {self.names[self.receivers[edge]]}"
        if self.heads is None:
            return name
        return f"{name} of head {self.head_names[self.heads[edge]]}"


class TableBuilder:
    """Collects nodes and edges as a parser meets them; notes what is wrong and continues.

    Nodes may be met in edges before they are listed. All problems are counted and up to `KEPT` of
    each kind are kept, so that a garbled file does not fill the memory with complaints.
    ``undirected`` is the option of `read_graph`, ``directing`` how the format marks directed edges.
    """

    KEPT = 5

    def __init__(self, undirected: str = "error", directing: str = "") -> None:
        self._undirected, self._directing = undirected, directing
        self.names: dict[str, int] = {}
        self.labels: dict[str, str] = {}
        self._listed: set[str] = set()
        self._ends: list[int] = []
        self._weights: list[float] = []
        self._weighted = False
        self._heads: list[str | None] = []
        self._head_weights: dict[str, float] = {}
        self._problems: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def problem(self, kind: str, what: str) -> None:
        """Note a problem of a ``kind``, shown with ``what``."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= self.KEPT:
            self._problems.setdefault(kind, []).append(what)

    def node(self, name: str, label: str | None = None) -> None:
        """A node of the file's own list."""
        if name in self._listed:
            self.problem("nodes listed twice", name)
        self._listed.add(name)
        self.names.setdefault(name, len(self.names))
        if label is not None:
            self.labels[name] = label

    def edge(
        self,
        sender: str,
        receiver: str,
        attributes: Mapping[str, object] | None = None,
        *,
        directed: bool = True,
    ) -> None:
        """An edge; ``attributes`` may hold weight (1 otherwise), head and head_weight."""
        if not directed:
            sender, receiver = self._direct(sender, receiver)
        given = attributes or {}
        weight = next((given[name] for name in WEIGHT_NAMES if name in given), "")
        head, head_weight = given.get("head"), given.get("head_weight")
        value = 1.0
        if weight != "":
            self._weighted = True
            value = self._number(weight, f"{sender} → {receiver}")
        names = self.names
        self._ends.append(names.setdefault(sender, len(names)))
        self._ends.append(names.setdefault(receiver, len(names)))
        self._weights.append(value)
        label = None if head is None or head == "" else str(head)
        self._heads.append(label)
        if label is not None and head_weight not in (None, ""):
            share = self._number(head_weight, f"head weight of head {label}")
            known = self._head_weights.setdefault(label, share)
            if known != share and not math.isnan(share):
                self.problem("head weights that differ within a head", f"head {label}")

    def _direct(self, one: str, other: str) -> tuple[str, str]:
        """Both ends of an undirected edge, the one listed first as the sender; or a problem."""
        if self._undirected == "error":
            self.problem(
                f"undirected edges, which do not say where information flows ({self._directing}"
                'undirected="order" sends it from the node listed first)',
                f"{one} – {other}",
            )
            return one, other
        for end in (one, other):
            self.names.setdefault(end, len(self.names))
        return (one, other) if self.names[one] <= self.names[other] else (other, one)

    def table(self, *, numeric_order: bool = False) -> EdgeTable:
        """Everything collected; raises `GraphFileError` with every kind of problem.

        ``numeric_order`` puts nodes in the order of their names when all of these are numbers; for
        formats that do not list nodes.
        """
        if not self.names:
            self.problem("no nodes", "the file lists neither nodes nor edges")
        headless = self._heads.count(None)
        if 0 < headless < len(self._heads):
            self.problem("edges without a head, where others have one", f"{headless:,} of them")
        if self._listed:
            for name in self.names.keys() - self._listed:
                self.problem("nodes that edges name but the file does not list", name)
        weighted = self._head_weights
        if weighted and not all(0 <= share < math.inf for share in weighted.values()):
            self.problem("head weights that are not finite and >= 0", str(list(weighted.values())))
        elif weighted and not any(weighted.values()):
            self.problem("head weights that are all zero", f"{len(weighted):,} of them")
        bare = {head for head in self._heads if head is not None} - weighted.keys()
        if weighted and bare:
            self.problem(
                "heads without a head weight, where others have one", ", ".join(sorted(bare)[:5])
            )
        if self._problems:
            raise GraphFileError(list(self._messages()))
        ends = np.array(self._ends, dtype=np.int64).reshape(-1, 2)
        names = list(self.names)
        if numeric_order and all(re.fullmatch(r"\d{1,18}", name) for name in names):
            order = np.argsort(np.array([int(name) for name in names], dtype=np.int64))
            rank = np.empty_like(order)
            rank[order] = np.arange(len(order))
            ends = rank[ends]
            names = [names[k] for k in order]
        table = EdgeTable(
            self._labelled(names),
            ends[:, 0].copy(),
            ends[:, 1].copy(),
            np.array(self._weights) if self._weighted else None,
        )
        if self._heads and not headless:
            known = sorted({head for head in self._heads if head is not None}, key=natural)
            code = {name: k for k, name in enumerate(known)}
            table.heads = np.array([code[str(head)] for head in self._heads], dtype=np.int64)
            table.head_names = known
            if self._head_weights:
                table.head_weights = np.array([self._head_weights[name] for name in known])
        return table

    def _labelled(self, names: list[str]) -> list[str]:
        """Labels for names; with the name behind where nodes share a label."""
        labels = [self.labels.get(name, name) for name in names]
        shared = {label for label, count in Counter(labels).items() if count > 1}
        distinct = [
            f"{label} ({name})" if label in shared else label
            for label, name in zip(labels, names, strict=True)
        ]
        return distinct if len(set(distinct)) == len(names) else names

    def _number(self, value: object, where: str) -> float:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                return float(value)
            except (ValueError, OverflowError):
                pass
        self.problem("not numbers", f"{shorten(value)} ({where})")
        return math.nan

    def _messages(self) -> Iterator[str]:
        for kind, shown in self._problems.items():
            rest = self._counts[kind] - len(shown)
            yield f"{kind}: {'; '.join(shown)}" + (f"; and {rest:,} more" if rest else "")


def natural(text: str) -> tuple[object, ...]:
    """Sorting key by which ``layer10`` follows ``layer9``."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part)


def shorten(value: object, limit: int = 40) -> str:
    """``repr`` of something from a file, cut to a length that fits a message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


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

    A head without edges, one of several, gets a self-loop of weight 0, which is not an edge;
    nothing else would show that the head is there.
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
