"""A sweep seen from above: state and numbers of every point, from the logs alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from synergy_tui.experiments.events import Event, EventReader
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.plan import PlannedPoint

SHORTEST_PACE = 3.0
"""Seconds that drivers must have worked before the time that is left is estimated."""


@dataclass
class PointView:
    """A point as its experiment's log shows it."""

    point: PlannedPoint
    state: ExperimentState = field(default_factory=ExperimentState)
    status: str = "waiting"  # or running, finished, failed, stopped, lost
    attempt: int = 0  # the newest
    reason: str = ""  # why it did not finish

    @property
    def progress(self) -> float:
        """Share of the training steps made, in [0, 1]."""
        if self.status == "finished":
            return 1.0
        total = self.state.total_steps
        return min(1.0, self.state.step / total) if total else 0.0


class Overview:
    """Reads the log of a sweep and of its points, incrementally; see :meth:`update`."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.points = {point.name: PointView(point) for point in sweep.points}
        self.backend = ""
        self.machine = ""
        self.elapsed = 0.0  # seconds that drivers have worked on it
        self.exit_code: int | None = None  # once a driver has ended
        self._log = EventReader(sweep.events_path)
        self._readers = {
            name: EventReader(sweep.experiment(name).events_path) for name in self.points
        }

    def update(self, limit_bytes: int = 2**20) -> list[Event]:
        """Read what is new, at most about ``limit_bytes`` per log.

        Returns the new events of the sweep's own log.
        """
        fresh = self._log.read(limit_bytes)
        for event in fresh:
            self._apply(event)
        for name, view in self.points.items():
            if view.status != "waiting" and (events := self._readers[name].read(limit_bytes)):
                view.state.apply_all(events)
        return fresh

    @property
    def counts(self) -> Mapping[str, int]:
        """Points by status."""
        return Counter(view.status for view in self.points.values())

    @property
    def remaining(self) -> float | None:
        """Seconds still needed, from the pace so far; ``None`` while that is not known."""
        done = sum(view.progress for view in self.points.values())
        if done < 0.05 or self.elapsed < SHORTEST_PACE or self.exit_code is not None:
            return None
        return self.elapsed * (len(self.points) - done) / done

    def _apply(self, event: Mapping[str, object]) -> None:
        kind = event["kind"]
        self.elapsed = max(self.elapsed, float(str(event.get("t") or 0.0)))
        if kind == "sweep_started":
            self.exit_code = None
            self.backend = str(event.get("backend") or "")
            self.machine = str(event.get("machine") or "")
            return
        if kind == "sweep_finished":
            self.exit_code = _whole(event.get("exit_code"), 0)
            return
        view = self.points.get(str(event.get("point")))
        if view is None:
            return
        if kind == "point_started":
            view.status, view.attempt = "running", _whole(event.get("attempt"), 1)
        elif kind == "point_ended":
            view.status = str(event.get("state"))
            view.reason = str(event.get("reason") or "")


def _whole(value: object, default: int) -> int:
    """A whole number of the sweep's log, which nothing has checked."""
    return value if type(value) is int else default
