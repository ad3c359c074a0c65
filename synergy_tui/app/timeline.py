"""The step cursor that every panel of every run shares.

Following, the cursor is the newest step. Paused, it stays while the log keeps growing. Playing, it
moves by itself. Nothing here knows a clock: :meth:`Timeline.advance` gets the time that has passed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

SPEEDS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PLAY_SECONDS = 30.0
"""A whole experiment plays back in at most about this long, unless the speed is changed."""
CATCHES_UP = 2
"""The lowest speed at which a log is played that still grows."""


class Mode(enum.StrEnum):
    """What the cursor does by itself."""

    FOLLOW = "follow"
    PAUSED = "paused"
    PLAYING = "playing"


class Timeline:
    """A cursor over training steps."""

    def __init__(self) -> None:
        self.mode = Mode.FOLLOW
        self.last = 0  # newest step seen in any run
        # (k,) ascending: the steps that have a probe in any run; where the cursor rests.
        self.stops: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.pace = 20.0  # steps per second as recorded; playback at 1x repeats it
        self._position = 0.0
        self._speed = SPEEDS.index(1)

    @property
    def step(self) -> int:
        """The step every panel shows."""
        return self.last if self.mode is Mode.FOLLOW else int(self._position)

    @property
    def speed(self) -> float:
        """Playback speed, as a multiple of the recorded pace."""
        return SPEEDS[self._speed]

    @property
    def behind(self) -> int:
        """Steps that have come in after the cursor."""
        return max(0, self.last - self.step)

    def observe(self, last: int, stops: Iterable[int], pace: float | None = None) -> None:
        """Take in what the log contains now; a cursor that does not follow stays where it is."""
        self.last = int(last)
        # Not np.unique, which imports numpy.ma: the first frame need not wait for that.
        self.stops = np.array(sorted({int(stop) for stop in stops}), dtype=np.int64)
        if pace is not None and np.isfinite(pace) and pace > 0:
            self.pace = float(pace)

    def seek(self, step: float) -> None:
        """Put the cursor at ``step`` (within what there is) and stop there."""
        self._position = float(min(max(step, 0), self.last))
        self.mode = Mode.PAUSED

    def follow(self) -> None:
        """Show the newest step, now and from now on."""
        self.mode = Mode.FOLLOW

    def move(self, count: int) -> None:
        """Go ``count`` probes forward (negative: back)."""
        here = self.step
        stops = self._all_stops()
        if count > 0:
            index = int(np.searchsorted(stops, here, side="right")) + count - 1
        else:
            index = int(np.searchsorted(stops, here, side="left")) + count
        self.seek(float(stops[min(max(index, 0), len(stops) - 1)]))

    def jump(self, count: int) -> None:
        """Go ``count`` tenths of the run forward (negative: back), to the nearest probe."""
        self.seek(self._nearest(self.step + count * max(1.0, self.last / 10)))

    def first(self) -> None:
        self.seek(float(self._all_stops()[0]))

    def toggle_play(self, live: bool = False) -> None:
        """Stop where the cursor is, or play from there until it is at the newest step.

        While the log grows (``live``) a cursor that follows stops, and one that is played moves
        fast enough to catch up. At the end of a log that is complete, play from the start.
        """
        if self.mode is Mode.PLAYING or (live and self.mode is Mode.FOLLOW):
            self.seek(self.step)
            return
        start = self.step
        self._position = float(start if start < self.last or live else self._all_stops()[0])
        if live:
            self._speed = max(self._speed, SPEEDS.index(CATCHES_UP))
        left = (self.last - self._position) / self.pace
        if left / self.speed > PLAY_SECONDS:
            self._speed = next(
                (i for i, speed in enumerate(SPEEDS) if left / speed <= PLAY_SECONDS),
                len(SPEEDS) - 1,
            )
        self.mode = Mode.PLAYING

    def change_speed(self, by: int) -> None:
        """Play ``by`` notches faster (negative: slower)."""
        self._speed = min(max(self._speed + by, 0), len(SPEEDS) - 1)

    def advance(self, seconds: float) -> bool:
        """Let ``seconds`` pass; true when the cursor moved by itself."""
        if self.mode is not Mode.PLAYING:
            return False
        before = int(self._position)
        self._position += seconds * self.pace * self.speed
        if self._position >= self.last:
            self.follow()
            return True
        return int(self._position) != before

    def _all_stops(self) -> npt.NDArray[np.int64]:
        """Probes and the newest step, so that the cursor can always reach the end."""
        if self.stops.size and self.stops[-1] >= self.last:
            return self.stops
        return np.append(self.stops, self.last)

    def _nearest(self, step: float) -> float:
        stops = self._all_stops()
        return float(stops[int(np.argmin(np.abs(stops - step)))])
