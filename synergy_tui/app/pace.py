"""How fast a run goes and how long it will still take: smoothed, and silent until it is known."""

from __future__ import annotations

import math

MEMORY = 30.0
"""Seconds of the log after which a change of the pace has mostly been taken in."""
SECONDS, STEPS = 5.0, 10
"""What must have been seen of a run before anything is said about the rest of it."""


class Pace:
    """Steps per second of a log, averaged with weights that fade over :data:`MEMORY` seconds.

    A probe that holds up a few steps does not make it jump, and what began slowly is forgotten.
    """

    def __init__(self) -> None:
        self._began = 0.0  # when the first step was begun
        self._last = (0.0, 0)
        self._seconds = self._steps = 0.0  # both fade

    def observe(self, elapsed: float, step: int) -> None:
        """Take in that ``step`` was reached ``elapsed`` seconds after the start."""
        if step == 0:  # loading and compiling say nothing about what follows
            self._began = elapsed
            self._last = (elapsed, 0)
        seconds, steps = elapsed - self._last[0], step - self._last[1]
        if seconds > 0 and steps > 0:
            kept = math.exp(-seconds / MEMORY)
            self._seconds = self._seconds * kept + seconds
            self._steps = self._steps * kept + steps
            self._last = (elapsed, step)

    @property
    def rate(self) -> float | None:
        """Steps per second; ``None`` before enough has been seen."""
        elapsed, step = self._last
        if elapsed - self._began < SECONDS or step < STEPS:
            return None
        return self._steps / self._seconds
