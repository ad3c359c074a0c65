"""Drawing one graph of each family, in a few vectorised passes over blocks of rows.

Each function returns a uniform `SparseHead` without self-loops, but for
:func:`learned`, whose weights are attention and whose rows hold themselves where they attend to
themselves. Blocks of about :data:`BLOCK_EDGES` edges keep the working set in cache and the peak
memory near that of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.errors import EngineError
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.sparse import SparseHead, first_of_each, offsets

BLOCK_EDGES = 1 << 20
BYTES_AN_EDGE = 16
"""What drawing an edge takes at its peak: two copies of its index and its share of a block."""

Rows = Callable[[int, int], tuple[Ints, Ints]]


def line(nodes: int, rng: np.random.Generator) -> SparseHead:
    """``j - 1 → j``."""
    return sliding_window(nodes, rng, window=1)


def sliding_window(nodes: int, rng: np.random.Generator, window: int) -> SparseHead:
    """``i → j`` for ``j - window <= i < j``."""
    return _band(nodes, np.minimum(np.arange(nodes, dtype=np.int64), window))


def fully_connected(nodes: int, rng: np.random.Generator) -> SparseHead:
    """``i → j`` for all ``i < j``."""
    return _band(nodes, np.arange(nodes, dtype=np.int64))


def star(nodes: int, rng: np.random.Generator) -> SparseHead:
    """``i → n - 1`` for all ``i < n - 1``."""
    degrees = np.zeros(nodes, dtype=np.int64)
    degrees[-1] = nodes - 1
    return _band(nodes, degrees)


def erdos_renyi(nodes: int, rng: np.random.Generator, probability: float) -> SparseHead:
    """``i → j`` with the same probability for every ``i < j``.

    Gaps between edges, counted along all pairs in row order, are geometric; having no memory, they
    may start again with every block.
    """
    expected = np.arange(nodes, dtype=np.float64) * probability
    _refuse(nodes, expected.sum())

    def rows(low: int, high: int) -> tuple[Ints, Ints]:
        starts = np.arange(low, high + 1, dtype=np.int64)
        starts = starts * (starts - 1) // 2
        pairs = int(starts[-1] - starts[0])
        places = _geometric_places(pairs, probability, rng) + starts[0]
        receiver = np.searchsorted(starts, places, side="right") - 1
        counts = np.bincount(receiver, minlength=high - low)
        return counts, places - starts[receiver]

    return _stack(nodes, expected, rows)


def fixed_in_degree(nodes: int, rng: np.random.Generator, degree: int) -> SparseHead:
    """Each node hears ``min(degree, j)`` distinct earlier ones, uniformly drawn."""
    return same_in_degrees(np.minimum(np.arange(nodes, dtype=np.int64), degree), rng)


def same_in_degrees(degrees: Ints, rng: np.random.Generator) -> SparseHead:
    """Node ``j`` hears ``degrees[j] <= j`` distinct earlier nodes, uniformly drawn."""
    _refuse(len(degrees), degrees.sum())
    return _stack(
        len(degrees),
        degrees.astype(np.float64),
        lambda low, high: (degrees[low:high], _distinct(low, degrees[low:high], rng)),
    )


def poisson(nodes: int, rng: np.random.Generator, probability: float, degree: int) -> SparseHead:
    """Walk back from ``j - 1``, pass over a node with ``probability``, hear at most ``degree``.

    The steps between heard nodes are geometric, so a row is a cumulative sum of ``degree`` draws.
    """
    _refuse(nodes, float(nodes) * min(degree, nodes))
    expected = np.minimum(np.arange(nodes, dtype=np.float64), degree)
    draws = min(degree, max(nodes - 1, 1))

    def rows(low: int, high: int) -> tuple[Ints, Ints]:
        back = rng.geometric(1.0 - probability, size=(high - low, draws)).cumsum(axis=1)
        senders = np.arange(low, high, dtype=np.int64)[:, None] - back
        heard = senders >= 0
        # Reversed, so that senders rise within a row.
        return heard.sum(axis=1), senders[:, ::-1][heard[:, ::-1]]

    return _stack(nodes, np.maximum(expected, draws), rows)


def expander(nodes: int, rng: np.random.Generator, degree: int) -> SparseHead:
    """A random ``degree``-regular graph, every edge oriented along the order of the nodes.

    Stubs are paired at random (the configuration model); loops and repeated edges are then
    exchanged with random other edges until none is left. Labels of a random pairing are in random
    order already, so that order orients the edges.
    """
    if degree >= nodes or nodes * degree % 2:
        raise EngineError(
            f"no graph of {nodes} nodes has {degree} edges at each: the degree must be below the "
            "number of nodes, and one of the two even"
        )
    _refuse(nodes, nodes * degree / 2, copies=6)
    if degree > (nodes - 1) // 2:
        sparse = _regular_pairs(nodes, nodes - 1 - degree, rng)
        rows, columns = np.tril_indices(nodes, -1)
        kept = ~np.isin(rows * nodes + columns, sparse)
        keys = (rows * nodes + columns)[kept]
    else:
        keys = _regular_pairs(nodes, degree, rng)
    return SparseHead.from_sorted_keys(keys, nodes)


def funsearch(nodes: int, rng: np.random.Generator, matchings: int, recursive: bool) -> SparseHead:
    """``⌈log₂ n⌉`` equal blocks, consecutive ones joined, the last one fully connected.

    ``matchings = 0`` joins every node of a block to every node of the next; otherwise that many
    random perfect matchings do (the larger of two blocks that differ by a node is covered too).
    ``recursive`` builds the inside of the other blocks the same way.
    """
    size = nodes / max(1, (nodes - 1).bit_length())
    joined = float(nodes) * matchings if matchings else nodes * size
    _refuse(nodes, joined * (2 if recursive else 1) + size**2 / 2, copies=3)
    parts = list(_funsearch_edges(0, nodes, rng, matchings, recursive))
    senders = np.concatenate([part[0] for part in parts])
    receivers = np.concatenate([part[1] for part in parts])
    return SparseHead.from_edges(senders, receivers, nodes, self_loops="keep")


def learned(
    nodes: int, rng: np.random.Generator, pattern: str, strength: float, window: int
) -> SparseHead:
    """Attention ``strength · pattern + (1 - strength) · itself``; rows sum to one.

    ``previous`` hears ``j - 1``, ``first`` hears node 0, ``uniform`` hears ``0 .. j`` alike, and
    ``local`` hears the ``window`` nodes before ``j``, half as much with every node further back.
    Node 0 hears itself.
    """
    order = np.arange(nodes, dtype=np.int64)
    weights: Reals
    if pattern == "uniform":
        _refuse(nodes, 2.0 * nodes * nodes)
        head = _band(nodes, order).with_self_loops()
        rows = head.receivers().astype(np.int64)
        weights = strength / (rows + 1.0)
    elif pattern == "first":
        counts = np.minimum(order, 1)
        head = _from_counts(counts, np.zeros(counts.sum(), dtype=np.int64)).with_self_loops()
        rows = head.receivers().astype(np.int64)
        weights = np.where(head.indices < rows, strength, 0.0)
    else:
        reach = 1 if pattern == "previous" else window
        _refuse(nodes, 2.0 * nodes * min(reach, nodes))
        head = _band(nodes, np.minimum(order, reach)).with_self_loops()
        rows = head.receivers().astype(np.int64)
        away = rows - head.indices
        weights = np.where(away > 0, np.ldexp(1.0, -np.minimum(away, 1000)), 0.0)
        total = np.bincount(rows, weights, minlength=nodes)
        weights *= strength / np.where(total > 0, total, 1.0)[rows]
    own = head.indptr[1:] - 1
    weights[own] += 1.0 - strength
    weights[0] = 1.0
    return _without_zeros(head, rows, weights.astype(np.float64))


def _funsearch_edges(
    start: int, nodes: int, rng: np.random.Generator, matchings: int, recursive: bool
) -> Iterator[tuple[Ints, Ints]]:
    blocks = max(1, (nodes - 1).bit_length())
    bounds = start + np.arange(blocks + 1, dtype=np.int64) * nodes // blocks
    for block in range(blocks - 1):
        low, middle, high = bounds[block : block + 3]
        here = np.arange(low, middle, dtype=np.int64)
        following = np.arange(middle, high, dtype=np.int64)
        if not matchings:
            yield np.tile(here, len(following)), np.repeat(following, len(here))
        for _ in range(matchings):
            longest = max(len(here), len(following))
            yield (rng.permutation(np.resize(here, longest)), np.resize(following, longest))
        if recursive and middle - low > 1:
            yield from _funsearch_edges(int(low), int(middle - low), rng, matchings, recursive)
    last = int(bounds[-1] - bounds[-2])
    receivers, senders = np.tril_indices(last, -1)
    yield senders + bounds[-2], receivers + bounds[-2]


def _regular_pairs(nodes: int, degree: int, rng: np.random.Generator) -> Ints:
    """Sorted keys ``high · nodes + low`` of the edges of a random simple regular graph."""
    stubs = rng.permutation(np.repeat(np.arange(nodes, dtype=np.int64), degree))
    one, other = stubs[0::2].copy(), stubs[1::2].copy()
    while True:
        keys = np.maximum(one, other) * nodes + np.minimum(one, other)
        ranked = np.sort(keys)
        twice = ranked[~first_of_each(ranked)]
        # Of equal edges the first in pairing order stays, whatever way this machine sorts.
        among = np.flatnonzero(np.isin(keys, twice)) if len(twice) else twice
        firsts = np.unique(keys[among], return_index=True)[1]
        bad = np.union1d(np.delete(among, firsts), np.flatnonzero(one == other))
        if not len(bad):
            return ranked
        # One good edge for each bad one: exchange an end where that makes two new edges.
        partner = rng.integers(len(keys), size=len(bad))
        usable = np.zeros(len(bad), dtype=bool)
        usable[np.unique(partner, return_index=True)[1]] = True
        usable &= ~np.isin(partner, bad)
        for a, b in ((one[bad], other[partner]), (one[partner], other[bad])):
            new = np.maximum(a, b) * nodes + np.minimum(a, b)
            found = np.minimum(np.searchsorted(ranked, new), len(ranked) - 1)
            usable &= (ranked[found] != new) & (a != b)
        bad, partner = bad[usable], partner[usable]
        other[bad], other[partner] = other[partner], other[bad]


def _geometric_places(pairs: int, probability: float, rng: np.random.Generator) -> Ints:
    """Places of the successes among ``pairs`` trials, rising."""
    if probability <= 0 or pairs == 0:
        return np.empty(0, dtype=np.int64)
    mean = pairs * probability
    parts, last = [], -1
    while last < pairs:
        # Enough to be done at the first go but for one time in millions.
        size = int(mean + 6 * np.sqrt(mean) + 16)
        gaps = np.minimum(rng.geometric(probability, size=size), pairs + 1)
        parts.append(last + gaps.cumsum())
        last = int(parts[-1][-1])
    places = np.concatenate(parts)
    return places[: np.searchsorted(places, pairs)]


def _distinct(low: int, degrees: Ints, rng: np.random.Generator) -> Ints:
    """For rows ``low, low + 1, …``: ``degrees`` distinct senders below each, rising within rows.

    The first ``k`` different values of an endless sequence of uniform draws are a uniform set, so
    draws that repeat are drawn again. Rows that want more than half of what there is draw what to
    leave out.
    """
    rows = np.arange(len(degrees), dtype=np.int64)
    limits = rows + low
    spare = limits - degrees
    leave_out = spare < degrees
    wanted = np.where(leave_out, spare, degrees)
    stride = int(limits[-1]) + 1 if len(limits) else 1
    keys = np.empty(0, dtype=np.int64)
    missing = wanted
    while missing.any():
        owner = np.repeat(rows, missing)
        drawn = (rng.random(len(owner)) * limits[owner]).astype(np.int64)
        keys = np.sort(np.concatenate([keys, owner * stride + drawn]))
        keys = keys[first_of_each(keys)]
        missing = wanted - np.bincount(keys // stride, minlength=len(rows))
    if not leave_out.any():
        return keys % stride
    full = np.flatnonzero(leave_out)
    everyone = np.concatenate([row * stride + np.arange(limits[row]) for row in full])
    outside = leave_out[keys // stride]
    chosen = np.setdiff1d(everyone, keys[outside], assume_unique=True)
    return np.sort(np.concatenate([keys[~outside], chosen])) % stride


def _band(nodes: int, degrees: Ints) -> SparseHead:
    """Node ``j`` hears the ``degrees[j]`` nodes right before it."""
    _refuse(nodes, float(degrees.sum()))

    def rows(low: int, high: int) -> tuple[Ints, Ints]:
        counts = degrees[low:high]
        ends = np.cumsum(counts)
        first = np.arange(low, high, dtype=np.int64) - counts - (ends - counts)
        return counts, np.arange(ends[-1]) + np.repeat(first, counts)

    return _stack(nodes, degrees.astype(np.float64), rows)


def _stack(nodes: int, expected: Floats, rows: Rows) -> SparseHead:
    """Draw blocks of rows and put them under one another.

    ``expected`` is about how many edges each row draws; it only decides where blocks end.
    """
    counts = np.zeros(nodes, dtype=np.int64)
    parts = []
    low = 0
    reach = np.cumsum(expected + 1.0)
    while low < nodes:
        so_far = reach[low - 1] if low else 0.0
        high = int(np.searchsorted(reach, so_far + BLOCK_EDGES, side="right"))
        high = min(max(high, low + 1), nodes)
        counts[low:high], senders = rows(low, high)
        parts.append(senders.astype(np.int32))
        low = high
    return SparseHead(offsets(counts), np.concatenate(parts))


def _from_counts(counts: Ints, senders: npt.NDArray[np.integer]) -> SparseHead:
    return SparseHead(offsets(counts), senders.astype(np.int32))


def _without_zeros(head: SparseHead, rows: Ints, weights: Floats) -> SparseHead:
    kept = weights > 0
    counts = np.bincount(rows[kept], minlength=head.nodes)
    thinned = _from_counts(counts, head.indices[kept])
    return SparseHead(thinned.indptr, thinned.indices, weights[kept])


def _refuse(nodes: int, edges: float, *, copies: int = 1) -> None:
    """Refuse more edges than fit in memory; ``copies`` of them are held while they are drawn."""
    refuse_if_too_large(
        int(edges * BYTES_AN_EDGE * copies + nodes * 40.0), f"a graph of about {edges:,.0f} edges"
    )
