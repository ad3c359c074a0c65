"""What operators have propagated so far: survival curves of walks, peaks of diffusions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass
class Survival:
    """Survival curves of K operators on the way down; see `engine.kernels.dense.survive`."""

    survival: Floats
    levels: Floats
    of_mean: npt.NDArray[np.bool_]
    cap: int
    pulled: bool
    clock: npt.NDArray[np.int64] = field(init=False)
    crossing: npt.NDArray[np.int64] = field(init=False)
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
    def active(self) -> npt.NDArray[np.bool_]:
        """Which operators still have a level to cross or a time before the cap to see."""
        return (self.crossing < 0).any(axis=1) | (self.clock < self.cap)


@dataclass
class Peaks:
    """Sink rows ``e_τ D^t`` of K operators and their largest values so far."""

    state: Floats
    tolerance: float
    every_node: bool
    peak: Floats = field(init=False)
    time: npt.NDArray[np.int64] = field(init=False)
    clock: npt.NDArray[np.int64] = field(init=False)
    interval: Floats = field(init=False)
    closed: npt.NDArray[np.bool_] = field(init=False)

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
