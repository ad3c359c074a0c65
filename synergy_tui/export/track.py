"""Sends what a log holds to a tracker while it is written, from a process of its own.

``python -m synergy_tui.export.track DIR TRACKER`` ends by itself when the log does. Whatever a
tracker does (fail, hang, print, fill memory), the run neither knows nor waits.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from synergy_tui.console import echo
from synergy_tui.errors import UserError, require
from synergy_tui.experiments.events import Event, EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import REPORTED
from synergy_tui.export.tensorboard import probe_scalars, scalar_event

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb"}
"""Tracker → the extra that installs it."""
POLL_SECONDS = 0.5
END_SECONDS = 60.0
"""How long who started a tracker waits for it in the end."""


class Sink(Protocol):
    """Where the scalars go."""

    def add(self, run: str, step: int, scalars: dict[str, float], moment: float) -> None:
        """Take scalars of a run; ``moment``: seconds since 1970."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files below ``exports/tensorboard`` of the experiment, a folder per run."""

    def __init__(self, experiment: Experiment) -> None:
        self._writer = require("tensorboard.summary.writer.event_file_writer", "tensorboard")
        self._folder = experiment.path / "exports" / "tensorboard"
        self._files: dict[str, Any] = {}

    def add(self, run: str, step: int, scalars: dict[str, float], moment: float) -> None:
        name = re.sub(r"[^\w-]+", "_", run)
        if name not in self._files:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
            self._files[name] = self._writer.EventFileWriter(str(self._folder / name))
        for tag, value in scalars.items():
            self._files[name].add_event(scalar_event(tag, step, value, moment))
        self._files[name].flush()

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class WandB:
    """A Weights & Biases run per run, grouped by experiment; ``WANDB_MODE=offline`` is heeded."""

    def __init__(self, experiment: Experiment) -> None:
        self._wandb = require("wandb", "wandb")
        self._experiment = experiment
        self._runs: dict[str, Any] = {}

    def add(self, run: str, step: int, scalars: dict[str, float], moment: float) -> None:
        if run not in self._runs:
            folder = self._experiment.path / "exports"
            folder.mkdir(exist_ok=True)
            self._runs[run] = self._wandb.init(
                project="synergy",
                group=self._experiment.id,
                name=run,
                dir=str(folder),
                reinit="create_new",
            )
        self._runs[run].log({**scalars, "step": step, "moment": moment})

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()
        self._wandb.teardown()  # `finish` returns before everything is in its file


SINKS: dict[str, Callable[[Experiment], Sink]] = {"tensorboard": TensorBoard, "wandb": WandB}


def scalars(event: Event) -> Iterator[tuple[str, float]]:
    """Yield tags and numbers of an event: ``train/loss``, ``overall/<measure>``, ``layer-1/…``."""
    if event["kind"] == "train_step":
        for name in REPORTED:
            if event.get(name) is not None:
                yield f"train/{name}", float(event[name])
    elif event["kind"] in ("probe", "simulated"):
        yield from probe_scalars([*event["layers"], event["overall"]])


def require_tracker(name: str) -> None:
    """Raise a `UserError` where a tracker is not installed."""
    require(TRACKERS[name], TRACKERS[name])


def start(experiment: Experiment, tracker: str) -> subprocess.Popen[bytes]:
    """Start the process that follows an experiment; what it prints goes to ``worker.log``."""
    with experiment.log_path.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "synergy_tui.export.track", str(experiment.path), tracker],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def ended(tracking: subprocess.Popen[bytes], tracker: str, experiment: Experiment) -> str:
    """Let a tracker send what is left; return what there is to say about it, if anything."""
    try:
        code = tracking.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return f"--track {tracker} still sends what is left, in the background"
    return f"--track {tracker} failed; see {experiment.log_path}" if code else ""


def follow(experiment: Experiment, sink: Sink, poll: float = POLL_SECONDS) -> int:
    """Send a log to ``sink`` until its closing event, or its writer is gone; return how many."""
    reader, start, count = EventReader(experiment.events_path), None, 0
    try:
        while True:
            # Asked before reading, so that what was written last is read.
            over = experiment.state() not in ("new", "running")
            events = list(reader.read_all())
            if events and start is None:
                start = Experiment(experiment.path).started.timestamp()
            for event in events:
                found = dict(scalars(event))
                if found:
                    sink.add(event["run"], event["step"], found, (start or 0.0) + event["t"])
                    count += len(found)
            if over:
                return count
            time.sleep(poll)
    finally:
        sink.close()


def main() -> int:
    """Follow the experiment in the folder ``argv[1]`` with the tracker ``argv[2]``."""
    folder, tracker = sys.argv[1:]
    try:
        experiment = Experiment(Path(folder))
        count = follow(experiment, SINKS[tracker](experiment))
    except UserError as error:
        echo(f"--track {tracker}: {error.message}", err=True)
        return int(error.exit_code)
    echo(f"--track {tracker}: {count} scalars", err=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
