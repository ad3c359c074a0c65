"""The driver's copy of an experiment that runs elsewhere: every event once, whatever was retried.

A worker that was lost leaves its last events behind its last checkpoint. The next attempt begins at
the checkpoint and sends the same steps again; what the log contains already is dropped, so that the
log has every event of every step exactly once, each with the attempt that sent it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.events import Event, EventReader, EventWriter, plain, revive
from synergy_tui.experiments.experiment import LOG, Experiment
from synergy_tui.experiments.retention import Retention
from synergy_tui.experiments.shapes import fits
from synergy_tui.experiments.state import ExperimentState, outline
from synergy_tui.files import write_whole
from synergy_tui.sweep.executors.remote import Packet

# These events of a run at a step are the same in every attempt.
ONCE_A_STEP = frozenset({"train_step", "probe", "simulated", "checkpoint", "run_finished"})
ONCE = frozenset({"experiment_started"})
ONCE_A_RUN = frozenset({"run_started"})
# What workers may write into, beside the log of tracebacks.
FOLDERS = ("attention", "checkpoints")
LONGEST_NAME = 240  # bytes


class Mirror:
    """Writes what a worker sends into the experiment on this machine, holding its lock.

    ``attempt`` is written into every event.
    """

    def __init__(self, experiment: Experiment, attempt: int) -> None:
        self.experiment = experiment
        self.attempt = attempt
        self._open = contextlib.ExitStack()
        self._open.enter_context(experiment.lock())
        self._seen: set[tuple[Any, ...]] = set()
        self._newest: dict[str, int] = {}
        self._alive: set[str] = set()
        self._state = ExperimentState(outline)
        for event in EventReader(experiment.events_path).read_all():
            self._remember(event)
            self._state.apply(event)
        scenario = experiment.scenario()
        self._runs = {run.name for run in scenario.runs}
        Retention(experiment, scenario.analysis.keep).follow(self._state)
        self._log = self._open.enter_context(EventWriter(experiment.events_path))

    def take(self, packet: Packet) -> None:
        """Write a packet: files first, so that no event names what is not there.

        A `UserError` says what about it cannot come from this experiment; nothing of it is written.
        """
        try:
            events = self._checked(packet)
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise UserError(
                f"{self.experiment.id}: its worker sent what cannot be written: {error}.",
                hint="Use the same Synergy on every host.",
            ) from error
        known = {e.get("attention") for e in events if self._key(e) in self._seen}
        for name, content in packet.files.items():
            if name in known:  # it was written then, and may have been superseded since
                continue
            target = self.experiment.path / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(target, content)
        self._write(events)

    def _checked(self, packet: Packet) -> list[Event]:
        """The events as a log has them; a `ValueError` where they or the files are not ours."""
        events: list[Event] = [revive(plain(event)) for event in packet.events]
        for event in events:
            if type(event.get("kind")) is not str or not fits(event):
                raise ValueError("an event of another shape")
            if event.get("run") is not None and event["run"] not in self._runs:
                raise ValueError("an event of a run that it does not have")
        for name, content in packet.files.items():
            folder, _, file = name.rpartition("/")
            if name != LOG and (
                folder not in FOLDERS
                or file in ("", ".", "..")
                or not file.isprintable()
                or len(file.encode()) > LONGEST_NAME
            ):
                raise ValueError("a file outside its attention and checkpoints")
            if type(content) is not bytes:
                raise TypeError("a file that is not bytes")
        if packet.exit_code is not None:
            ExitCode(packet.exit_code)
        if type(packet.reason) is not str:
            raise TypeError("a reason that is not text")
        return events

    def close(self, *, stopped: str = "") -> None:
        """Release the experiment; ``stopped`` says why, when it did not reach its end."""
        if stopped:
            for run in sorted(self._alive):
                step = self._newest.get(run, 0)
                self._log.write("run_stopped", run=run, step=step, reason=stopped)
            self._log.write(
                "experiment_finished",
                exit_code=int(ExitCode.TERMINATED),
                reason=stopped,
                verdict="",
            )
        self._open.close()

    def _write(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._key(event) in self._seen:
                continue
            if event["kind"] == "run_resumed":
                # The log keeps the later steps of the lost attempt: nothing is taken back.
                event = {
                    **event,
                    "checkpoint_step": event.get("step"),
                    "step": self._newest.get(event.get("run", ""), 0),
                }
            self._log.append({**event, "attempt": self.attempt})
            self._remember(event)
            self._state.apply(event)
            if event["kind"] == "checkpoint" and event.get("run"):
                self._prune(event["run"])

    def _key(self, event: Event) -> tuple[Any, ...] | None:
        kind = event["kind"]
        if kind in ONCE_A_STEP:
            return kind, event.get("run"), event.get("step")
        if kind in ONCE_A_RUN:
            return kind, event.get("run")
        if kind == "warning":
            return kind, event.get("run"), event.get("message")
        return (kind,) if kind in ONCE else None

    def _remember(self, event: Event) -> None:
        if (key := self._key(event)) is not None:
            self._seen.add(key)
        run = event.get("run")
        if run is None:
            return
        if event["kind"] in ("train_step", "probe"):
            self._newest[run] = max(self._newest.get(run, 0), event.get("step", 0))
        if event["kind"] in ("run_started", "run_resumed"):
            self._alive.add(run)
        elif event["kind"] in ("run_finished", "run_failed", "run_stopped"):
            self._alive.discard(run)

    def _prune(self, run: str) -> None:
        """Keep the newest checkpoints, as the trainer does at the other end."""
        from synergy_trainer.checkpoint import CheckpointFolder

        CheckpointFolder(self.experiment.path).prune(run)
