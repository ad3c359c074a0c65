"""Walks and diffusions of sparse heads: the sparse side of :mod:`synergy_engine.operators.dense`.

Single heads are never copied: scales beside the head make it a walk or a diffusion, so a uniform
graph stays at 4 bytes per edge (8 with the copy by sender that walks towards the sink use).
Mixtures of several heads are added up into one operator with weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats
from synergy_engine.kernels import sparse as kernels
from synergy_engine.kernels.states import Peaks, Survival
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import report
from synergy_engine.operators.layout import Laid, Layout, lay_out
from synergy_engine.operators.stack import Kind, Stack
from synergy_engine.operators.waves import hitting, peaks, survive
from synergy_engine.reach import reaching
from synergy_engine.sparse import SparseHead, added, in_row_calls, scaled
from synergy_engine.system import MultiHeadSystem

_laid: WeakKeyDictionary[SparseHead, Laid] = WeakKeyDictionary()


class Operator:
    """``diag(row_scale) A diag(column_scale)`` of one head; scales of ``None`` are one."""

    def __init__(
        self, laid: Laid, row_scale: Floats | None = None, column_scale: Floats | None = None
    ) -> None:
        self.laid, self.row_scale, self.column_scale = laid, row_scale, column_scale

    @cached_property
    def push(self) -> Layout:
        """Rows are senders: ``v M``."""
        return lay_out(self.laid, self.row_scale, self.column_scale, push=True)

    @cached_property
    def pull(self) -> Layout:
        """Rows are receivers: ``M v``."""
        return lay_out(self.laid, self.row_scale, self.column_scale, push=False)


class SparseStack(Stack):
    """One sparse operator for each head, or one for the whole system."""

    def __init__(self, operators: Sequence[Operator]) -> None:
        self.operators = list(operators)
        self.count = len(self.operators)
        self.nodes = self.operators[0].laid.head.nodes

    def hitting(self) -> Floats:
        return np.stack([hitting(each.push) for each in self.operators])

    def hitting_backward(self) -> Floats:
        return np.stack([hitting(each.pull) for each in self.operators])

    def reaching(self) -> Bools:
        return np.stack([reaching(each.laid.head) for each in self.operators])

    def leaving(self) -> Floats:
        return np.stack([_leaving(each.push) for each in self.operators])

    def trajectory(self, start: npt.ArrayLike, steps: int, *, pulled: bool, k: int = 0) -> Floats:
        out = self._trajectory_room(start, steps)
        layout = self.operators[k].pull if pulled else self.operators[k].push
        for t in range(steps):
            report("following a diffusion", t, steps)
            step(layout, out[t], out[t + 1])
        return out

    def survive(self, state: Survival, last: int) -> None:
        """A wave of steps may run past what was asked for."""
        for k, operator in enumerate(self.operators):
            survive(operator.pull if state.pulled else operator.push, state, k, last)

    def peaks(self, state: Peaks, last: int) -> None:
        """The certificate is looked at between waves of steps."""
        for k, operator in enumerate(self.operators):
            if not state.closed[k]:
                peaks(operator.push, state, k, last)

    def array(self, k: int = 0) -> Floats:
        """Refused above 1 GiB."""
        operator = self.operators[k]
        dense = operator.laid.head.to_array()
        if operator.row_scale is not None:
            dense *= operator.row_scale[:, None]
        if operator.column_scale is not None:
            dense *= operator.column_scale
        np.fill_diagonal(dense, operator.pull.diagonal)
        return dense


def head_stack(system: MultiHeadSystem, kind: Kind) -> SparseStack:
    """The walk or diffusion of each head."""
    assert system.sparse is not None
    return SparseStack([_normalised(_lay(head), kind) for head in system.sparse])


def mixture_stack(system: MultiHeadSystem, kind: Kind, combine: str = "walks") -> SparseStack:
    """The walk or diffusion of the whole system, like `dense.mixture_stack`."""
    assert system.sparse is not None
    merged = _merge_equal(system.sparse, system.weights)
    if len(merged) == 1:
        return SparseStack([_normalised(_lay(merged[0][0]), kind)])
    if kind == "walk" and combine == "attention":
        raw = added([scaled(head, None, None, weight) for head, weight in merged])
        return SparseStack([_normalised(Laid(raw), "walk")])
    parts = []
    for head, weight in merged:
        operator = _normalised(_lay(head), kind)
        parts.append(scaled(operator.laid.head, operator.row_scale, operator.column_scale, weight))
    return SparseStack([Operator(Laid(added(parts)))])


def step(layout: Layout, v: Floats, out: Floats) -> None:
    """One step ``v M`` or ``M v`` into ``out``, nodes shared between threads."""
    over_ranges(
        lambda low, high: kernels.step(*layout.rows, layout.diagonal, low, high, v, out),
        layout.nodes,
        float(layout.edges),
    )


def one_distinct_head(system: MultiHeadSystem) -> bool:
    """Whether all heads that carry weight are equal bit for bit."""
    assert system.sparse is not None
    return len(_merge_equal(system.sparse, system.weights)) == 1


def diversity(system: MultiHeadSystem) -> Floats:
    """Jensen-Shannon, Jaccard and cosine distances of pairs of heads (3, H, H); O(H · edges)."""
    assert system.sparse is not None
    found = np.zeros((3, system.heads, system.heads))
    for a, b in combinations(range(system.heads), 2):
        found[:, a, b] = found[:, b, a] = _differences(system.sparse[a], system.sparse[b])
    return found


def _differences(one: SparseHead, other: SparseHead) -> tuple[float, float, float]:
    if one is other or _equal(one, other):
        return 0.0, 0.0, 0.0
    a, b = _all_hearing(_lay(one)), _all_hearing(_lay(other))
    sums = np.zeros(6)
    in_row_calls(
        a.head.indptr,
        "comparing heads",
        lambda low, high: kernels.compare_rows(
            a.head.indptr, a.head.indices, a.weights, a.sums.hearing_scale,
            b.head.indptr, b.head.indices, b.weights, b.sums.hearing_scale, low, high, sums,
        ),
    )  # fmt: skip
    divergence, either, both, product, norm, other_norm = sums.tolist()
    return (
        max(0.0, divergence / one.nodes),
        1.0 - both / either if either else 0.0,
        max(0.0, 1.0 - product / np.sqrt(norm * other_norm)),
    )


def _all_hearing(laid: Laid) -> Laid:
    """The head itself, or its diffusion where some node hears nothing and keeps its own state."""
    scale = laid.sums.hearing_scale
    return Laid(scaled(laid.head, scale, None, 1.0)) if np.any(scale == 0) else laid


def _leaving(layout: Layout) -> Floats:
    out = np.empty(layout.nodes)
    over_ranges(
        lambda low, high: kernels.leaving(*layout.rows, low, high, out),
        layout.nodes,
        float(layout.edges),
    )
    return out


def _lay(head: SparseHead) -> Laid:
    laid = _laid.get(head)
    if laid is None:
        laid = _laid[head] = Laid(head)
    return laid


def _normalised(laid: Laid, kind: Kind) -> Operator:
    if kind == "walk":
        return Operator(laid, None, laid.sums.sending_scale)
    return Operator(laid, laid.sums.hearing_scale, None)


def _merge_equal(sparse: Sequence[SparseHead], weights: Floats) -> list[tuple[SparseHead, float]]:
    """Heads of positive weight, equal ones once: identical heads are one head, exactly."""
    merged: list[tuple[SparseHead, float]] = []
    for head, weight in zip(sparse, weights.tolist(), strict=True):
        if weight == 0:
            continue
        for place, (known, so_far) in enumerate(merged):
            if head is known or _equal(head, known):
                merged[place] = (known, so_far + weight)
                break
        else:
            merged.append((head, weight))
    return merged


def _equal(one: SparseHead, other: SparseHead) -> bool:
    if (one.weights is None) != (other.weights is None):
        return False
    return (
        np.array_equal(one.indptr, other.indptr)
        and np.array_equal(one.indices, other.indices)
        and (one.weights is None or np.array_equal(one.weights, other.weights))  # type: ignore[arg-type]
    )
