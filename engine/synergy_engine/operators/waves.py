"""Many steps in one pass over the edges of a sparse operator.

A step at a time, propagation waits for memory: every step reads every edge. The graph is
triangular, though, so all values that a node takes over time depend only on those of the nodes
before it, and a block of ``STEPS`` steps can be taken node by node. Several blocks follow one
another through the pieces of the graph like the rows of a loom, each a piece behind the one
before, which also gives threads independent work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from synergy_engine.arrays import Floats, Ints
from synergy_engine.kernels import sensitivity, sparse as kernels
from synergy_engine.kernels.fidelity import certificate
from synergy_engine.kernels.sparse_rows import STEPS
from synergy_engine.kernels.states import Peaks, Survival
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import report
from synergy_engine.operators.layout import Layout


class Block(NamedTuple):
    """At most ``STEPS`` steps of the places of one piece, and what their kernels work in."""

    number: int
    piece: int
    low: int
    high: int
    clock: int
    steps: int
    ring: Floats
    sums: Floats
    resume: Ints


def hitting(layout: Layout) -> Floats:
    """Expected steps to place 0, (n,) by node; one pass over the edges."""
    h = np.empty(layout.nodes)
    pairs = np.empty((layout.nodes, 2))
    for low, high in zip(layout.pieces[:-1].tolist(), layout.pieces[1:].tolist(), strict=True):
        report("hitting times", low, layout.nodes)
        kernels.hitting(*layout.rows, layout.descending, layout.ahead(2), low, high, h, pairs)
    return h


def visits(layout: Layout, leave: Floats) -> Floats:
    """Expected visits of walks from even starts, (n,); ``layout`` is in pull order."""
    y, sent = np.empty(layout.nodes), np.empty(layout.nodes)
    for low, high in zip(layout.pieces[:-1].tolist(), layout.pieces[1:].tolist(), strict=True):
        report("visits", low, layout.nodes)
        sensitivity.sparse_visits(*layout.rows, layout.ahead(1), leave, low, high, y, sent)
    return y


def slopes(layout: Layout, values: Floats, shares: Floats) -> float:
    """``Σ_i shares_i Σ_{j>i} M[j, i] (values_j - values_i)``; ``layout`` is in pull order."""
    pairs = np.stack([values, shares * layout.inner], axis=1)
    cuts = layout.pieces
    parts = np.zeros(len(cuts) - 1)

    def some(low: int, high: int) -> None:
        for piece in range(low, high):
            parts[piece] = sensitivity.sparse_slopes(
                layout.starts, layout.ends, layout.indices, layout.weights, layout.outer,
                layout.ahead(2), pairs, cuts[piece], cuts[piece + 1],
            )  # fmt: skip

    report("slopes by head", 0)
    over_ranges(some, len(parts), 2.0 * layout.edges)
    return float(parts.sum())


class Waves:
    """Takes blocks of ``STEPS`` steps over the pieces of a layout, several blocks at a time.

    Block ``q`` of a piece needs block ``q`` of the pieces before it and block ``q - 1`` of the
    piece itself. Those on a diagonal, one piece apart, are independent.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rings = [layout.new_ring() for _ in range(layout.together)]
        longest = int(np.diff(layout.pieces).max()) if layout.far else 0
        self._sums = np.empty((longest, STEPS))
        self._resume = np.empty(longest, dtype=np.int64)

    def blocks(self, steps: int) -> list[int]:
        """Lengths of the blocks that make up a wave of at most ``steps`` steps."""
        most = min(steps, STEPS * len(self.rings))
        return [min(STEPS, most - done) for done in range(0, most, STEPS)]

    def bounds(self, first: int, end: int) -> list[int]:
        """Cuts between the pieces of places ``first .. end - 1``, both ends among them."""
        cuts = self.layout.pieces
        return [first, *cuts[(cuts > first) & (cuts < end)].tolist(), end]

    def run(
        self,
        bounds: list[int],
        lengths: list[int],
        task: Callable[[Block], object],
        stage: str,
        clock: int,
    ) -> None:
        """``task(block)`` for blocks of these lengths over every piece.

        Histories of places before the first one are zero. Where histories are far from the
        processor, one block runs at a time, and threads share what a piece gathers from the pieces
        before it; ``sums`` and ``resume`` hold that, and are empty elsewhere. ``stage`` and
        ``clock`` are reported at every piece; when the watcher stops the work, the state is left
        half done.
        """
        pieces, blocks = len(bounds) - 1, len(lengths)
        for ring in self.rings[:blocks]:
            self.layout.clear(ring, bounds[0])
        for diagonal in range(pieces + blocks - 1):
            report(stage, clock)
            due = range(max(0, diagonal - pieces + 1), min(blocks, diagonal + 1))

            def some(low: int, high: int, due: range = due, diagonal: int = diagonal) -> None:
                for number in due[low:high]:
                    piece = diagonal - number
                    first, end = bounds[piece], bounds[piece + 1]
                    count = min(end - first, len(self._sums))
                    sums, resume = self._sums[:count], self._resume[:count]
                    start, ring = clock + STEPS * number, self.rings[number]
                    steps = lengths[number]
                    task(Block(number, piece, first, end, start, steps, ring, sums, resume))

            if self.layout.far:
                self._begin(bounds[diagonal], bounds[diagonal + 1], self._work(bounds))
            over_ranges(some, len(due), len(due) * self._work(bounds))

    def _begin(self, border: int, end: int, work: float) -> None:
        layout = self.layout

        def gather(low: int, high: int) -> None:
            kernels.begin(
                *layout.rows[:4], layout.descending, layout.ahead(STEPS),
                border, border + low, border + high,
                self.rings[0], layout.slots - 1, self._sums, self._resume,
            )  # fmt: skip

        over_ranges(gather, end - border, work)

    def _work(self, bounds: list[int]) -> float:
        """Rough multiplications of one block of one piece."""
        density = self.layout.edges / self.layout.nodes + 1.0
        return STEPS * density * (bounds[-1] - bounds[0]) / (len(bounds) - 1)


def peaks(layout: Layout, state: Peaks, k: int, last: int) -> None:
    """Advance sink row ``k`` until certified or ``last`` steps (`Stack.peaks`).

    Only places between the first and the last that hold anything, and those within reach of them,
    are visited: on a local graph a narrow front travels from the sink to node 0.
    """
    n = layout.nodes
    v, peak, when = state.state[k], state.peak[k], state.time[k]
    waves = Waves(layout)

    def task(block: Block) -> None:
        kernels.peaks(
            *layout.rows, layout.diagonal, layout.descending, layout.ahead(STEPS),
            block.low, block.high, v, block.clock, block.steps,
            block.ring, layout.slots - 1, block.sums, block.resume, peak, when,
        )  # fmt: skip

    first, end = kernels.held(v, layout.descending, 0.0, 0, n)
    since_look = 0
    while state.clock[k] < last and first < end:
        clock = int(state.clock[k])
        blocks = waves.blocks(last - clock)
        end = min(n, end + layout.reach * sum(blocks))
        waves.run(waves.bounds(first, end), blocks, task, "following the sink's row", clock)
        state.clock[k] += sum(blocks)
        since_look += (end - first) * sum(blocks)
        reached = end
        first, end = kernels.held(v, layout.descending, 0.0, first, end)
        # While some node is unheard of, it could still be heard with all the mass there is.
        if state.tolerance >= 0 and reached == n and since_look >= n:
            since_look = 0
            if certificate(v, peak, state.every_node, state.tolerance)[2]:
                break
    lower, upper, settled = certificate(v, peak, state.every_node, state.tolerance)
    state.interval[k] = lower, upper
    state.closed[k] = settled


def survive(layout: Layout, state: Survival, k: int, last: int) -> None:
    """Advance survival curve ``k`` until settled or ``last`` steps (`Stack`).

    Places that have no chance to have arrived yet survive with certainty and are not visited,
    nor are those that have arrived.
    """
    n = layout.nodes
    v = state.survival[k]
    waves = Waves(layout)

    def task(block: Block) -> None:
        kernels.survive(
            *layout.rows, layout.diagonal, layout.descending, layout.ahead(STEPS),
            block.low, block.high, v, block.steps,
            block.ring, layout.slots - 1, block.sums, block.resume,
            totals[block.piece, block.number], worst[block.piece, block.number],
        )  # fmt: skip

    first, _ = kernels.held(v, layout.descending, 0.0, 0, n)
    _, end = kernels.held(v, layout.descending, 1.0, 0, n)
    means, worsts = np.array([v.mean()]), np.array([v.max()])
    while True:
        pending = _note(state, k, means, worsts)
        clock = int(state.clock[k])
        if clock >= last or not (pending or clock < state.cap):
            return
        if clock < state.cap:
            state.capped[k] += means[-1]
        blocks = waves.blocks(last - clock)
        # Places before `first` have arrived; the target itself is among them.
        end = min(n, max(end, first + 1) + layout.reach * sum(blocks))
        bounds = waves.bounds(first, end)
        totals = np.zeros((len(bounds) - 1, len(blocks), STEPS))
        worst = np.zeros_like(totals)
        waves.run(bounds, blocks, task, "following the walk", clock)
        steps = sum(blocks)
        state.clock[k] += steps
        certain = n - end
        means = (totals.sum(axis=0).ravel()[:steps] + certain) / n
        worsts = worst.max(axis=0).ravel()[:steps]
        if certain:
            worsts[:] = 1.0
        first, _ = kernels.held(v, layout.descending, 0.0, first, end)


def _note(state: Survival, k: int, means: Floats, worsts: Floats) -> bool:
    """Note the levels crossed at the times that end at the clock; is one still to be crossed?

    Adds the means before the last time to the capped mean; the last one is added on leaving it.
    """
    start = int(state.clock[k]) - len(means) + 1
    for offset, mean in enumerate(means[:-1].tolist()):
        if start + offset < state.cap:
            state.capped[k] += mean
    for c, level in enumerate(state.levels.tolist()):
        if state.crossing[k, c] < 0:
            below = np.flatnonzero((means if state.of_mean[c] else worsts) < level)
            if len(below):
                state.crossing[k, c] = start + int(below[0])
    return bool((state.crossing[k] < 0).any())
