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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment, create_experiment, match_id
from synergy_tui.files import (
    clear_leftovers,
    damage,
    expand,
    home,
    make_private,
    make_whole,
    read_own,
    stamped,
    write_whole,
)
from synergy_tui.scenario import Scenario, load_scenario
from synergy_tui.scenario.sweep import Prediction
from synergy_tui.sweep.plan import PlannedPoint, Point

SCENARIO = "sweep.toml"
PLAN = "plan.json"


class Sweep:
    """A directory that contains one execution of a sweep; nothing is read before it is needed."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        return self.path / "sweep.jsonl"

    @property
    def log_path(self) -> Path:
        """What the driver and its libraries print."""
        return self.path / "sweep.log"

    def scenario(self) -> Scenario:
        return load_scenario(self.path / SCENARIO)

    @cached_property
    def scenario_title(self) -> str:
        return self.scenario().title

    @cached_property
    def points(self) -> list[PlannedPoint]:
        try:
            points = [PlannedPoint(**each) for each in self._plan["points"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.path / PLAN} cannot be read: {error}.") from error
        for point in points:
            # A point's name is a directory's, which must not lead out of the sweep.
            name = point.name
            if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
                raise UserError(f"{self.path / PLAN} cannot be read: {name!r} is not a name.")
        return points

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
        return {point.name: self.experiment(point.name).state() for point in self.points}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the sweep for running it."""
        holder = Experiment(self.path)
        with ExitStack() as held:
            try:
                held.enter_context(holder.lock())
            except UserError as error:
                worker = holder.worker()
                who = f"process {worker.pid} on {worker.host}" if worker else "another process"
                raise UserError(
                    f"Sweep {self.id} is being run by {who}.",
                    hint=f"Watch it with `synergy sweep {self.path} --watch`.",
                ) from error
            yield

    @property
    def running(self) -> bool:
        """Whether a live process runs it."""
        return Experiment(self.path).writer is not None

    def require_sound(self) -> None:
        """Raise a `UserError` where something in the directory is not what its name promises."""
        files = (SCENARIO, PLAN, self.events_path.name, self.log_path.name)
        if found := damage(self.path, files, ["points"]) or Experiment(self.path).damage:
            raise UserError(f"Sweep {self.id} is damaged: {found}.", hint=f"Repair {self.path}.")


def is_sweep(path: Path) -> bool:
    """Whether a directory contains a sweep that may be read, and is not being made or removed."""
    try:
        return (
            not path.name.startswith(".")
            and path.is_dir()
            and all(map(os.path.lexists, (path / PLAN, path / SCENARIO)))
        )
    except (OSError, ValueError):
        return False


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

    root = make_private(home(out))
    clear_leftovers(root)
    return Sweep(make_whole(stamped(root, scenario.name or "sweep"), fill))


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
    root = home(out)
    every = sorted(each for each in root.glob("*") if is_sweep(each)) if root.is_dir() else []
    if name == "last" and every:
        return Sweep(every[-1])
    found = match_id(name, [each.name for each in every])
    if found is None:
        raise UserError(f"There is no sweep '{name}' in {root}.")
    return Sweep(root / found)
