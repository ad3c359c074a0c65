"""What dense kernels work on: operators, and what these have propagated so far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synergy_engine.arrays import Bools, Floats, Ints, Reals


class Operators(NamedTuple):
    """K operators ``M[j, i] = row_scale[j] · matrix[j, i] · column_scale[i]``."""

    matrices: Reals  # (K, n, n)
    row_scale: Floats  # (K, n)
    column_scale: Floats  # (K, n)


class Survival(NamedTuple):
    """Survival curves of K walks on the way down: the chance not to have arrived, by start."""

    survival: Floats  # (K, n) after `clock` steps
    clock: Ints  # (K,)
    levels: Floats  # (C,)
    of_mean: Bools  # (C,) whether the mean is to fall below the level, or the largest
    crossing: Ints  # (K, C) the first time strictly below each level, -1 until then
    cap: int
    capped: Floats  # (K,) mean of min(steps, cap)
    pulled: bool  # moved by ``M v`` towards node 0, not by ``v M`` towards the sink

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
        below = np.asarray(levels, float)
        return cls(
            survival=survival,
            clock=np.zeros(count, dtype=np.int64),
            levels=below,
            of_mean=np.asarray(of_mean, bool),
            crossing=np.full((count, len(below)), -1, dtype=np.int64),
            cap=cap,
            capped=np.zeros(count),
            pulled=pulled,
        )

    @property
    def active(self) -> Bools:
        """Which operators still have a level to cross or a time before the cap to see."""
        return (self.crossing < 0).any(axis=1) | (self.clock < self.cap)


class Peaks(NamedTuple):
    """Sink rows ``e_τ D^t`` of K operators and their largest values so far."""

    state: Floats  # (K, n) after `clock` steps
    clock: Ints  # (K,)
    tolerance: float  # relative gap at which a certificate closes; negative: take all steps
    every_node: bool  # whether each node is to be certified, or only the minimum
    peak: Floats  # (K, n)
    time: Ints  # (K, n) when each peak was reached
    interval: Floats  # (K, 2) both ends for the minimum over all nodes but the sink
    closed: Bools  # (K,) whether the certificate has closed

    @classmethod
    def start(cls, count: int, nodes: int, *, tolerance: float, every_node: bool) -> Peaks:
        """At time 0 the sink's state is its own."""
        state = np.zeros((count, nodes))
        state[:, -1] = 1.0
        return cls.of(state, tolerance=tolerance, every_node=every_node)

    @classmethod
    def of(cls, state: Floats, *, tolerance: float, every_node: bool) -> Peaks:
        """From given rows (K, n), which are advanced in place."""
        count = len(state)
        return cls(
            state=state,
            clock=np.zeros(count, dtype=np.int64),
            tolerance=tolerance,
            every_node=every_node,
            peak=state.copy(),
            time=np.zeros(state.shape, dtype=np.int64),
            interval=np.zeros((count, 2)),
            closed=np.zeros(count, dtype=bool),
        )
