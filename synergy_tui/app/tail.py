"""Follow a growing log from a thread: capped reads, folded into the state under a lock.

The thread never draws and the app's event loop never reads. What has been folded is counted by
:attr:`Tail.version`; readers hold :attr:`Tail.lock` while they look at the state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from synergy_tui.app.past import Packer
from synergy_tui.errors import UserError
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.state import ExperimentState

CHUNK_BYTES = 128 * 1024
"""Read at once: parsed in about 1 ms, so that the drawing thread never waits long for its turn."""
POLL_SECONDS = 0.15
PACKED_AT_ONCE = 16
"""Probes packed in a poll that brings nothing: some milliseconds."""
CONDITION_SECONDS = 1.0


class Followed(Protocol):
    """What a tail needs of an experiment."""

    @property
    def events_path(self) -> Path:
        """The log."""

    def state(self) -> str:
        """Whether the worker is alive, see ``Experiment.state``."""


class Tail:
    """Folds the log of an experiment as it grows.

    ``grown`` is called in the reading thread after each read that brought something, and when the
    worker's condition changed. ``clock`` gives seconds and is monotonic.
    """

    def __init__(
        self,
        experiment: Followed,
        grown: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.experiment = experiment
        self._packer = Packer()
        self.state = ExperimentState(self._packer)
        self.lock = threading.Lock()  # held while the state changes
        self.version = 0  # grows with every change of the state or the condition
        self.caught_up = False  # whether the end of the log has been reached once
        self.condition = "new"  # the newest answer of `Experiment.state`
        self.problem = ""  # why the log cannot be read any further
        self._reader = EventReader(experiment.events_path)
        self._grown = grown
        self._clock = clock
        self._grew_at = clock()
        self._checked_at = -float("inf")
        self._stop = threading.Event()

    @property
    def garbled(self) -> int:
        """Lines of the log that could not be read."""
        return self._reader.garbled

    @property
    def silent_for(self) -> float:
        """Seconds since the log last grew."""
        return self._clock() - self._grew_at

    def poll(self) -> bool:
        """Read and fold at most one chunk; true when there was something."""
        changed = self._check_condition()
        try:
            events = self._reader.read(CHUNK_BYTES)
        except (UserError, OSError) as error:
            self.problem = str(error)
            self.stop()
            events, changed = [], True
        if events:
            with self.lock:
                self.state.apply_all(events)
            self._grew_at = self._clock()
        else:
            with self.lock:
                self._packer.work(PACKED_AT_ONCE)
            changed |= not self.caught_up
            self.caught_up = True
        if events or changed:
            self.version += 1
            self._grown()
        return bool(events)

    def run(self) -> None:
        """Follow until :meth:`stop` is called; for a thread of its own."""
        while not self._stop.is_set():
            before = self._reader.offset
            self.poll()
            if self._reader.offset - before < CHUNK_BYTES // 2:
                # Caught up: what comes in meanwhile is read at once next time, not line by line.
                self._stop.wait(POLL_SECONDS)

    def stop(self) -> None:
        """End :meth:`run` soon."""
        self._stop.set()

    def _check_condition(self) -> bool:
        """Ask whether the worker lives, at most once a second: it costs file operations."""
        now = self._clock()
        if now - self._checked_at < CONDITION_SECONDS:
            return False
        self._checked_at = now
        condition = self.experiment.state()
        changed = condition != self.condition
        self.condition = condition
        return changed
