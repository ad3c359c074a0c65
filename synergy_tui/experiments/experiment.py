"""Experiment directories: made, found, locked, and asked whether their worker still lives."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from synergy_tui.errors import ExitCode, UserError, nearest
from synergy_tui.experiments import kinds
from synergy_tui.experiments.events import Event, EventReader, events_from_end, status_of
from synergy_tui.experiments.worker import LOCK, Worker
from synergy_tui.files import (
    FILE_MODE,
    clear_leftovers,
    damage,
    expand,
    home,
    make_home,
    make_whole,
    read_own,
    reference,
    require_file,
    stamped,
    write_whole,
)

if TYPE_CHECKING:
    import numpy as np

    from synergy_tui.experiments.state import ExperimentState
    from synergy_tui.scenario import Scenario

SCENARIO = "scenario.toml"
EVENTS = "events.jsonl"
WORKER = "worker.json"
LOG = "worker.log"  # tracebacks, and what libraries print
RESERVE = ".reserve"  # disk set aside for the closing events
_FILES = (SCENARIO, EVENTS, WORKER, LOCK, LOG, RESERVE)
_FOLDERS = ("attention", "checkpoints", "exports")
STATES = ("running", "finished", "failed", "stopped", "dead", "new", "damaged")
# Files that are written aside, here and by the trainer, and the common folder of an ensemble.
_HALF_WRITTEN = re.compile(r"\..+\.([a-z0-9_]{8}|partial)|\.together")


class Experiment:
    """A directory with one execution of a scenario; nothing is read until it is asked for."""

    noun = "Experiment"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.id = self.path.name
        self.events_path = self.path / EVENTS
        self.scenario_path = self.path / SCENARIO
        self.log_path = self.path / LOG
        self.checkpoints = self.path / "checkpoints"

    def __repr__(self) -> str:
        return f"Experiment({str(self.path)!r})"

    @property
    def reference(self) -> str:
        """What a command can be given to find it: its id, or its path where it lies elsewhere."""
        return reference(self.path)

    @property
    def damage(self) -> str:
        """What makes the directory unusable, as a clause; empty where nothing does."""
        found = damage(self.path, _FILES, _FOLDERS)
        if found:
            return found
        for name in (SCENARIO, EVENTS):
            path = self.path / name
            if path.exists() and not os.access(path, os.R_OK):
                return f"{name} cannot be read (permission denied)"
        if (self.path / WORKER).exists() and self.worker() is None:
            # It is removed when a worker ends, perhaps between the two looks.
            return f"{WORKER} names no process" if (self.path / WORKER).exists() else ""
        return ""

    def require_sound(self) -> None:
        """Raise a `UserError` where the directory is damaged, or its log of a later version."""
        if found := self.damage:
            raise UserError(
                f"{self.noun} {self.id} is damaged: {found}.",
                hint=f"Repair that in {self.path}, or remove it all: "
                f"`synergy rm {self.reference}`.",
            )
        self.ending()

    def scenario(self) -> Scenario:
        """Read the resolved scenario; a `UserError` says that it is missing or damaged."""
        from synergy_tui.scenario import load_scenario

        return load_scenario(self.scenario_path)

    def fold(self) -> ExperimentState:
        """Read the whole log into a state; runs whose process died without ending them stopped."""
        from synergy_tui.experiments.state import ExperimentState

        state = ExperimentState.read(self.events_path)
        state.id = state.id or self.id
        if state.live and self.state() == "dead":
            state.abandon("its process ended without closing the log")
        return state

    @cached_property
    def first_events(self) -> list[Event]:
        """The events that the log begins with: scenario and runs, and how the runs were started."""
        return EventReader(self.events_path).read(limit_bytes=16 * 1024)

    @property
    def first_event(self) -> Event | None:
        """The log's first event, which names scenario and runs, where it is of that kind."""
        first = next(iter(self.first_events), None)
        return first if first and first["kind"] == kinds.ExperimentStarted.kind else None

    @property
    def started(self) -> datetime.datetime:
        """When it was made, by its log, else by the directory's age; aware, UTC."""
        started = (self.first_event or {}).get("started")
        try:
            return datetime.datetime.fromisoformat(str(started)).astimezone(datetime.UTC)
        except (ValueError, OverflowError):
            return changed(self.path)

    @property
    def made(self) -> tuple[datetime.datetime, int]:
        """Sorts experiments and sweeps by when they were made."""
        return moment(self.started, self.path / SCENARIO)

    @property
    def scenario_name(self) -> str:
        """The scenario's name, from the log or from the directory's."""
        name = (self.first_event or {}).get("scenario")
        return str(name) if name else name_in(self.id)

    @property
    def watched(self) -> bool:
        """Whether it is written by somebody's own training, which is never signalled or resumed."""
        try:
            worker, runs = self.worker(), (self.first_event or {}).get("runs", ())
        except (OSError, UserError):  # a damaged entry, which `state` describes
            return False
        return (worker is not None and worker.watched) or any(
            isinstance(run, dict) and run.get("kind_of_run") == "watched" for run in runs
        )

    def require_ours(self) -> None:
        """Raise a `UserError` where this is somebody's own training, which is theirs to run."""
        if not self.watched:
            return
        worker = self.writer
        who = f" (process {worker.pid} on {worker.host})" if worker else ""
        raise UserError(
            f"Experiment {self.id} is written by your own training{who}, which Synergy never "
            "stops or resumes.",
            hint="Stop or continue the training itself; `into=` of synergy_tui.watch appends to "
            "this experiment.",
        )

    def ending(self) -> Event | None:
        """Return the closing event, unless the experiment was resumed after it."""
        for event in events_from_end(self.events_path):
            if event["kind"] == "experiment_finished":
                return event
            if event["kind"] in ("run_started", "run_resumed", "train_step"):
                return None
        return None

    def worker(self) -> Worker | None:
        """Return the process that last took charge of this experiment."""
        try:
            record = orjson.loads(read_own(self.path / WORKER, most=4096))
            pid, uptime = record["pid"], record.get("uptime")
            # Signals to 0, -1 and other negative ids reach many processes.
            if type(pid) is not int or not 0 < pid < 2**31:
                return None
            return Worker(
                pid,
                float(record["created"]),
                str(record["host"]),
                None if uptime is None else float(uptime),
                record.get("watched") is True,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None

    @property
    def writer(self) -> Worker | None:
        """The live process on this machine that has the experiment's lock."""
        worker = self.worker()
        if worker is None or not worker.alive or not worker.holds(self.path):
            return None
        return worker

    def state(self) -> str:
        """Return one of `STATES`.

        ``damaged`` means that something in it is not what its name promises (`damage`); ``dead``,
        that its worker ended without closing the log (killed, or a power cut), and ``synergy
        resume`` continues from the last checkpoint. A worker on another machine counts as running
        while the log was written to within the last minute.
        """
        if self.damage:
            return "damaged"
        if self.writer is not None:
            return "running"
        worker = self.worker()
        try:
            ending = self.ending()
        except (UserError, OSError):
            return "damaged"
        if ending is not None:
            return status_of(ending.get("exit_code"))
        if worker is not None and not worker.here and self._written_within(60.0):
            return "running"
        if worker is None and not self.events_path.exists():
            return "new"
        return "dead"

    @property
    def idle(self) -> float:
        """Seconds since its log was written to, or since it was made; negative by a clock that was
        set back.
        """
        log = self.events_path if os.path.lexists(self.events_path) else self.path
        return time.time() - log.lstat().st_mtime

    def _written_within(self, seconds: float) -> bool:
        try:
            return self.events_path.exists() and abs(self.idle) < seconds
        except OSError:
            return False

    @contextmanager
    def lock(self, *, announce: bool = True, watched: bool = False) -> Iterator[None]:
        """Hold the experiment for writing; a `UserError` says that another process holds it.

        ``announce`` writes down that this process is its worker; not for removing it, which must
        work on a full disk too, and on what is damaged. ``watched``: it is somebody's own training.
        """
        import filelock

        if announce:
            self.require_sound()
        elif damage(self.path, [LOCK]):
            yield  # what is there cannot be locked, so nobody holds it
            return
        guard = filelock.FileLock(self.path / LOCK, timeout=0, mode=FILE_MODE)
        try:
            guard.acquire()
        except filelock.Timeout as error:
            worker = self.worker()
            who = f"process {worker.pid} on {worker.host}" if worker else "another process"
            raise UserError(
                f"{self.noun} {self.id} is being written by {who}.",
                hint=f"Watch it with `synergy attach {self.reference}`"
                + (
                    f", or end it with `synergy stop {self.reference}`."
                    if not self.watched
                    else "."
                ),
            ) from error
        except (OSError, NotImplementedError) as error:  # the latter: a disk without locks
            raise UserError(
                f"{self.noun} {self.id} cannot be written: {getattr(error, 'strerror', error)}."
            ) from error
        try:
            if announce:
                self._clear_leftovers()
                self._announce(watched)
            yield
        finally:
            # A process may continue with other experiments; it is not the worker of this one now.
            with suppress(OSError):
                (self.path / WORKER).unlink(missing_ok=True)
            guard.release()

    def _clear_leftovers(self) -> None:
        """Remove what a process that was killed had half written; nobody else writes, by the lock.

        A folder that is a link is not ours to clear.
        """
        for folder in (self.path, self.path / "attention", self.checkpoints):
            with suppress(OSError):
                found = [] if folder != self.path and folder.is_symlink() else folder.glob(".*")
                for path in filter(lambda path: _HALF_WRITTEN.fullmatch(path.name), found):
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)

    def _announce(self, watched: bool) -> None:
        record = orjson.dumps(asdict(Worker.this_process(watched=watched)))
        try:
            write_whole(self.path / WORKER, record)
        except OSError as error:
            raise UserError(
                f"{self.noun} {self.id} cannot be written: {error.strerror or error}.",
                hint=f"Make room, then continue with `synergy resume {self.reference}`.",
                exit_code=ExitCode.RUN_FAILED,
            ) from error

    def attention(self, path: str) -> dict[str, np.ndarray]:
        """Read the tensors of an attention file that an event names; see `load_snapshot`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            file = (self.path / path).resolve()
            if not file.is_relative_to(self.path.resolve()):
                raise UserError(f"The event names a file outside its experiment: {path}.")
            file.lstat()  # one that is absent has words of its own
            require_file(file)
            return load_file(file)
        except FileNotFoundError as error:
            raise UserError(
                f"{path} was not kept (see keep in [analysis]), or has been removed."
            ) from error
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"Attention file {path} cannot be read: {error}.") from error


def create_experiment(
    scenario: Scenario, out: str | Path | None = None, *, identity: str | None = None
) -> Experiment:
    """Make an experiment directory in the folder ``out`` (see :func:`synergy_tui.files.home`).

    The scenario is written to ``scenario.toml`` with every default filled in. ``identity`` names
    the directory, which must not exist yet; without one: date, time, scenario.
    """
    root = make_home(out)
    clear_leftovers(root)
    names = stamped(root, scenario.name or "experiment") if identity is None else [root / identity]
    text = scenario.as_toml()
    return Experiment(make_whole(names, lambda folder: write_whole(folder / SCENARIO, text)))


def is_experiment(path: Path) -> bool:
    """Whether a directory is meant to be an experiment (`Experiment.damage`) and may be read."""
    try:
        return path.is_dir() and any(map(os.path.lexists, (path / EVENTS, path / SCENARIO)))
    except (OSError, ValueError):
        return False


def list_experiments(out: str | Path | None = None) -> list[Experiment]:
    """Return the experiments of a folder, oldest first; none when there is no folder yet.

    Names that begin with a dot are experiments being made or removed, and are left out.
    """
    return [
        Experiment(path)
        for path in folders(out)
        if not path.name.startswith(".") and is_experiment(path)
    ]


def folders(out: str | Path | None) -> list[Path]:
    """What is in the folder ``out``, by name; nothing when there is no folder yet."""
    root = home(out)
    try:
        return sorted(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise UserError(f"{root} cannot be read: {error.strerror}.") from error


def find_experiment(
    name: str, out: str | Path | None = None, *, damaged: bool = False
) -> Experiment:
    """Return the one experiment in the folder ``out`` that ``name`` means.

    That is a directory, an id, what is unique of an id (its beginning, else any part), or ``last``.
    A `UserError` says what is wrong with one that is damaged, unless ``damaged`` ones will do.
    """
    found = _find(name, out)
    if not damaged:
        found.require_sound()
    return found


def _find(name: str, out: str | Path | None) -> Experiment:
    if (os.sep in name or name in (".", "..")) or is_experiment(Path(name)):
        path = expand(name)
        if is_experiment(path):
            return Experiment(path)
        raise UserError(f"{path} is not an experiment.", hint="`synergy ls` lists all there are.")
    every = list_experiments(out)
    sound = [each for each in every if not each.damage] if name == "last" else []
    if sound:
        return max(sound, key=lambda each: each.made)
    found = match_id(name, [each.id for each in every])
    if found is not None:
        return next(each for each in every if each.id == found)
    near = nearest(name, [each.id for each in every], cutoff=0.4)
    raise UserError(
        f"There is no experiment '{name}' in {home(out)}.",
        hint=f"Did you mean '{near}'?" if near else "`synergy ls` lists all there are.",
    )


def match_id(name: str, ids: Sequence[str]) -> str | None:
    """Return the id that is, else that alone begins with, else that alone contains ``name``."""
    for found in (
        [each for each in ids if each == name],
        [each for each in ids if each.startswith(name)],
        [each for each in ids if name in each],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise UserError(
                f"'{name}' could mean {', '.join(found[:5])}{more}.", hint="Give more of the name."
            )
    return None


def name_in(identity: str) -> str:
    """Return the scenario's name in a directory's, without date, time and number."""
    return re.sub(r"^[\d-]*-|(?<=\w)-\d+$", "", identity)


def moment(started: datetime.datetime, scenario: Path) -> tuple[datetime.datetime, int]:
    """Sorts experiments and sweeps by when they were made.

    Logs count whole seconds; within one, the scenario's file says which was written first.
    """
    try:
        written = scenario.stat().st_mtime_ns
    except OSError:
        written = 0
    return started.replace(microsecond=0), written


def changed(path: Path) -> datetime.datetime:
    """Return when ``path`` was changed, aware, UTC; 1970 where its file system has no such year."""
    try:
        return datetime.datetime.fromtimestamp(path.stat().st_mtime, tz=datetime.UTC)
    except (OSError, ValueError, OverflowError):
        return datetime.datetime.fromtimestamp(0, tz=datetime.UTC)
