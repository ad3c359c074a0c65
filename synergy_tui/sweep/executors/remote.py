"""The far side of a cluster: runs one point in a folder of its own and streams all it writes.

Nothing is shared with the driver but what is passed: what the experiment contains so far comes in,
and every event goes out together with the files that it names (attention, checkpoints), the files
first. So the driver's copy can always be resumed from.
"""

from __future__ import annotations

import queue
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.events import Event
from synergy_tui.experiments.experiment import EVENTS, SCENARIO, Experiment
from synergy_tui.running.recorder import versions
from synergy_tui.running.runner import run_experiment
from synergy_tui.running.signals import Stopper

# Events are sent at least this often; a probe or a checkpoint is sent at once.
SEND_SECONDS = 0.5
LARGEST_PACKET = 4 * 2**20
URGENT = frozenset({"probe", "simulated", "checkpoint", "run_finished", "experiment_finished"})


@dataclass
class Packet:
    """One message to the driver."""

    events: list[Event] = field(default_factory=list)
    # Path relative to the experiment → content; written before the events.
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None  # in the last packet alone, and so the reason
    reason: str = ""
    node: str = ""  # in the first packet alone: where the point runs


def luggage(experiment: Experiment) -> dict[str, bytes]:
    """What a worker needs to begin or to resume: scenario, log, newest common checkpoints."""
    names = [SCENARIO, EVENTS]
    runs = [run.name for run in experiment.scenario().trained]
    if runs and experiment.checkpoints.is_dir():
        from synergy_trainer.checkpoint import CheckpointFolder

        folder = CheckpointFolder(experiment.path)
        newest = folder.common_steps(runs)[:1]
        names += [f"checkpoints/{folder.file(run, step).name}" for run in runs for step in newest]
        names += [f"checkpoints/{note.name}" for note in folder.path.glob("*.failed.json")]
    return {
        name: (experiment.path / name).read_bytes()
        for name in names
        if (experiment.path / name).is_file()
    }


def run_point(
    identity: str,
    brought: Mapping[str, bytes],
    device: str,
    threads: int,
    expected: Mapping[str, str],
) -> Iterator[Packet]:
    """Execute an experiment far from its directory, with what :func:`luggage` brought.

    The last packet has an exit code. Where the versions here are not the ``expected`` ones, nothing
    is run: its results would not be those of the other points.
    """
    if differing := _differing(expected):
        reason = f"host {socket.gethostname()} has {', '.join(differing)}"
        yield Packet(exit_code=int(ExitCode.BAD_INPUT), reason=reason)
        return
    with tempfile.TemporaryDirectory(prefix="synergy-point-") as scratch:
        experiment = Experiment(Path(scratch) / identity)
        for name, content in brought.items():
            target = experiment.path / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_bytes(content)
        stopper = Stopper()
        arriving: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        result: dict[str, Any] = {}

        def execute() -> None:
            try:
                result["code"] = run_experiment(
                    experiment,
                    device=device,
                    threads=threads,
                    should_stop=stopper,
                    listener=arriving.put,
                )
            except UserError as error:
                result.update(code=int(error.exit_code), reason=error.message)
            except BaseException as error:
                result.update(
                    code=int(ExitCode.RUN_FAILED), reason=f"{type(error).__name__}: {error}"
                )
            finally:
                arriving.put(None)

        worker = threading.Thread(target=execute, name="run the point")
        worker.start()
        try:
            yield from _packets(experiment, arriving)
        finally:
            # The driver has gone, or wants no more: end with a checkpoint that nobody will fetch.
            stopper.request("the driver asked for no more", int(ExitCode.TERMINATED))
            worker.join()
        log = experiment.log_path
        files = {log.name: log.read_bytes()} if log.is_file() else {}
        ending = experiment.ending() or {}
        reason = str(result.get("reason") or ending.get("reason") or "")
        yield Packet(files=files, exit_code=int(result["code"]), reason=reason)


def _differing(expected: Mapping[str, str]) -> list[str]:
    """What is installed here in another version than expected, each as a clause.

    Builds of one version (``2.13.0+cpu``) are the same version, and so are releases of one Python:
    Ray compares those itself.
    """
    found = versions()
    return [
        f"{name} {found.get(name, '(none)')} instead of {version}"
        for name, version in expected.items()
        if name != "python" and found.get(name, "").split("+")[0] != version.split("+")[0]
    ]


def _packets(experiment: Experiment, arriving: queue.SimpleQueue[Event | None]) -> Iterator[Packet]:
    packet, size, due = Packet(), 0, time.monotonic() + SEND_SECONDS
    while True:
        urgent = False
        try:
            event = arriving.get(timeout=max(0.01, due - time.monotonic()))
        except queue.Empty:
            pass
        else:
            if event is None:
                if packet.events:
                    yield packet
                return
            packet.events.append(event)
            urgent = event["kind"] in URGENT
            for name in _named_files(event):
                with suppress(FileNotFoundError):  # it may have been superseded meanwhile
                    packet.files[name] = (experiment.path / name).read_bytes()
                    size += len(packet.files[name])
        late = time.monotonic() >= due
        if packet.events and (urgent or late or size > LARGEST_PACKET):
            yield packet
            packet, size = Packet(), 0
        if urgent or late:
            due = time.monotonic() + SEND_SECONDS


def _named_files(event: Event) -> list[str]:
    """Files of the experiment that an event names, relative to it."""
    named = event.get("path") if event["kind"] == "checkpoint" else event.get("attention")
    return [named] if isinstance(named, str) and not Path(named).is_absolute() else []
