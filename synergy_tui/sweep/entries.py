"""Experiments and sweeps alike: listed, found by name, summed up in a line."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from synergy_tui.errors import UserError, nearest
from synergy_tui.experiments import experiment as experiments
from synergy_tui.experiments.experiment import Experiment, list_experiments, match_id, name_in
from synergy_tui.experiments.summary import summary as experiment_summary
from synergy_tui.files import bytes_in, expand, home, remove_whole
from synergy_tui.sweep.directory import Sweep, is_sweep, list_sweeps
from synergy_tui.words import counted, size

Entry = Experiment | Sweep


def list_entries(out: str | Path | None = None) -> list[Entry]:
    """Return the experiments and sweeps of a folder, oldest first."""
    sweeps = list_sweeps(out)
    taken = {each.path for each in sweeps}
    found: list[Entry] = [each for each in list_experiments(out) if each.path not in taken]
    return sorted([*found, *sweeps], key=lambda each: each.id)


def find_entry(name: str, out: str | Path | None = None, *, damaged: bool = False) -> Entry:
    """Return the one experiment or sweep that ``name`` means, as `find_experiment` finds one.

    ``last`` is the newest of both; ``ID/points/NAME`` is a point of a sweep.
    """
    found = _find(name, out)
    if not damaged:
        found.require_sound()
    return found


def find_one_experiment(name: str, out: str | Path | None = None) -> Experiment:
    """Return the experiment that ``name`` means; a `UserError` where it means a sweep."""
    found = find_entry(name, out)
    if isinstance(found, Experiment):
        return found
    point = next(iter(found.names), "NAME")
    raise UserError(
        f"{found.id} is a sweep of {counted(len(found.names), 'point')}, not an experiment.",
        hint=f"Name one of its points, as in {found.reference}/points/{point}.",
    )


def _find(name: str, out: str | Path | None) -> Entry:
    if is_sweep(path := expand(name)):
        return Sweep(path)
    # A point is named as its sweep's `ls` names the sweep.
    inside = home(out) / path
    if len(path.parts) == 3 and path.parts[1] == "points" and is_sweep(inside.parents[1]):
        return Experiment(inside)
    if os.sep in name or name in (".", "..") or experiments.is_experiment(path):
        return experiments.find_experiment(name, out, damaged=True)
    every = {each.id: each for each in list_entries(out)}
    sound = [each for each in every.values() if not each.damage] if name == "last" else []
    if sound:
        return max(sound, key=lambda each: each.made)
    found = match_id(name, list(every))
    if found is not None:
        return every[found]
    near = nearest(name, list(every), cutoff=0.4)
    raise UserError(
        f"There is no experiment or sweep '{name}' in {home(out)}.",
        hint=f"Did you mean '{near}'?" if near else "`synergy ls` lists all there are.",
    )


def require_removable(entry: Entry) -> None:
    """Raise a `UserError` where an experiment or sweep runs, or is a part of something."""
    folder = entry.path.parent
    if folder.name == "points" and is_sweep(folder.parent):
        sweep = Sweep(folder.parent)
        raise UserError(
            f"{entry.id} is a point of the sweep {sweep.id}, whose plan and report count on it.",
            hint=f"Remove the whole sweep: `synergy rm {sweep.reference}`.",
        )
    if entry.state() == "running":
        theirs = isinstance(entry, Experiment) and entry.watched
        raise UserError(
            f"{entry.id} is running.",
            hint="It is your own training: end that first."
            if theirs
            else f"Stop it first: `synergy stop {entry.reference}`.",
        )


def contents(entry: Entry) -> str:
    """What would be lost with an experiment or sweep, for the question whether to remove it."""
    parts = [f"{size(bytes_in(entry.path))} on disk"]
    if isinstance(entry, Sweep):
        with suppress(UserError):  # of a plan that is damaged
            parts.append(counted(len(entry.names), "point"))
        return ", ".join(parts)
    for noun, pattern in (("checkpoint", "checkpoints/*"), ("attention file", "attention/*")):
        if found := len(list(entry.path.glob(pattern))):
            parts.append(counted(found, noun))
    return ", ".join(parts)


def remove(entry: Entry) -> None:
    """Remove a directory with everything in it, or the link to it."""
    path = entry.path
    try:
        if path.is_symlink():
            path.unlink()
            return
        with entry.lock(announce=False):
            remove_whole(path)
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror or error}.") from error


def summary(entry: Entry) -> dict[str, Any]:
    """Return what ``synergy ls --json`` prints for one; nothing in it stops this."""
    if isinstance(entry, Experiment):
        return {"kind": "experiment", **experiment_summary(entry), "points": None}
    found: dict[str, Any] = {
        "kind": "sweep",
        "id": entry.id,
        "scenario": name_in(entry.id),
        "state": "damaged",
        "started": entry.started.isoformat(timespec="seconds"),
        "path": str(entry.path),
        "exit_code": None,
        "reason": "",
        "verdict": "",
        "elapsed": None,
        "heads": [],
        "task": None,
        "loss": [],
        "signs": "",
        "problem": entry.damage,
        "points": None,
    }
    if found["problem"]:
        return found
    try:
        ending = entry.ending() or {}
        state, total = entry.state(), len(entry.names)
        done = sum(each == "finished" for each in entry.states().values())
        return found | {
            "state": state,
            "exit_code": ending.get("exit_code"),
            "verdict": f"sweep: {done} of {counted(total, 'point')} finished",
            "elapsed": ending.get("t"),
            "points": total,
        }
    except UserError as error:
        return found | {"problem": error.message}
    except OSError as error:
        return found | {"problem": f"it cannot be read: {error.strerror or error}"}
