"""Walks and diffusions of dense heads as stacks of triangular operators.

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
from synergy_engine.kernels import carried, compare, dense as kernels, far, fidelity, sensitivity
from synergy_engine.kernels.lanes import WIDTH
from synergy_engine.kernels.panels import STEPS, room_for
from synergy_engine.kernels.states import Operators, Peaks, Survival
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import report
from synergy_engine.operators.stack import COMBINATIONS, Kind, Stack
from synergy_engine.reach import dense_reach

WORK_A_CALL = 160_000_000
"""Multiplications one kernel call may do on one range of operators, so that Ctrl-C is heard: a few
milliseconds, 30 on a single thread, and more on old processors."""

FAR_LIMIT = 320
"""Nodes up to which long walks are looked up in matrix powers: fourteen squarings in 50 ms."""

LOOKS = (64, 256, 1024, 4096)
"""Steps after which the rest of a long walk is foreseen from its slow modes, if that is certain."""

WALKED_FIRST = 16
"""Steps per node that are walked first: all the powers there may be cost about as much (measured
for 30 to 300 nodes)."""


ROUNDING = 1e-12
"""What normalising and mixing in float64 may leave of a sum of one."""


class DenseStack(Stack):
    """Operators ``row_scale · matrices · column_scale`` over dense arrays (K, n, n); scales of
    ``None`` are one."""

    def __init__(
        self, matrices: Reals, row_scale: Floats | None = None, column_scale: Floats | None = None
    ) -> None:
        if matrices.strides[-1] != matrices.itemsize:  # kernels read eight neighbours at a time
            matrices = np.ascontiguousarray(matrices)
        ones = np.ones(matrices.shape[:2])
        self.operators = Operators(
            matrices,
            ones if row_scale is None else row_scale,
            ones if column_scale is None else column_scale,
        )
        self.count, self.nodes = matrices.shape[0], matrices.shape[-1]

    @property
    def _work(self) -> float:
        """Multiplications of one step of all operators."""
        return self.count * self.nodes * self.nodes / 2

    def hitting(self) -> Floats:
        return _each_node(kernels.hitting, self.operators, (self.count, self.nodes), passes=1.0)

    def hitting_backward(self) -> Floats:
        return _each_node(
            kernels.hitting_backward, self.operators, (self.count, self.nodes), passes=1.0
        )

    def reaching(self) -> Bools:
        return dense_reach(self.operators.matrices)

    def leaving(self) -> Floats:
        return _each_node(kernels.leaving, self.operators, (self.count, self.nodes), passes=0.5)

    def visits(self) -> Floats:
        leave, out = self.leaving(), np.empty((self.count, self.nodes))
        over_ranges(
            lambda low, high: sensitivity.visits(self.operators, leave, low, high, out),
            self.count,
            self._work,
        )
        return out

    def slopes(self, values: Floats, shares: Floats) -> Floats:
        out = np.empty(self.count)
        over_ranges(
            lambda low, high: sensitivity.slopes(self.operators, values, shares, low, high, out),
            self.count,
            3 * self._work,
        )
        return out

    def hears_none(self, node: int) -> bool:
        scaled = self.operators.row_scale[0, node] * self.operators.column_scale[0, : node + 1]
        heard = self.operators.matrices[0, node, : node + 1] * scaled
        # A node that loses some of its state hears what has the rest: a learned sink.
        return not heard[:node].any() and not 0 < heard[node] < 1 - ROUNDING

    def ways_to(self, node: int) -> Bools:
        # Mirrored and transposed, the node is the last of a triangle again.
        mirrored = self.array()[node:, node:][::-1, ::-1].T
        return np.concatenate([np.zeros(node, bool), dense_reach(mirrored)[::-1]])

    def carried(
        self, rows: Floats, columns: Floats, *, pairs: bool = True
    ) -> tuple[Floats, Floats]:
        t, n, count = len(rows), self.nodes, self.count
        pairs = pairs and t > 1
        alone, together = np.zeros((count, 1)), np.zeros((count, count))
        forth, back = np.empty((count, n * WIDTH)), np.empty((count * pairs, n * WIDTH))
        lowest = int(np.flatnonzero(columns[0])[0])
        # Column s meets row s, and the one before it what a second head makes of it.
        onward = np.concatenate([columns[::-1], np.zeros((1, n))])
        for first in range(0, t, WIDTH):
            report("sharing steps out to heads", first, t)
            parts = (rows, onward, onward[1:])
            self._carry(
                [_side_by_side(part[first : first + WIDTH]) for part in parts],
                lowest, forth, back, alone, together,
            )  # fmt: skip
        return alone[:, 0], together

    def _carry(
        self, states: list[Floats], lowest: int, forth: Floats, back: Floats, alone: Floats,
        together: Floats,
    ) -> None:  # fmt: skip
        """Add eight steps of `carried`; ``back`` is empty where pairs are not asked for."""
        befores, meeting, afters = states
        first = lowest * WIDTH

        def move(low: int, high: int) -> None:
            carried.move(
                self.operators.matrices, self.operators.row_scale, lowest, befores,
                afters if len(back) else afters[:0], low, high, forth, back,
            )  # fmt: skip
            carried.meet(forth, meeting[None], first, low, high, alone)

        over_ranges(move, self.count, WIDTH * self._work)
        if len(back):
            over_ranges(
                lambda low, high: carried.meet(forth, back, first, low, high, together),
                self.count,
                WIDTH * float(self.count**2 * self.nodes),
            )

    def trajectory(self, start: npt.ArrayLike, steps: int, *, pulled: bool, k: int = 0) -> Floats:
        out = self._trajectory_room(start, steps)
        chunk, room = self._chunk(1), room_for(self.nodes)
        for first in range(0, steps, chunk):
            kernels.trajectory(self.operators, k, pulled, room, out[first : first + chunk + 1])
        return out

    def _chunk(self, operators: int) -> int:
        """Steps one call may take for that many operators per range: whole blocks of steps.

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
        squares = self.nodes <= FAR_LIMIT
        near = min(last, max(state.cap, WALKED_FIRST * self.nodes)) if squares else last
        for look in LOOKS:
            if state.cap < look < near and state.active.any():
                self._in_calls(kernels.survive, state, look, lambda: not state.active.any())
                over_ranges(
                    lambda low, high: far.foresee(self.operators, state, last, low, high),
                    self.count,
                    self._work * far.MODES,
                )
        self._in_calls(kernels.survive, state, near, lambda: not state.active.any())
        if near < last:
            left = np.flatnonzero(state.active)

            def look_far(low: int, high: int) -> None:
                for k in left[low:high]:
                    far.survive_far(self.operators, state, last, k, k + 1)

            over_ranges(look_far, len(left), float(len(left) * self.nodes**3), pieces=len(left))

    def survival_at(self, times: Ints) -> Floats:
        if self.nodes > FAR_LIMIT:
            return super().survival_at(times)
        state = Survival.start(self.count, self.nodes, levels=[], of_mean=[])
        out = np.empty((self.count, len(times), self.nodes))
        over_ranges(
            lambda low, high: far.survival_at(
                self.operators, state.survival, times, low, high, out
            ),
            self.count,
            self._work * self.nodes,
        )
        return out

    def peaks(self, state: Peaks, last: int) -> None:
        self._in_calls(fidelity.peaks, state, last, lambda: bool(state.closed.all()))

    def _in_calls(
        self,
        kernel: Callable[..., None],
        state: Survival | Peaks,
        last: int,
        settled: Callable[[], bool],
    ) -> None:
        """Advance a state by ``kernel`` to ``last`` steps at most, in calls that end soon."""
        room = self._rooms()
        target = 0
        while True:
            target = min(last, target + self._chunk(-(-self.count // 8)))

            def task(low: int, high: int, until: int = target) -> None:
                kernel(self.operators, state, until, room(), low, high)

            over_ranges(task, self.count, self._work * min(target, 50))
            if target >= last or settled():
                return

    def corner(self) -> Floats:
        rows, columns = self.operators.row_scale[:, -1], self.operators.column_scale[:, -1]
        own = self.operators.matrices[:, -1, -1]
        return own * rows * columns + ((rows == 0) | (columns == 0))

    def array(self, k: int = 0) -> Floats:
        matrix, rows, columns = (part[k] for part in self.operators)
        scaled = matrix * rows[:, None] * columns
        keeps = (rows == 0) | (columns == 0)
        scaled[np.diag_indices(self.nodes)] += keeps
        return scaled


def _side_by_side(states: Floats) -> Floats:
    """Up to eight states (m, n) as flat (n · 8): those of a node next to each other."""
    out = np.zeros((states.shape[1], WIDTH))
    out[:, : len(states)] = states.T
    return out.ravel()


def raw_hitting(heads: Reals) -> Floats:
    """Hitting times (K, n) of the walks of raw heads (K, n, n), without normalising them first."""
    return _each_node(kernels.hitting_of_raw, heads, heads.shape[:2], passes=1.0)


def row_scales(heads: Reals) -> Floats:
    """Reciprocal row sums (K, n) of raw weights (K, n, n), in float64: they make a diffusion."""
    return _each_node(kernels.row_scales, heads, heads.shape[:2], passes=0.5)


def column_scales(heads: Reals) -> Floats:
    """Reciprocal column sums (K, n) of raw weights (K, n, n), in float64: they make a walk."""
    return _each_node(kernels.column_scales, heads, heads.shape[:2], passes=0.5)


def _each_node(
    kernel: Callable[..., None],
    matrices: Operators | Reals,
    shape: tuple[int, ...],
    *,
    passes: float,
) -> Floats:
    """What ``kernel(matrices, low, high, out)`` writes to ``out`` (K, n), in passes over n²."""
    count, n = shape
    out = np.empty(shape)
    over_ranges(lambda low, high: kernel(matrices, low, high, out), count, passes * (count * n * n))
    return out


def mix(
    heads: Reals,
    weights: Floats,
    row_scale: Floats | None = None,
    column_scale: Floats | None = None,
) -> Floats:
    """Weighted sums (S, n, n) over heads (S, H, n, n) scaled by rows and columns (S, H, n).

    The heads may be those of one system, (1, H, n, n), which then serve all weights.
    """
    systems = len(weights)
    count, n = heads.shape[1:3]
    ones = np.ones(heads.shape[:3])
    rows = ones if row_scale is None else row_scale
    columns = ones if column_scale is None else column_scale
    out = np.zeros((systems, n, n))
    over_ranges(
        lambda low, high: kernels.mix(heads, weights, rows, columns, low, high, out),
        systems,
        systems * count * n * n / 2,
    )
    return out


def head_stack(heads: Reals, kind: Kind, *, whole: bool = True) -> DenseStack:
    """The walk or diffusion of each raw head (K, n, n), without copying the heads.

    Where a diffusion's rows are not the ``whole`` of what nodes hear, they are not divided by their
    sums: a learned sink has the rest. It is never a receiver, so it needs no row of its own.
    """
    if kind == "walk":
        return DenseStack(heads, None, column_scales(heads))
    if not whole:
        return DenseStack(heads)
    return DenseStack(heads, row_scales(heads), None)


def mixture_stack(
    heads: Reals, weights: Floats, kind: Kind, combine: str = "walks", *, whole: bool = True
) -> DenseStack:
    """The mixtures of S systems: raw heads (S, H, n, n), or (1, H, n, n) for all; weights
    (S, H).

    ``whole`` as in `head_stack`.

    ``combine="attention"`` mixes the raw weights first and normalises the columns afterwards; it
    concerns walks only. Heads that are equal bit for bit are merged first, so that a system of
    identical heads is that head exactly, not up to rounding.
    """
    choose("combine", combine, COMBINATIONS)
    merged = merge_equal(heads, weights)
    if kind == "walk" and combine == "attention":
        return head_stack(mix(heads, merged), "walk")
    alone = head_stack(heads.reshape(-1, *heads.shape[2:]), kind, whole=whole)
    return mixture_of(alone, heads, merged)


def mixture_of(alone: DenseStack, heads: Reals, merged: Floats) -> DenseStack:
    """The mixtures of heads whose own operators are ``alone``, by weights of `merge_equal`."""
    scales = alone.operators.row_scale, alone.operators.column_scale
    return DenseStack(mix(heads, merged, *(scale.reshape(heads.shape[:3]) for scale in scales)))


def paper_chains(heads: Reals) -> DenseStack:
    """The published walk of each attention matrix (K, n, n); see `kernels.dense.paper_chain`."""
    count, n = heads.shape[:2]
    out = np.zeros((count, n, n))
    over_ranges(lambda low, high: kernels.paper_chain(heads, low, high, out), count, count * n * n)
    return DenseStack(out)


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
    np.add.at(merged, (np.arange(len(weights))[:, None], first), weights)
    alone = np.count_nonzero(merged, axis=1) == 1
    merged[alone] = merged[alone] > 0
    return merged


def diversity(heads: Reals) -> Floats:
    """Jensen-Shannon, Jaccard, cosine distances of pairs (S, 3, H, H) of heads (S, H, n, n)."""
    systems, count, n = heads.shape[:3]
    rows = row_scales(heads.reshape(-1, n, n))
    out = np.empty((systems, 3, count, count))
    over_ranges(
        lambda low, high: compare.diversity(heads, rows.reshape(systems, count, n), low, high, out),
        systems,
        10.0 * systems * count * count * n * n,
    )
    return out
