"""Paths over heads: what switching heads adds, and the strongest ways from a node to the sink."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Floats, Ints
from synergy_engine.errors import EngineError
from synergy_engine.kernels import paths as kernels
from synergy_engine.kernels.panels import FLUSH
from synergy_engine.measures.fidelity import HORIZON, TOLERANCE, run_peaks
from synergy_engine.measures.walks import check_node, refuse_large
from synergy_engine.operators.door import heads, mixture
from synergy_engine.system import MultiHeadSystem

MASK_LIMIT = 4096
"""Sets of heads that the novel-path share follows at most."""

MASK_WORK = 20_000_000
"""Multiplications between two chances to hear Ctrl-C."""


@dataclass(frozen=True)
class PathShare:
    """A share of what the sink hears of a source, at the source's best time.

    Attributes
    ----------
    share
        The share, between 0 and 1; ``float(result)`` is the same.
    time
        The step ``t`` at which ``(D^t)[τ, source]`` is largest.
    clarity
        That largest value.
    converged
        Whether that time is certified to be the best; if not, `HORIZON` steps ended the search.
    threshold
        The threshold that was applied to attention first, if any.
    """

    share: float
    time: int
    clarity: float
    converged: bool
    threshold: float = 0.0

    def __float__(self) -> float:
        return self.share


@dataclass(frozen=True)
class Path:
    """One way of information from a source to the sink.

    Attributes
    ----------
    nodes
        From the source to the sink, every step a move (waiting at a node is not listed).
    heads
        The head (from 0) that carries each step: one less than nodes.
    strength
        ``Π β_h D_h[j, i]`` over its steps: its term in ``(D^m)[τ, source]``, m = its steps.
    share
        Its part, with waiting at its nodes included, of ``(D^t)[τ, source]`` at the source's best
        time ``t`` (within `HORIZON` steps). The shares of all paths of a source add up to 1.
    """

    nodes: tuple[int, ...]
    heads: tuple[int, ...]
    strength: float
    share: float


def best_time(system: MultiHeadSystem, source: int) -> tuple[int, float, bool]:
    """When the sink hears the source best, how clearly, and whether that is certified.

    ``max_t (D^t)[τ, source]``; settled once no more than that is left at nodes ``>= source``.
    """
    state = run_peaks(
        mixture(system, "diffusion"), tolerance=TOLERANCE, horizon=HORIZON, every_node=True
    )
    peak = float(state.peak[0, source])
    settled = bool(state.state[0, source:].sum() <= peak * (1 + TOLERANCE))
    return int(state.time[0, source]), peak, settled


def cross_head_share(system: MultiHeadSystem, source: int) -> PathShare:
    """Share of the sink's view of a source that needed more than one head on its way.

    ``1 - Σ_h β_h^t (D_h^t)[τ, j] / (D^t)[τ, j]`` at the best ``t`` of source ``j``: the terms of
    the expansion ``D^t = Σ Π β D_{h_t} … D_{h_1}`` that switch heads ([BP]). It counts switching,
    not novelty: identical heads switch too (see `novel_path_share`). O(t · H · edges).

    >>> import synergy_engine as engine
    >>> split = engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]])
    >>> engine.cross_head_share(split, 0).share
    1.0
    """
    check_node(system, source)
    time, clarity, settled = best_time(system, source)
    if time == 0 or clarity == 0.0:
        return PathShare(0.0, time, clarity, settled)
    stack = heads(system, "diffusion")
    alone = 0.0
    for h in np.flatnonzero(system.weights).tolist():
        state = np.zeros(system.nodes)
        state[-1] = 1.0
        for _, block in stack.trajectory_blocks(state, time, k=h):
            state = block[-1]
        alone += system.weights[h] ** time * state[source]
    return PathShare(float(min(1.0, max(0.0, 1.0 - alone / clarity))), time, clarity, settled)


def novel_path_share(system: MultiHeadSystem, source: int, threshold: float = 0.0) -> PathShare:
    """Share of the sink's view of a source on node paths that lie in no single head.

    Exact: the sink's row is split by the set of heads that contain every edge so far (waiting at
    a node is an edge too), one diffusion step at a time; what ends in the empty set is on paths
    that no head has alone. Softmax attention is positive everywhere, so it is thresholded first:
    entries of each ``D_h`` at or below ``threshold`` are dropped and rows normalised again, and
    all of it, the best time included, is about that thresholded system. O(t · sets · n²) time;
    refused beyond 8192 nodes, and beyond `MASK_LIMIT` sets of heads. Source: the expansion of [BP].

    >>> import synergy_engine as engine
    >>> split = engine.MultiHeadSystem.from_edges([[(0, 1)], [(1, 2)]])
    >>> engine.novel_path_share(split, 0).share
    1.0
    >>> same = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]] * 2)
    >>> engine.novel_path_share(same, 0).share
    0.0
    """
    check_node(system, source)
    thresholded = threshold_heads(system, threshold)
    time, clarity, settled = best_time(thresholded, source)
    if time == 0 or clarity == 0.0:
        return PathShare(0.0, time, clarity, settled, threshold)
    diffusions = _head_diffusions(thresholded)
    bits = np.zeros((system.nodes, system.nodes), dtype=np.uint64)
    kernels.edge_masks(diffusions, system.weights, bits)
    everyone = np.bitwise_or.reduce(bits, axis=None)
    sets, transition, edge_mask = _intersections(bits, int(everyone))
    mass = np.zeros((len(sets), system.nodes))
    mass[sets.index(int(everyone)), -1] = 1.0
    mixed = mixture(thresholded, "diffusion").array()
    following = np.empty_like(mass)
    chunk = max(1, MASK_WORK // (len(sets) * system.nodes**2 // 2))
    for first in range(0, time, chunk):
        steps = min(chunk, time - first)
        kernels.advance_masks(mixed, edge_mask, transition, mass, following, steps, FLUSH)
    total = float(mass[:, source].sum())
    novel = float(mass[sets.index(0), source]) if 0 in sets else 0.0
    return PathShare(novel / total if total > 0 else 0.0, time, clarity, settled, threshold)


def _head_diffusions(system: MultiHeadSystem) -> Floats:
    """``D_h`` of every head, (H, n, n)."""
    stack = heads(system, "diffusion")
    return np.stack([stack.array(h) for h in range(system.heads)])


def threshold_heads(system: MultiHeadSystem, threshold: float) -> MultiHeadSystem:
    """Drop what each ``D_h`` holds at or below ``threshold``; dense systems only."""
    if not 0 <= threshold < 1:
        raise EngineError(f"threshold is {threshold}; it must lie in [0, 1).")
    refuse_large(system)
    if system.heads > 64:
        raise EngineError(f"There are {system.heads} heads; sets of at most 64 are followed.")
    kept = _head_diffusions(system)
    kept[kept <= threshold] = 0.0
    return replace(system, dense=kept, sparse=None)


def _intersections(bits: npt.NDArray[np.uint64], everyone: int) -> tuple[list[int], Ints, Ints]:
    """All intersections of edge masks, how an edge moves one to another, and each edge's mask."""
    distinct, inverse = np.unique(bits, return_inverse=True)
    edges = [int(mask) for mask in distinct]
    found = {everyone}
    frontier = [everyone]
    while frontier:
        mask = frontier.pop()
        for edge in edges:
            both = mask & edge
            if both not in found:
                found.add(both)
                frontier.append(both)
        if len(found) > MASK_LIMIT:
            raise EngineError(
                f"More than {MASK_LIMIT:,} sets of heads to follow. Raise the threshold, or look "
                "at fewer heads (system.subset)."
            )
    sets = sorted(found)
    place = {mask: m for m, mask in enumerate(sets)}
    transition = np.array([[place[mask & edge] for edge in edges] for mask in sets])
    return sets, transition, inverse.reshape(bits.shape).astype(np.int64)


def strongest_paths(system: MultiHeadSystem, source: int, k: int = 5) -> list[Path]:
    """The ``k`` strongest paths from a source to the sink, with the head of each step.

    Strength is ``Π β_h D_h[j, i]`` over the steps; the same nodes carried by other heads are
    another path. Waiting (a self-loop) only weakens a path, so the strongest never wait; what
    waiting adds at the source's best time is in ``share``. Exact: the k best of every node are
    merged in topological order, O(k · H · n²) time and O(H · n²) memory, refused beyond 8192 nodes.
    Ties go to lower nodes, then lower heads. Source: the expansion of [BP].

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> best = engine.strongest_paths(both, 0, k=1)[0]
    >>> best.nodes, best.heads, round(best.strength, 6)
    ((0, 1, 3), (0, 1), 0.041667)
    """
    check_node(system, source)
    if k < 1:
        raise EngineError(f"k is {k}; ask for at least one path.")
    refuse_large(system)
    n, sink = system.nodes, system.sink
    diffusions = _head_diffusions(system)
    with np.errstate(divide="ignore"):
        # Logarithms: products over a hundred steps leave the range of a float.
        logs = np.log(system.weights[:, None, None] * diffusions)
    best = np.full((n, k), -np.inf)
    came = np.full((n, k, 3), -1, dtype=np.int64)  # from node, its rank, head
    best[source, 0] = 0.0
    for j in range(source + 1, n):
        reach = best[source:j, None, :] + logs[:, j, source:j].T[:, :, None]
        flat = reach.ravel()
        order = _largest(flat, k)
        best[j, : len(order)] = flat[order]
        origin, carrier, rank = np.unravel_index(order, reach.shape)
        came[j, : len(order)] = np.stack([origin + source, rank, carrier], axis=1)
    time, clarity, _ = best_time(system, source)
    diagonal = mixture(system, "diffusion").array().diagonal()
    found = []
    for place_at_sink in range(k):
        if best[sink, place_at_sink] == -np.inf:
            break
        nodes: list[int] = [sink]
        carried: list[int] = []
        place = place_at_sink
        while nodes[-1] != source:
            before, place, head = came[nodes[-1], place].tolist()
            nodes.append(before)
            carried.append(head)
        nodes.reverse()
        carried.reverse()
        strength = float(np.exp(best[sink, place_at_sink]))
        waited = strength * _waiting(diagonal[nodes], time)
        found.append(
            Path(tuple(nodes), tuple(carried), strength, waited / clarity if clarity else 0.0)
        )
    return found


def _largest(values: Floats, k: int) -> npt.NDArray[np.intp]:
    """Places of the k largest values, largest first, earlier places first among equals."""
    if len(values) > 4 * k:
        bar = np.partition(values, len(values) - k)[len(values) - k]
        places = np.flatnonzero(values >= bar)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:k]


def _waiting(loops: Floats, time: int) -> float:
    """Ways to spend ``time`` steps on a path of ``len(loops) - 1`` moves, weighted by self-loops.

    The complete homogeneous symmetric polynomial of degree ``time - moves`` in the self-loops.
    """
    moves = len(loops) - 1
    if time < moves:
        return 0.0
    ways = np.zeros(time - moves + 1)
    ways[0] = 1.0
    kernels.waits(loops, ways)
    return float(ways[-1])
