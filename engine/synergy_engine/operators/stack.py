"""The abstract stack of operators that measures work with, dense or sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Ints
from synergy_engine.kernels.states import Peaks, Survival
from synergy_engine.limits import refuse_if_too_large, report

Kind = Literal["walk", "diffusion"]

Combine = Literal["walks", "attention"]
COMBINATIONS = get_args(Combine)


TRAJECTORY_VALUES = 4_000_000
"""Numbers of a trajectory that are kept at a time when only its end is wanted."""


class Stack(ABC):
    """``count`` lower-triangular operators over the same ``nodes``, rows = receivers."""

    count: int
    nodes: int

    @abstractmethod
    def hitting(self) -> Floats:
        """(count, nodes) expected steps of the walk to the last node; inf where it may not be."""

    @abstractmethod
    def hitting_backward(self) -> Floats:
        """(count, nodes) expected steps of the chain with rows ``M[j, :]`` to node 0."""

    @abstractmethod
    def reaching(self) -> Bools:
        """(count, nodes) which nodes have a way to the last one, however faint."""

    @abstractmethod
    def visits(self) -> Floats:
        """(count, nodes) expected visits of walks from evenly drawn starts; 0 at the last node.

        To be asked only where every walk arrives.
        """

    @abstractmethod
    def slopes(self, values: Floats, shares: Floats) -> Floats:
        """(count,) ``Σ_i shares_i Σ_{j>i} M[j, i] (values_j - values_i)`` of each operator."""

    @abstractmethod
    def hears_none(self, node: int) -> bool:
        """Whether the first operator has no edge to ``node`` from another."""

    @abstractmethod
    def ways_to(self, node: int) -> Bools:
        """(nodes,) from which nodes the first operator, taken backwards, can come to ``node``."""

    @abstractmethod
    def leaving(self) -> Floats:
        """(count, nodes) off-diagonal column sums: the probability to move on from each node."""

    @abstractmethod
    def trajectory(self, start: npt.ArrayLike, steps: int, *, pulled: bool, k: int = 0) -> Floats:
        """(steps+1, nodes): ``v, v M, v M², …`` of operator ``k`` (``M v`` when ``pulled``)."""

    def _trajectory_room(self, start: npt.ArrayLike, steps: int) -> Floats:
        """(steps+1, nodes), the first row ``start``; refused where it would not fit in memory."""
        refuse_if_too_large(
            8 * (steps + 1) * self.nodes, f"{steps:,} steps of {self.nodes:,} nodes"
        )
        out = np.empty((steps + 1, self.nodes))
        out[0] = start
        return out

    @abstractmethod
    def survive(self, state: Survival, last: int) -> None:
        """Advance survival curves until settled or ``last`` steps (kernels.dense.survive)."""

    def all_but_sink(self) -> Floats:
        """Survival of the walk at time 0, (nodes,): only the sink itself has arrived."""
        start = np.ones(self.nodes)
        start[-1] = 0.0
        return start

    def trajectory_blocks(
        self, start: npt.ArrayLike, steps: int, *, k: int = 0
    ) -> Iterator[tuple[int, Floats]]:
        """``v, v M, …, v M^steps`` of operator ``k``, in blocks to save memory.

        Yields ``(t, (m + 1, nodes))`` for times ``t … t + m``; each block begins where the one
        before ended.
        """
        most = max(1, TRAJECTORY_VALUES // self.nodes)
        for first in range(0, steps, most):
            block = self.trajectory(start, min(most, steps - first), pulled=False, k=k)
            yield first, block
            start = block[-1]

    def survival_blocks(self, steps: int) -> Iterator[tuple[int, Floats]]:
        """Survival of the first walk at times ``0 … steps - 1``, in blocks."""
        for first, block in self.trajectory_blocks(self.all_but_sink(), steps):
            yield first, block[:-1]

    def survival_at(self, times: Ints) -> Floats:
        """(count, T, nodes) survival of the walk after each of the rising ``times``."""
        out = np.empty((self.count, len(times), self.nodes))
        for k in range(self.count):
            state = self.all_but_sink()
            for place, gap in enumerate(np.diff(times, prepend=0).tolist()):
                for _, block in self.trajectory_blocks(state, gap, k=k):
                    state = block[-1]
                out[k, place] = state
        return out

    def corner(self) -> Floats:
        """(count,) what the sink keeps of its own state in one step: ``M[n-1, n-1]``."""
        start = np.zeros(self.nodes)
        start[-1] = 1.0
        return np.array(
            [self.trajectory(start, 1, pulled=False, k=k)[1, -1] for k in range(self.count)]
        )

    @abstractmethod
    def peaks(self, state: Peaks, last: int) -> None:
        """Advance sink rows until certified or ``last`` steps (kernels.fidelity.peaks)."""

    def carried(
        self, rows: Floats, columns: Floats, *, pairs: bool = True
    ) -> tuple[Floats, Floats]:
        """What each diffusion, and each pair of them, carries between rows and columns.

        ``rows`` (t, nodes) are ``v_0 … v_{t-1}``, ``columns`` ``w_0 … w_{t-1}``. Returns
        ``Σ_s v_s M_k w_{t-1-s}`` (count,) and ``Σ_s v_s M_k M_l w_{t-2-s}`` (count, count), zeros
        without ``pairs``.
        """
        t = len(rows)
        alone, together = np.zeros(self.count), np.zeros((self.count, self.count))
        for s in range(t):
            report("sharing steps out to heads", s, t)
            moved = self._each_step(rows[s], pulled=False)
            alone += np.einsum("kn,n->k", moved, columns[t - 1 - s])
            if pairs and s < t - 1:
                onward = self._each_step(columns[t - 2 - s], pulled=True)
                together += np.einsum("kn,ln->kl", moved, onward)
        return alone, together

    def _each_step(self, v: Floats, *, pulled: bool) -> Floats:
        """(count, nodes) ``v M_k``, or ``M_k v``, of every operator."""
        return np.stack([self.trajectory(v, 1, pulled=pulled, k=k)[1] for k in range(self.count)])

    @abstractmethod
    def array(self, k: int = 0) -> Floats:
        """Operator ``k`` as a dense (nodes, nodes) array, rows = receivers."""
