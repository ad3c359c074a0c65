"""The directory of a sweep: its plan, its log, and an ordinary experiment for every point.

::

    2026-11-23-154312-sweep_small/
      sweep.toml     the scenario with its [sweep], every default filled in
      plan.json      when it was made, the command, the predictions made by then, and the points:
                     name, seed, settings, runs
      sweep.jsonl    what was started and how it ended, one JSON object per line
      sweep.log      what the driver and its libraries print
      points/NAME/   experiments, as `synergy run` makes them

The truth about a point is its experiment; the sweep's log only lists attempts.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from synergy_tui.errors import UserError
from synergy_tui.experiments.events import Event, events_from_end, status_of
from synergy_tui.experiments.experiment import (
    Experiment,
    changed,
    create_experiment,
    folders,
    match_id,
    moment,
)
from synergy_tui.files import (
    clear_leftovers,
    damage,
    expand,
    home,
    make_home,
    make_whole,
    read_own,
    reference,
    stamped,
    write_whole,
)

if TYPE_CHECKING:
    from synergy_tui.experiments.worker import Worker
    from synergy_tui.scenario import Scenario
    from synergy_tui.scenario.sweep import Prediction
    from synergy_tui.sweep.plan import PlannedPoint, Point

SCENARIO = "sweep.toml"
PLAN = "plan.json"
EVENTS = "sweep.jsonl"
LOG = "sweep.log"


def _held(path: Path) -> Experiment:
    """The directory of a sweep, as one that a process locks and names itself in."""
    holder = Experiment(path)
    holder.noun = "Sweep"
    return holder


class Sweep:
    """A directory that contains one execution of a sweep; nothing is read before it is needed."""

    noun = "Sweep"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._held = _held(self.path)

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        return self.path / EVENTS

    @property
    def log_path(self) -> Path:
        """What the driver and its libraries print."""
        return self.path / LOG

    def scenario(self) -> Scenario:
        from synergy_tui.scenario import load_scenario

        return load_scenario(self.path / SCENARIO)

    @cached_property
    def scenario_title(self) -> str:
        return self.scenario().title

    @cached_property
    def points(self) -> list[PlannedPoint]:
        from synergy_tui.sweep.plan import PlannedPoint

        _ = self.names  # raises where one is not a name
        try:
            return [PlannedPoint(**each) for each in self._plan["points"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.path / PLAN} cannot be read: {error}.") from error

    @cached_property
    def names(self) -> list[str]:
        """The points' names, which are those of their directories."""
        try:
            names = [each["name"] for each in self._plan["points"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.path / PLAN} cannot be read: {error}.") from error
        for name in names:
            # It must not lead out of the sweep.
            if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
                raise UserError(f"{self.path / PLAN} cannot be read: {name!r} is not a name.")
        return names

    @cached_property
    def started(self) -> datetime.datetime:
        """When it was made, by its plan, else by the plan's age; aware, UTC."""
        try:
            made = datetime.datetime.fromisoformat(str(self._plan.get("made")))
            return made.astimezone(datetime.UTC)
        except (UserError, ValueError, OverflowError):
            return changed(self.path / PLAN)

    @property
    def made(self) -> tuple[datetime.datetime, int]:
        """Sorts experiments and sweeps by when they were made."""
        return moment(self.started, self.path / SCENARIO)

    @property
    def reference(self) -> str:
        """What a command can be given to find it: its id, or its path where it lies elsewhere."""
        return reference(self.path)

    @property
    def command(self) -> str:
        """What started it, and would start another like it."""
        return str(self._plan.get("command") or f"synergy sweep {self.id}/{SCENARIO}")

    @property
    def predictions(self) -> list[tuple[Prediction, str]]:
        """Every prediction, with when the plan that has it was made.

        The time is empty for one written into the scenario's copy later, and in older sweeps.
        """
        table = self.scenario().sweep
        planned = self._plan.get("predict") or []
        made = str(self._plan.get("made") or "")
        return [
            (each, made if each.model_dump(mode="json") in planned else "")
            for each in (table.predict if table else [])
        ]

    @cached_property
    def _plan(self) -> Mapping[str, Any]:
        try:
            plan = orjson.loads(read_own(self.path / PLAN))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / PLAN} cannot be read: {error}.") from error
        if not isinstance(plan, dict):
            raise UserError(f"{self.path / PLAN} cannot be read: it is not an object.")
        return plan

    def experiment(self, name: str) -> Experiment:
        """The experiment of a point."""
        return Experiment(self.path / "points" / name)

    def states(self) -> dict[str, str]:
        """Point → state of its experiment (``Experiment.state``)."""
        return {name: self.experiment(name).state() for name in self.names}

    @property
    def damage(self) -> str:
        """What makes the directory unusable, as a clause; empty where nothing does."""
        files = (SCENARIO, PLAN, EVENTS, LOG)
        if found := damage(self.path, files, ["points"]) or self._held.damage:
            return found
        for name in (SCENARIO, PLAN):
            if not (self.path / name).exists():
                return f"{name} is missing"
        try:
            return damage(self.path / "points", (), self.names)
        except UserError as error:
            return f"{PLAN} {error.message.partition(PLAN)[2].strip().rstrip('.')}"

    def require_sound(self) -> None:
        """Raise a `UserError` where the directory is damaged, or its log of a later version."""
        if found := self.damage:
            raise UserError(
                f"Sweep {self.id} is damaged: {found}.",
                hint=f"Repair that in {self.path}, or remove it all: "
                f"`synergy rm {self.reference}`.",
            )
        self.ending()

    def ending(self) -> Event | None:
        """Return the driver's closing event, unless another driver has begun after it."""
        for event in events_from_end(self.events_path):
            if event["kind"] == "sweep_finished":
                return event
            if event["kind"] == "sweep_started":
                return None
        return None

    @contextmanager
    def lock(self, *, announce: bool = True) -> Iterator[None]:
        """Hold the sweep for running it, or (without ``announce``) for removing it."""
        if announce:
            self.require_sound()
        with self._held.lock(announce=announce):
            yield

    @property
    def writer(self) -> Worker | None:
        """The live process on this machine that runs it."""
        return self._held.writer

    @property
    def running(self) -> bool:
        """Whether a live process runs it."""
        return self.writer is not None

    @property
    def idle(self) -> float:
        """Seconds since a log in it was written to, or since it was made."""
        logs = [self.events_path]
        with suppress(UserError):  # of a plan that is damaged
            logs += [self.experiment(name).events_path for name in self.names]
        times = [log.lstat().st_mtime for log in logs if os.path.lexists(log)]
        return time.time() - max(times, default=self.path.lstat().st_mtime)

    def state(self) -> str:
        """Return one of ``STATES``, as an experiment does.

        ``finished`` means that every point is; ``dead``, that its driver ended without closing the
        log. A driver on another machine counts as running while some log was written to within the
        last minute.
        """
        if self.damage:
            return "damaged"
        if self.running:
            return "running"
        try:
            ending = self.ending()
            worker = self._held.worker()
            if ending is not None and (state := status_of(ending.get("exit_code"))) == "finished":
                return state
            # Points may have been resumed one by one since.
            states = set(self.states().values())
            if states == {"finished"} or "running" in states:
                return states.pop() if len(states) == 1 else "running"
            if ending is not None:
                return status_of(ending.get("exit_code"))
            if worker is not None and not worker.here and abs(self.idle) < 60.0:
                return "running"
        except (UserError, OSError):
            return "damaged"
        return "dead" if self.events_path.exists() or worker is not None else "new"


def create_sweep(
    scenario: Scenario,
    points: Sequence[Point],
    out: str | Path | None = None,
    *,
    command: str | None = None,
) -> Sweep:
    """Make the directory of a sweep in ``out``, with a new experiment for every point.

    ``command`` is what would start another like it, for reports; the scenario in the directory when
    absent.
    """
    from synergy_tui.sweep.plan import PlannedPoint

    fields = [field.name for field in dataclasses.fields(PlannedPoint)]
    plan = {
        "v": 1,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "predict": [
            each.model_dump(mode="json")
            for each in (scenario.sweep.predict if scenario.sweep else [])
        ],
        "points": [{name: getattr(point, name) for name in fields} for point in points],
    }

    def fill(folder: Path) -> None:
        write_whole(folder / SCENARIO, scenario.as_toml())
        for point in points:
            create_experiment(point.scenario, folder / "points", identity=point.name)
        write_whole(folder / PLAN, orjson.dumps(plan, option=orjson.OPT_INDENT_2))

    root = make_home(out)
    clear_leftovers(root)
    return Sweep(make_whole(stamped(root, scenario.name or "sweep"), fill))


def is_sweep(path: Path) -> bool:
    """Whether a directory is meant to be a sweep (`Sweep.damage`), and is not being made."""
    try:
        return (
            not path.name.startswith(".")
            and path.is_dir()
            and any(map(os.path.lexists, (path / SCENARIO, path / EVENTS)))
        )
    except (OSError, ValueError):
        return False


def list_sweeps(out: str | Path | None = None) -> list[Sweep]:
    """Return the sweeps of a folder, oldest first; none when there is no folder yet."""
    return [Sweep(path) for path in folders(out) if is_sweep(path)]


def find_sweep(name: str, out: str | Path | None = None, *, damaged: bool = False) -> Sweep:
    """The sweep that a path, an id, a unique part of one, or ``last`` means.

    A `UserError` says what is wrong with one that is damaged, unless ``damaged`` ones will do.
    """
    found = _find(name, out)
    if not damaged:
        found.require_sound()
    return found


def _find(name: str, out: str | Path | None) -> Sweep:
    path = expand(name)
    if is_sweep(path):
        return Sweep(path)
    every = list_sweeps(out)
    if name == "last" and every:
        return max(every, key=lambda sweep: sweep.made)
    found = match_id(name, [each.id for each in every])
    if found is None:
        raise UserError(f"There is no sweep '{name}' in {home(out)}.")
    return Sweep(home(out) / found)
