"""What operators have propagated so far: survival curves of walks, peaks of diffusions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Ints


@dataclass
class Survival:
    """Survival curves of K operators on the way down (`kernels.dense.survive`)."""

    survival: Floats
    levels: Floats
    of_mean: Bools
    cap: int
    pulled: bool
    clock: Ints = field(init=False)
    crossing: Ints = field(init=False)
    capped: Floats = field(init=False)

    def __post_init__(self) -> None:
        count = self.survival.shape[0]
        self.clock = np.zeros(count, dtype=np.int64)
        self.crossing = np.full((count, len(self.levels)), -1, dtype=np.int64)
        self.capped = np.zeros(count)

    @classmethod
    def start(
        cls,
        count: int,
        nodes: int,
        *,
        levels: npt.ArrayLike,
        of_mean: npt.ArrayLike,
        cap: int = 0,
        pulled: bool = False,
    ) -> Survival:
        """Nothing has arrived but the target itself: the sink, or node 0 when ``pulled``."""
        survival = np.ones((count, nodes))
        survival[:, 0 if pulled else -1] = 0.0
        return cls(survival, np.asarray(levels, float), np.asarray(of_mean, bool), cap, pulled)

    @property
    def active(self) -> Bools:
        """Which operators still have a level to cross or a time before the cap to see."""
        return (self.crossing < 0).any(axis=1) | (self.clock < self.cap)


@dataclass
class Peaks:
    """Sink rows ``e_τ D^t`` of K operators and their largest values so far."""

    state: Floats
    tolerance: float
    every_node: bool
    peak: Floats = field(init=False)
    time: Ints = field(init=False)
    clock: Ints = field(init=False)
    interval: Floats = field(init=False)
    closed: Bools = field(init=False)

    def __post_init__(self) -> None:
        count = self.state.shape[0]
        self.peak = self.state.copy()
        self.time = np.zeros(self.state.shape, dtype=np.int64)
        self.clock = np.zeros(count, dtype=np.int64)
        self.interval = np.zeros((count, 2))
        self.closed = np.zeros(count, dtype=bool)

    @classmethod
    def start(cls, count: int, nodes: int, *, tolerance: float, every_node: bool) -> Peaks:
        """At time 0 the sink's state is its own."""
        state = np.zeros((count, nodes))
        state[:, -1] = 1.0
        return cls(state, tolerance, every_node)


Kind = Literal["walk", "diffusion"]


COMBINATIONS = ("walks", "attention")


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
    def leaving(self) -> Floats:
        """(count, nodes) off-diagonal column sums: the probability to move on from each node."""

    @abstractmethod
    def trajectory(self, start: npt.ArrayLike, steps: int, *, pulled: bool, k: int = 0) -> Floats:
        """(steps+1, nodes): ``v, v M, v M², …`` of operator ``k`` (``M v`` when ``pulled``)."""

    @abstractmethod
    def survive(self, state: Survival, last: int) -> None:
        """Advance survival curves until settled or ``last`` steps (kernels.dense.survive)."""

    def survival_at(self, times: Ints) -> Floats:
        """(count, T, nodes) survival of the walk after each of the rising ``times``."""
        out = np.empty((self.count, len(times), self.nodes))
        most = max(1, TRAJECTORY_VALUES // self.nodes)
        for k in range(self.count):
            state = np.ones(self.nodes)
            state[-1] = 0.0
            t = 0
            for place, time in enumerate(times.tolist()):
                while t < time:
                    steps = min(most, time - t)
                    state = self.trajectory(state, steps, pulled=False, k=k)[-1]
                    t += steps
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

    @abstractmethod
    def array(self, k: int = 0) -> Floats:
        """Operator ``k`` as a dense (nodes, nodes) array, rows = receivers."""
