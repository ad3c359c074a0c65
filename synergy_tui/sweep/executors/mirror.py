"""The driver's copy of an experiment that runs elsewhere: every event once, whatever was retried.

A worker that was lost leaves its last events behind its last checkpoint. The next attempt begins at
the checkpoint and sends the same steps again; what the log contains already is dropped, so that the
log has every event of every step exactly once, each with the attempt that sent it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import Event, EventReader, EventWriter
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.retention import Retention
from synergy_tui.experiments.state import ExperimentState, outline
from synergy_tui.files import write_whole
from synergy_tui.sweep.executors.remote import Packet

# These events of a run at a step are the same in every attempt.
ONCE_A_STEP = frozenset({"train_step", "probe", "simulated", "checkpoint", "run_finished"})
ONCE = frozenset({"experiment_started"})
ONCE_A_RUN = frozenset({"run_started"})


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
        Retention(experiment, experiment.scenario().analysis.keep).follow(self._state)
        self._log = self._open.enter_context(EventWriter(experiment.events_path))

    def take(self, packet: Packet) -> None:
        """Write a packet: files first, so that no event names what is not there."""
        known = {e.get("attention") for e in packet.events if self._key(e) in self._seen}
        for name, content in packet.files.items():
            if name in known:  # it was written then, and may have been superseded since
                continue
            target = (self.experiment.path / name).resolve()
            if not target.is_relative_to(self.experiment.path.resolve()):
                raise ValueError(f"a worker named a file outside its experiment: {name}")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(target, content)
        self._write(packet.events)

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
                    "step": self._newest.get(event["run"], 0),
                }
            self._log.append({**event, "attempt": self.attempt})
            self._remember(event)
            self._state.apply(event)
            if event["kind"] == "checkpoint":
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
            self._newest[run] = max(self._newest.get(run, 0), int(event["step"]))
        if event["kind"] in ("run_started", "run_resumed"):
            self._alive.add(run)
        elif event["kind"] in ("run_finished", "run_failed", "run_stopped"):
            self._alive.discard(run)

    def _prune(self, run: str) -> None:
        """Keep the newest checkpoints, as the trainer does at the other end."""
        from synergy_trainer.checkpoint import CheckpointFolder

        CheckpointFolder(self.experiment.path).prune(run)
