"""Walks and diffusions as stacks of triangular operators: one door, dense and sparse behind it.

Both are kept with rows = receivers. The walk of one head is ``W[j, i] = P[i, j] = A[j, i] / Σ_k
A[k, i]``, its diffusion ``D[j, i] = A[j, i] / Σ_k A[j, k]``; so ``v W`` moves survival
probabilities of the walk (``P`` applied to a column) and ``v D`` moves the sink's row of the
diffusion: one kernel serves both. A node that sends (hears) nothing keeps what it has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Ints, Reals
from synergy_engine.errors import choose
from synergy_engine.kernels import compare, dense as kernels, far, fidelity
from synergy_engine.kernels.panels import STEPS, room_for
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.operators.stack import COMBINATIONS, Kind, Peaks, Stack, Survival
from synergy_engine.reach import dense_reach

WORK_A_CALL = 160_000_000
"""Multiplications one kernel call may do on one range of operators, so that Ctrl-C is heard: a few
milliseconds, 30 on a single thread, and more on old processors."""


FAR_LIMIT = 320
"""Nodes up to which long walks are looked up in matrix powers: fourteen squarings in 50 ms."""

WALKED_FIRST = 16
"""Steps a node that are walked before: all the powers there may be cost about as much (measured
for 30 to 300 nodes)."""


class DenseStack(Stack):
    """Operators ``row_scale · matrices · column_scale`` over dense arrays (K, n, n)."""

    def __init__(self, matrices: Reals, row_scale: Floats, column_scale: Floats) -> None:
        if matrices.strides[-1] != matrices.itemsize:  # kernels read eight neighbours at a time
            matrices = np.ascontiguousarray(matrices)
        self.matrices, self.row_scale, self.column_scale = matrices, row_scale, column_scale
        self.count, self.nodes = matrices.shape[0], matrices.shape[-1]

    @property
    def _work(self) -> float:
        """Multiplications of one step of all operators."""
        return self.count * self.nodes * self.nodes / 2

    def _operators(self) -> tuple[Reals, Floats, Floats]:
        return self.matrices, self.row_scale, self.column_scale

    def hitting(self) -> Floats:
        """See `Stack.hitting`."""
        out = np.empty((self.count, self.nodes))
        over_ranges(
            lambda low, high: kernels.hitting(*self._operators(), low, high, out),
            self.count,
            2 * self._work,
        )
        return out

    def hitting_backward(self) -> Floats:
        """See `Stack.hitting_backward`."""
        out = np.empty((self.count, self.nodes))
        over_ranges(
            lambda low, high: kernels.hitting_backward(*self._operators(), low, high, out),
            self.count,
            2 * self._work,
        )
        return out

    def reaching(self) -> Bools:
        """See `Stack.reaching`; O(n²) each."""
        return dense_reach(self.matrices)

    def leaving(self) -> Floats:
        """See `Stack.leaving`."""
        out = np.empty((self.count, self.nodes))
        over_ranges(
            lambda low, high: kernels.leaving(*self._operators(), low, high, out),
            self.count,
            self._work,
        )
        return out

    def trajectory(self, start: npt.ArrayLike, steps: int, *, pulled: bool, k: int = 0) -> Floats:
        """See `Stack.trajectory`."""
        refuse_if_too_large(
            8 * (steps + 1) * self.nodes, f"{steps:,} steps of {self.nodes:,} nodes"
        )
        out = np.empty((steps + 1, self.nodes))
        out[0] = start
        chunk, room = self._chunk(1), room_for(self.nodes)
        for first in range(0, steps, chunk):
            kernels.trajectory(
                self.matrices[k],
                self.row_scale[k],
                self.column_scale[k],
                pulled,
                room,
                out[first : first + chunk + 1],
            )
        return out

    def _chunk(self, operators: int) -> int:
        """Steps one call may take for that many operators a range: whole blocks of steps.

        At least two, since each call packs its operators, which costs about as much as a block.
        """
        blocks = WORK_A_CALL // max(1, operators * self.nodes * self.nodes // 2 * STEPS)
        return max(2, blocks) * STEPS

    def _rooms(self) -> Callable[[], Floats]:
        """Each thread's own room to pack an operator in, kept from call to call: new is slow."""
        own = threading.local()

        def room() -> Floats:
            if not hasattr(own, "room"):
                own.room = room_for(self.nodes)
            found: Floats = own.room
            return found

        return room

    def survive(self, state: Survival, last: int) -> None:
        """See `Stack.survive`."""
        room = self._rooms()
        squares = self.nodes <= FAR_LIMIT
        near = min(last, max(state.cap, WALKED_FIRST * self.nodes)) if squares else last
        target = 0
        while True:
            target = min(near, target + self._chunk(-(-self.count // 8)))

            def walk(low: int, high: int, until: int = target) -> None:
                kernels.survive(
                    *self._operators(),
                    state.pulled,
                    state.survival,
                    state.clock,
                    until,
                    state.levels,
                    state.of_mean,
                    state.crossing,
                    state.cap,
                    state.capped,
                    room(),
                    low,
                    high,
                )

            over_ranges(walk, self.count, self._work * min(target, 50))
            if target >= near or not state.active.any():
                break
        if near < last and state.active.any():

            def jump(low: int, high: int) -> None:
                far.survive_far(
                    *self._operators(),
                    state.pulled,
                    state.survival,
                    state.clock,
                    last,
                    state.levels,
                    state.of_mean,
                    state.crossing,
                    low,
                    high,
                )

            over_ranges(jump, self.count, self._work * self.nodes, pieces=self.count)

    def survival_at(self, times: Ints) -> Floats:
        """See `Stack.survival_at`."""
        if self.nodes > FAR_LIMIT:
            return super().survival_at(times)
        state = Survival.start(self.count, self.nodes, levels=[], of_mean=[])
        out = np.empty((self.count, len(times), self.nodes))
        over_ranges(
            lambda low, high: far.survival_at(
                *self._operators(), state.survival, times, low, high, out
            ),
            self.count,
            self._work * self.nodes,
        )
        return out

    def peaks(self, state: Peaks, last: int) -> None:
        """See `Stack.peaks`."""
        room = self._rooms()
        target = 0
        while True:
            target = min(last, target + self._chunk(-(-self.count // 8)))

            def task(low: int, high: int, until: int = target) -> None:
                fidelity.peaks(
                    *self._operators(),
                    state.state,
                    state.clock,
                    until,
                    state.tolerance,
                    state.every_node,
                    state.peak,
                    state.time,
                    state.interval,
                    state.closed,
                    room(),
                    low,
                    high,
                )

            over_ranges(task, self.count, self._work * min(target, 50))
            if target >= last or state.closed.all():
                break

    def corner(self) -> Floats:
        """See `Stack.corner`."""
        rows, columns = self.row_scale[:, -1], self.column_scale[:, -1]
        return self.matrices[:, -1, -1] * rows * columns + ((rows == 0) | (columns == 0))

    def array(self, k: int = 0) -> Floats:
        """See `Stack.array`."""
        scaled = self.matrices[k] * self.row_scale[k][:, None] * self.column_scale[k]
        keeps = (self.row_scale[k] == 0) | (self.column_scale[k] == 0)
        scaled[np.diag_indices(self.nodes)] += keeps
        return scaled


def raw_hitting(heads: Reals) -> Floats:
    """Hitting times (K, n) of the walks of raw heads (K, n, n), without normalising them first."""
    return _each_node(kernels.hitting_of_raw, heads, passes=1.0)


def row_scales(heads: Reals) -> Floats:
    """Reciprocal row sums (K, n) of raw weights (K, n, n), in float64: they make a diffusion."""
    return _each_node(kernels.row_scales, heads, passes=0.5)


def column_scales(heads: Reals) -> Floats:
    """Reciprocal column sums (K, n) of raw weights (K, n, n), in float64: they make a walk."""
    return _each_node(kernels.column_scales, heads, passes=0.5)


def _each_node(kernel: Callable[..., None], heads: Reals, *, passes: float) -> Floats:
    """What ``kernel(heads, low, high, out)`` writes to ``out`` (K, n), in ``passes`` over heads."""
    count, n = heads.shape[0], heads.shape[-1]
    out = np.empty((count, n))
    over_ranges(lambda low, high: kernel(heads, low, high, out), count, passes * (count * n * n))
    return out


def mix(heads: Reals, weights: Floats, row_scale: Floats, column_scale: Floats) -> Floats:
    """Weighted sums (S, n, n) over heads (S, H, n, n), scaled by rows and columns (S, H, n)."""
    systems, count, n = heads.shape[:3]
    out = np.zeros((systems, n, n))
    over_ranges(
        lambda low, high: kernels.mix(heads, weights, row_scale, column_scale, low, high, out),
        systems,
        systems * count * n * n / 2,
    )
    return out


def dense_heads(heads: Reals, kind: Kind) -> DenseStack:
    """The walk or diffusion of each raw head (K, n, n), without copying the heads."""
    one = np.ones(heads.shape[:2])
    if kind == "walk":
        return DenseStack(heads, one, column_scales(heads))
    return DenseStack(heads, row_scales(heads), one)


def dense_mixtures(heads: Reals, weights: Floats, kind: Kind, combine: str = "walks") -> DenseStack:
    """The mixtures of S systems: raw heads (S, H, n, n), head weights (S, H).

    ``combine="attention"`` mixes the raw weights first and normalises the columns afterwards; it
    concerns walks only. Heads that are equal bit for bit are merged first, so that a system of
    identical heads is that head exactly, not up to rounding.
    """
    choose("combine", combine, COMBINATIONS)
    systems, count, n = heads.shape[:3]
    merged = merge_equal(heads, weights)
    one = np.ones((systems, count, n))
    raw = kind == "walk" and combine == "attention"
    if raw:
        mixed = mix(heads, merged, one, one)
        return dense_heads(mixed, "walk")
    flat_heads = heads.reshape(-1, n, n)
    if kind == "walk":
        mixed = mix(heads, merged, one, column_scales(flat_heads).reshape(one.shape))
    else:
        mixed = mix(heads, merged, row_scales(flat_heads).reshape(one.shape), one)
    flat = np.ones((systems, n))
    return DenseStack(mixed, flat, flat)


def paper_chains(heads: Reals) -> DenseStack:
    """The published walk of each attention matrix (K, n, n); see `kernels.dense.paper_chain`."""
    count, n = heads.shape[0], heads.shape[-1]
    out = np.zeros((count, n, n))
    over_ranges(lambda low, high: kernels.paper_chain(heads, low, high, out), count, count * n * n)
    one = np.ones((count, n))
    return DenseStack(out, one, one)


def merge_equal(heads: Reals, weights: Floats) -> Floats:
    """Head weights (S, H) after moving the weight of repeated heads to their first copy.

    Heads are compared bit for bit, as they are stored. Where one distinct head is left its weight
    is exactly 1, whatever the rounding of the sum.
    """
    systems, count = heads.shape[:2]
    first = np.empty((systems, count), dtype=np.int64)
    over_ranges(
        lambda low, high: compare.first_copies(heads, low, high, first),
        systems,
        float(systems * count * count),
    )
    merged = np.zeros_like(weights)
    np.add.at(merged, (np.arange(systems)[:, None], first), weights)
    alone = np.count_nonzero(merged, axis=1) == 1
    merged[alone] = merged[alone] > 0
    return merged


def diversity(heads: Reals) -> Floats:
    """Mean pairwise Jensen-Shannon, Jaccard, cosine distances (S, 3) of heads (S, H, n, n)."""
    systems, count, n = heads.shape[:3]
    rows = row_scales(heads.reshape(-1, n, n))
    out = np.empty((systems, 3))
    over_ranges(
        lambda low, high: compare.diversity(heads, rows.reshape(systems, count, n), low, high, out),
        systems,
        10.0 * systems * count * count * n * n,
    )
    return out
