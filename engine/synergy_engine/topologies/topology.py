"""Heads drawn from named graph families, with as much diversity between them as is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np

from synergy_engine.arrays import Bools
from synergy_engine.errors import EngineError, choose, whole_number
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.sparse import SparseHead, offsets
from synergy_engine.system import MultiHeadSystem
from synergy_engine.topologies import draw as draw
from synergy_engine.topologies.catalogue import family

PATTERNS = ("previous", "first", "uniform", "local")
"""The learned patterns in the order in which heads take them."""

DENSE_NODES = 512
DENSE_BYTES = 1 << 28
"""``layout="auto"`` is dense for small graphs, and for fuller ones up to this many bytes."""


def topology(
    name: str,
    nodes: int,
    *,
    heads: int = 1,
    seed: int = 0,
    diversity: float | None = None,
    redraw: str = "all",
    weights: str | Sequence[float] = "uniform",
    layout: str = "auto",
    **parameters: object,
) -> MultiHeadSystem:
    """Draw a system of heads from one of the `FAMILIES`.

    All families have all self-loops, which [FF] assumes; in random ones nodes may have no way to
    the sink, which `engine.structure` names. O(H · edges) time, about 16 bytes per edge while
    drawing. `EngineError` lists every parameter that is wrong; graphs that would not fit in memory
    are refused before they are drawn. Source of most families: [FF].

    Parameters
    ----------
    nodes
        How many nodes there are; the last one is the sink.
    seed
        The same seed and NumPy give the same graphs, on every machine.
    diversity
        Share of its rows that a head redraws, 0 (all heads alike) to 1 (drawn independently). A
        redrawn row is one of a fresh graph of the same family, or, for families that have one graph
        only, as many senders drawn uniformly from the earlier nodes. Rows that a smaller diversity
        redraws are redrawn by a larger one too. The family's own when not given.
    redraw
        Which of several heads redraw: ``"all"`` of them, so that none is special, or the
        ``"others"``, so that the first is an intact graph of the family.
    weights
        Head weights, normalised to sum to one, or ``"uniform"``.
    heads, layout
        How many heads, and how they are stored: ``"dense"``, ``"sparse"``, or ``"auto"``: dense
        for few nodes or full graphs.
    **parameters
        The family's own, such as ``window`` or ``degree``.

    >>> system = topology("line", 4)
    >>> system.head_array(0).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    drawn = topology_heads(
        name, nodes, heads=heads, seed=seed, diversity=diversity, redraw=redraw, **parameters
    )
    if _is_dense(drawn, layout):
        return MultiHeadSystem.from_weights(np.stack([head.to_array() for head in drawn]), weights)
    return MultiHeadSystem.from_sparse(drawn, weights)


def topology_heads(
    name: str,
    nodes: int,
    *,
    heads: int = 1,
    seed: int = 0,
    diversity: float | None = None,
    redraw: str = "all",
    **parameters: object,
) -> list[SparseHead]:
    """The heads of :func:`topology` as a list of :class:`~synergy_engine.sparse.SparseHead`."""
    chosen = family(name)
    resolved = chosen.resolve(nodes, parameters)
    nodes, heads = int(nodes), whole_number("heads", heads, 1)
    share = chosen.diversity if diversity is None else diversity
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise EngineError(f"diversity must be a number from 0 to 1, not {share!r}")
    choose("redraw", redraw, ("all", "others"))
    seeds = np.random.SeedSequence(whole_number("seed", seed, 0)).spawn(heads)
    first = _one(name, nodes, np.random.default_rng(seeds[0]), resolved, 0)
    if share == 0 or heads == 1:
        return [first] * heads
    drawn = [first] if redraw == "others" else []
    for head in range(len(drawn), heads):
        # The first head's own seed drew the graph that all start from.
        rng = np.random.default_rng(seeds[head] if head else seeds[0].spawn(1)[0])
        # Drawn before the graph, so that the choice of rows does not depend on the family.
        redrawn = rng.random(nodes) < share
        fresh = _one(name, nodes, rng, resolved, head)
        if name != "learned" and _same_edges(first, fresh):
            fresh = draw.same_in_degrees(np.diff(first.indptr) - 1, rng).with_self_loops()
        drawn.append(fresh if share == 1 else _choose_rows(first, fresh, redrawn))
    return drawn


def _one(
    name: str, nodes: int, rng: np.random.Generator, resolved: dict[str, object], head: int
) -> SparseHead:
    if name == "learned":
        pattern = resolved["pattern"]
        if pattern == "cycle":
            pattern = PATTERNS[head % len(PATTERNS)]
        return draw.learned(nodes, rng, **{**resolved, "pattern": pattern})  # type: ignore[arg-type]
    drawn: SparseHead = getattr(draw, name)(nodes, rng, **resolved)
    return drawn.with_self_loops()


def _same_edges(one: SparseHead, other: SparseHead) -> bool:
    return np.array_equal(one.indptr, other.indptr) and np.array_equal(one.indices, other.indices)


def _choose_rows(kept: SparseHead, redrawn: SparseHead, where: Bools) -> SparseHead:
    """Rows of ``redrawn`` where the mask is true, else of ``kept``."""
    counts = np.where(where, np.diff(redrawn.indptr), np.diff(kept.indptr))
    indptr = offsets(counts)
    to = np.repeat(where, counts)
    old = np.repeat(~where, np.diff(kept.indptr))
    new = np.repeat(where, np.diff(redrawn.indptr))
    indices = np.empty(indptr[-1], dtype=np.int32)
    indices[to], indices[~to] = redrawn.indices[new], kept.indices[old]
    if kept.weights is None or redrawn.weights is None:
        return SparseHead(indptr, indices)
    weights = np.empty(indptr[-1])
    weights[to], weights[~to] = redrawn.weights[new], kept.weights[old]
    return SparseHead(indptr, indices, weights)


def _is_dense(heads: list[SparseHead], layout: str) -> bool:
    nodes = heads[0].nodes
    size = 8 * nodes * nodes * len(heads)
    if layout == "dense":
        refuse_if_too_large(2 * size, f"{len(heads)} dense heads of {nodes:,} nodes")
    elif layout == "auto":
        full = sum(head.edges for head in heads) * 8 > nodes * nodes * len(heads)
        return nodes <= DENSE_NODES or (full and size <= DENSE_BYTES)
    elif layout != "sparse":
        raise EngineError(f'layout is "auto", "dense" or "sparse", not {layout!r}')
    return layout == "dense"
