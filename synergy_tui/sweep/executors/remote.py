"""The far side of a cluster: runs points in folders of their own and streams all they write.

Nothing is shared with the driver but what is passed: what the experiments contain so far comes in,
and every event goes out together with the files that it names (attention, checkpoints), the files
first. So the driver's copies can always be resumed from.
"""

from __future__ import annotations

import queue
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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
    """One message to the driver, about one experiment."""

    experiment: str = ""  # its id; in the first packet none
    events: list[Event] = field(default_factory=list)
    # Path relative to the experiment → content; written before the events.
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None  # in an experiment's last packet alone, and so the reason
    reason: str = ""
    node: str = ""  # in the first packet alone: where the points run


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


def run_points(
    brought: Mapping[str, Mapping[str, bytes]],
    device: str,
    threads: int,
    expected: Mapping[str, str],
) -> Generator[Packet, object, None]:
    """Execute experiments far from their directories, several as one ensemble.

    ``brought`` is what :func:`luggage` returned for the id of each. The last packet of each has an
    exit code. Where the versions here are not the ``expected`` ones, nothing is run: its results
    would not be those of the other points.
    """
    if differing := _differing(expected):
        reason = f"host {socket.gethostname()} has {', '.join(differing)}"
        for identity in brought:
            yield Packet(identity, exit_code=int(ExitCode.BAD_INPUT), reason=reason)
        return
    with tempfile.TemporaryDirectory(prefix="synergy-points-") as scratch:
        experiments = {identity: Experiment(Path(scratch) / identity) for identity in brought}
        for identity, experiment in experiments.items():
            for name, content in brought[identity].items():
                target = experiment.path / name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                target.write_bytes(content)
        stopper = Stopper()
        arriving: queue.SimpleQueue[tuple[str, Event] | None] = queue.SimpleQueue()
        codes: list[int] = []
        reason = ""

        def execute() -> None:
            nonlocal codes, reason
            try:
                codes = _execute(
                    list(experiments.values()),
                    lambda experiment, event: arriving.put((experiment.id, event)),
                    device=device,
                    threads=threads,
                    should_stop=stopper,
                )
            except UserError as error:
                codes, reason = [int(error.exit_code)] * len(experiments), error.message
            except BaseException as error:
                codes = [int(ExitCode.RUN_FAILED)] * len(experiments)
                reason = f"{type(error).__name__}: {error}"
            finally:
                arriving.put(None)

        worker = threading.Thread(target=execute, name="run the points")
        worker.start()
        try:
            yield from _packets(experiments, arriving)
        finally:
            # The driver has gone, or wants no more: end with a checkpoint that nobody will fetch.
            stopper.request("the driver asked for no more", int(ExitCode.TERMINATED))
            worker.join()
        for (identity, experiment), code in zip(experiments.items(), codes, strict=True):
            log = experiment.log_path
            files = {log.name: log.read_bytes()} if log.is_file() else {}
            said = reason or str((experiment.ending() or {}).get("reason") or "")
            yield Packet(identity, files=files, exit_code=int(code), reason=said)


def _execute(
    experiments: list[Experiment], listener: Callable[[Experiment, Event], None], **how: Any
) -> list[int]:
    """Run one experiment, or several together; their exit codes."""
    if len(experiments) == 1:
        return [run_experiment(experiments[0], listener=partial(listener, experiments[0]), **how)]
    from synergy_tui.sweep.executors.ensemble import run_together

    return run_together(experiments, listener=listener, **how)


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


def _packets(
    experiments: Mapping[str, Experiment], arriving: queue.SimpleQueue[tuple[str, Event] | None]
) -> Generator[Packet, object, None]:
    waiting: dict[str, Packet] = {}
    due = time.monotonic() + SEND_SECONDS
    while True:
        try:
            arrived = arriving.get(timeout=max(0.01, due - time.monotonic()))
        except queue.Empty:
            pass
        else:
            if arrived is None:
                for packet in waiting.values():
                    yield packet
                return
            identity, event = arrived
            packet = waiting.setdefault(identity, Packet(identity))
            packet.events.append(event)
            for name in _named_files(event):
                with suppress(FileNotFoundError):  # it may have been superseded meanwhile
                    packet.files[name] = (experiments[identity].path / name).read_bytes()
            size = sum(map(len, packet.files.values()))
            if event["kind"] in URGENT or size > LARGEST_PACKET:
                yield waiting.pop(identity)
        if time.monotonic() >= due:
            for packet in waiting.values():  # `yield from` would pass on what Ray sends in
                yield packet
            waiting = {}
            due = time.monotonic() + SEND_SECONDS


def _named_files(event: Event) -> list[str]:
    """Files of the experiment that an event names, relative to it."""
    named = event.get("path") if event["kind"] == "checkpoint" else event.get("attention")
    return [named] if isinstance(named, str) and not Path(named).is_absolute() else []
