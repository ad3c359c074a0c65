"""What the screens share: the experiment that is followed, its state, and the step cursor.

Screens ask for one another by messages; the app alone knows them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from synergy_tui.app import keys, status
from synergy_tui.app.alerts import Alerts
from synergy_tui.app.pace import Pace
from synergy_tui.app.tail import Tail
from synergy_tui.app.timeline import Timeline
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.files import reference

if TYPE_CHECKING:
    from synergy_tui.sweep.directory import Sweep

Mode = Literal["live", "replay"]


class Session:
    """One experiment while the app follows it.

    ``grown`` is called in the reading thread when the log has grown; ``clock`` gives seconds and is
    monotonic. Hold :attr:`lock` while reading :attr:`state`.
    """

    def __init__(
        self,
        experiment: Experiment,
        mode: Mode = "live",
        *,
        ascii_only: bool = False,
        keymap: Mapping[str, str] | None = None,
        grown: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.experiment = experiment
        self.mode: Mode = mode
        self.ascii_only = ascii_only
        self.keymap: Mapping[str, str] = {} if keymap is None else keymap
        """What the user's own keys replace; hints on screens name these."""
        self.timeline = Timeline()
        self.tail = Tail(experiment, grown=grown, clock=clock)
        self.lock = self.tail.lock
        self.seen_version = -1
        self._clock = clock
        self._ticked_at = clock()
        self._seen_status = ("", 0)
        self.pace = Pace()
        self.alerts = Alerts()

    @property
    def state(self) -> ExperimentState:
        """What has been read of the log so far."""
        return self.tail.state

    @property
    def status(self) -> status.Status:
        """The experiment's state as one word, and what to do about it."""
        return status.status_of(
            self.state,
            self.tail.condition,
            self.timeline,
            silent_for=self.tail.silent_for,
            problem=self.tail.problem,
            replay=self.mode == "replay",
            keymap=self.keymap,
        )

    def keyed(self, text: str) -> str:
        """``text`` with the user's keys in place of ids of the table (`keys.filled`)."""
        return keys.filled(text, self.keymap, ascii_only=self.ascii_only)

    @property
    def live(self) -> bool:
        """Whether the log still grows, as far as is known."""
        return self.tail.condition in ("running", "new") and self.state.live

    @property
    def ended(self) -> bool:
        """Whether all that there will be has been read, unless somebody resumes it."""
        return self.tail.caught_up and not self.live

    @property
    def elapsed(self) -> float:
        """Seconds since the experiment started; a live one's clock runs between events too."""
        live = self.state.live and self.tail.condition == "running"
        return self.state.elapsed + (self.tail.silent_for if live else 0.0)

    def tick(self) -> bool:
        """Let time pass; true when what is on the screen may have changed. Needs the lock."""
        now = self._clock()
        passed, self._ticked_at = now - self._ticked_at, now
        grown = self.tail.version != self.seen_version
        if grown:
            self.seen_version = self.tail.version
            self.observe()
        moved = self.timeline.advance(passed)
        shown = (self.status.word, int(self.elapsed))
        changed = shown != self._seen_status
        self._seen_status = shown
        return grown or moved or changed

    def observe(self) -> None:
        """Give the timeline the probes and the pace of what has been read."""
        state = self.state
        stops = (probe.step for run in state.runs.values() for probe in run.probes)
        self.pace.observe(state.elapsed, state.step)
        rate = self.pace.rate
        if rate is None and state.elapsed > 0:
            rate = state.step / state.elapsed
        self.timeline.observe(state.step, stops, rate)

    def farewell(self) -> str:
        """What to print after leaving: whether something still runs, and how to come back."""
        name = reference(self.experiment.path)
        if self.tail.condition in ("running", "new"):
            lines = ["The run continues.", f"  come back: synergy attach {name}"]
            if not self.state.watched:
                lines.append(f"  stop it:   synergy stop {name}")
            return "\n".join(lines)
        lines = [f"look at it again: synergy replay {name}"]
        if self.tail.condition in ("dead", "stopped") and not self.state.watched:
            lines.append(f"continue it:      synergy resume {name}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is marked to be compared: an experiment, one of its runs, one moment of that run."""

    path: Path
    run: str | None = None
    step: int | None = None

    @property
    def experiment(self) -> Experiment:
        return Experiment(self.path)

    @property
    def name(self) -> str:
        """For a person."""
        parts = [self.path.name, self.run or ""]
        parts.append("" if self.step is None else f"step {self.step}")
        return " · ".join(filter(None, parts))


class OpenSideBySide(Message):
    """Show two that are marked side by side."""

    def __init__(self, one: Mark, other: Mark) -> None:
        super().__init__()
        self.marks = (one, other)


class Copy(Message):
    """Put text on the clipboard; ``what`` names it in the message about how that went."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what


class OpenExperiment(Message):
    """Follow another experiment; ``over`` keeps the screen in front, to come back to it."""

    def __init__(self, experiment: Experiment, mode: Mode, *, over: bool = False) -> None:
        super().__init__()
        self.experiment = experiment
        self.mode: Mode = mode
        self.over = over


class OpenSweep(Message):
    """Show a sweep."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__()
        self.sweep = sweep


class OpenInspector(Message):
    """Show the heads of a run."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run


class OpenHeads(Message):
    """Show every head of a run over training, from a layer on."""

    def __init__(self, run: str, layer: int | None) -> None:
        super().__init__()
        self.run = run
        self.layer = layer


class OpenStepper(Message):
    """Show how a signal spreads over the heads of a run, from a place in its attention."""

    def __init__(
        self, run: str, step: int | None, layer: int = 0, input: int = 0, source: int = 0
    ) -> None:
        super().__init__()
        self.run = run
        self.step = step
        self.layer = layer
        self.input = input
        self.source = source
