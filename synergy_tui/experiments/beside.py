"""Two runs of any experiments side by side: one state of both, and what keeps them apart.

Runs of one experiment share seed, batches and task. Those of two do only where their scenarios say
so, and a verdict is given only then: :func:`unlike` lists what differs beside the heads.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from synergy_tui.errors import UserError
from synergy_tui.experiments import comparison
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import conventions
from synergy_tui.experiments.state import ExperimentState, RunState
from synergy_tui.files import read_text
from synergy_tui.words import clean, number

NAMES = ("A", "B")

_COMPUTING = ("deterministic", "tf32", "cuda_graphs", "compile")
_REPORTING = ("name", "note", "checkpoint_every", "probe_every", "probe_at", "probe_inputs")
# The heading says whether the parameters differ that pay for the heads.
_HEADS = ("heads", "mlp")
_WITHOUT_CONSEQUENCE = {*_COMPUTING, *_REPORTING, "ablate", "norms", *_HEADS}

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """A run, and what its scenario says of it (empty where there is none)."""

    run: RunState
    settings: Settings
    step: int | None = None
    """The one moment of it that is meant; ``None`` for all its training."""


def settings_of(experiment: Experiment, run: str) -> Settings:
    """Return what the resolved scenario of an experiment says of a run; nothing if unreadable."""
    try:
        table = tomllib.loads(read_text(experiment.scenario_path))
        runs: list[Settings] = table.get("runs", [])
        own: Settings = next((each for each in runs if each.get("name") == run), {})
        return {"seed": table.get("seed"), **table.get("train", {}), **own}
    except (UserError, OSError, ValueError, RecursionError, AttributeError, TypeError):
        return {}


def pair(sides: tuple[Side, Side]) -> ExperimentState:
    """Return a state in which the two are the only runs, named A and B; it shares their numbers."""
    state = ExperimentState()
    state.status = "running"
    for place, side in enumerate(sides):
        run = side.run
        if side.step is not None:
            probe = run.probe_at(side.step)
            run = replace(run, probes=[probe] if probe else [])
        name = f"{NAMES[place]} {run.name}"
        state.runs[name] = replace(run, name=name, index=place)
    return state


def unlike(sides: tuple[Side, Side], *, same: bool = False) -> list[str]:
    """Return what differs between two runs beside their heads, as phrases, what matters most first.

    ``same``: they are the same run.
    """
    one, other = sides
    if same:
        return [] if one.step == other.step else ["the same run at two steps"]
    found = []
    kinds = [side.run.kind for side in sides]
    if "watched" in kinds:
        return ["of a training that is watched neither seed nor batches are known"]
    if kinds[0] != kinds[1]:
        found.append(_other("kind of run", *kinds))
    if kinds == ["trained", "trained"]:
        found += _settings_apart(one, other)
        changes = [_changes(side.run, one.run.heads == other.run.heads) for side in sides]
        if changes[0] != changes[1]:
            found.append("other interventions")
    if one.run.nodes != other.run.nodes and not found:
        found.append(_other("number of nodes", one.run.nodes, other.run.nodes))
    measured = [conventions(side.run.probe) for side in sides if side.run.probe]
    if len(measured) == 2:
        found += [
            _other(f"convention, {key}", *(each[key] for each in measured))
            for key in measured[0]
            if measured[0][key] != measured[1][key]
        ]
    return found


def _changes(run: RunState, diverse: bool) -> dict[str, str]:
    """What was changed about the heads; their diversity is what may be compared at equal heads."""
    return {
        key: str(value)
        for key, value in run.interventions.items()
        if not (diverse and key == "head_diversity")
    }


def _settings_apart(one: Side, other: Side) -> list[str]:
    """The keys of scenarios in which two trainings differ; task and seed come first."""
    known = [
        {"task": side.run.task, "seed": side.run.seed, **side.settings} for side in (one, other)
    ]
    changed = set(one.run.interventions) | set(other.run.interventions)
    keys = dict.fromkeys(["task", "seed", "batch", *known[0], *known[1]])
    if not (one.settings and other.settings):
        return ["what they were trained with is not known: scenario.toml cannot be read"]
    return [
        _other(key.replace("_", " "), *(each.get(key) for each in known))
        for key in keys
        if key not in _WITHOUT_CONSEQUENCE | changed and known[0].get(key) != known[1].get(key)
    ]


def _other(what: str, one: Any, other: Any) -> str:
    return f"other {what} ({clean(number(one))}, {clean(number(other))})"


def refusal(sides: tuple[Side, Side], *, same: bool = False) -> str:
    """Return why no verdict can be given about two runs; empty where one can."""
    found = unlike(sides, same=same)
    if not found and not any(_pairs(sides)):
        found = ["they do not differ in their heads"]
    return f"no verdict: {', '.join(found)}" if found else ""


def _pairs(sides: tuple[Side, Side]) -> tuple[list[comparison.Pair], list[comparison.Pair]]:
    runs = list(pair(sides).runs.values())
    return comparison.of_heads(runs)[0], comparison.of_diversity(runs)[0]
