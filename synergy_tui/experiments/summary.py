"""An experiment in one row of a list, from the two ends of its log: no log is read whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from synergy_tui.errors import UserError
from synergy_tui.experiments.events import events_from_end
from synergy_tui.experiments.experiment import Experiment, changed, name_in
from synergy_tui.experiments.verdict import signs_in


def summary(experiment: Experiment) -> dict[str, Any]:
    """Return what ``synergy ls --json`` prints for an experiment; nothing in it stops this.

    ``heads`` and ``loss`` have a number for each run, in the scenario's order. A loss is the newest
    that was reported: of held-out sequences at a probe, else in training; ``None`` for none.
    """
    problem = experiment.damage
    found: dict[str, Any] = {
        "id": experiment.id,
        "scenario": name_in(experiment.id),
        "state": "damaged",
        "started": changed(experiment.path).isoformat(timespec="seconds"),
        "path": str(experiment.path),
        "exit_code": None,
        "reason": "",
        "verdict": "",
        "elapsed": None,
        "watched": False,
        "heads": [],
        "task": None,
        "loss": [],
        "signs": "",
        "problem": problem,
    }
    if problem:
        return found
    try:
        ending = experiment.ending() or {}
        verdict = ending.get("verdict") or ""
        return found | {
            "scenario": experiment.scenario_name,
            "state": experiment.state(),
            "started": experiment.started.isoformat(timespec="seconds"),
            "exit_code": ending.get("exit_code"),
            "reason": ending.get("reason") or "",
            "verdict": verdict,
            "elapsed": ending.get("t"),
            "watched": experiment.watched,
            "signs": signs_in(verdict),
            **_runs(experiment),
        }
    except UserError as error:
        return found | {"problem": error.message}
    except OSError as error:
        return found | {"problem": f"it cannot be read: {error.strerror or error}"}


def _runs(experiment: Experiment) -> dict[str, Any]:
    """Heads, task and newest losses of the runs."""
    heads: dict[str, int] = {}
    learning: set[str] = set()
    tasks: list[str] = []
    for event in experiment.first_events:
        if event["kind"] == "experiment_started":
            listed = event.get("runs")
            for run in listed if isinstance(listed, list) else ():
                known: Mapping[str, Any] = run if isinstance(run, Mapping) else {"name": run}
                heads[str(known.get("name"))] = _count(known.get("heads"))
                if known.get("kind_of_run", "trained") in ("trained", "watched"):
                    learning.add(str(known.get("name")))
        elif event["kind"] == "run_started":
            heads[str(event.get("run"))] = _count(event.get("heads"))
            if event.get("task"):
                tasks.append(str(event["task"]))
    losses = _newest_losses(experiment, learning)
    return {
        "heads": list(heads.values()),
        "task": ", ".join(dict.fromkeys(tasks)) or None,
        "loss": [losses.get(name) for name in heads] if losses else [],
    }


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _newest_losses(experiment: Experiment, runs: Iterable[str]) -> dict[str, float]:
    wanted, found = set(runs), dict[str, float]()
    for event in events_from_end(experiment.events_path) if wanted else ():
        name, loss = event.get("run"), event.get("loss")
        reported = event["kind"] == "train_step" or event.get("eval_sequences")
        if name in wanted and reported and isinstance(loss, int | float):
            found[name] = float(loss)
            wanted.discard(name)
            if not wanted:
                break
    return found
