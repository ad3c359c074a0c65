"""What a sweep would run and cost, before it begins: checked, estimated, then made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synergy_tui.errors import UserError, require
from synergy_tui.running.preflight import check_device, check_inputs
from synergy_tui.running.recorder import versions
from synergy_tui.scenario import Scenario, find_scenario, load_scenario
from synergy_tui.sweep.directory import Sweep, create_sweep
from synergy_tui.sweep.estimate import Estimate, estimate
from synergy_tui.sweep.executors.executor import Backend, choose, gpus_for
from synergy_tui.sweep.plan import Point, expand
from synergy_tui.words import counted, duration, size


@dataclass(frozen=True)
class Plan:
    """A sweep that can be run: its points, those that are left, how, and at what cost."""

    scenario: Scenario
    points: Sequence[Point]
    left: Sequence[Point]
    backend: Backend
    cost: Estimate
    command: str  # what starts another like it
    notes: Sequence[str] = ()  # what --set left out

    @property
    def announcement(self) -> str:
        """What it will cost, in a sentence."""
        done = len(self.points) - len(self.left)
        return announce(self.cost, finished=done, backend=str(self.backend))


def announce(cost: Estimate, *, finished: int, backend: str) -> str:
    """What a sweep will cost, in a sentence."""
    before = f"{counted(finished, 'point')} finished; " if finished else ""
    todo = f"{counted(cost.points, 'point')}, {counted(cost.runs, 'run')} to go"
    if cost.seconds is None:
        memory = f"about {size(cost.memory)} of memory"
        return f"{before}{todo}: time unknown on this GPU, {memory}, {backend}"
    needs = f"about {duration(cost.seconds)} and {size(cost.memory)}"
    return (
        f"{before}{todo}: {needs}, {backend} "
        "(an estimate; within a factor of two on an idle machine)"
    )


def plan_new(name: str, overrides: Sequence[str] = (), **options: Any) -> Plan:
    """Check the sweep of a scenario; ``options`` are those of `choose`."""
    _check_device(options)
    notes: list[str] = []
    scenario = load_scenario(find_scenario(name), overrides=overrides, notes=notes)
    if scenario.sweep is None:
        raise UserError(f"{name} has no [sweep] table.", hint=f"Run it once: `synergy run {name}`.")
    points = expand(scenario)
    given = [part for override in overrides for part in ("--set", override)]
    plan = _plan(scenario, points, points, shlex.join(["synergy", "sweep", name, *given]), options)
    return replace(plan, notes=notes)


def plan_rest(sweep: Sweep, **options: Any) -> Plan | None:
    """Check what is not finished of a sweep; ``None`` where all is."""
    states = sweep.states()
    if set(states.values()) == {"finished"}:
        return None
    _check_device(options)
    scenario = sweep.scenario()
    points = expand(scenario)
    left = [point for point in points if states.get(point.name) != "finished"]
    return _plan(scenario, points, left, sweep.command, options)


def begin(plan: Plan, out: str | Path | None = None) -> Sweep:
    """Make the directory of a new sweep."""
    scenario = plan.scenario.model_copy(update={"versions": versions()})
    return create_sweep(scenario, plan.points, out, command=plan.command)


def _check_device(options: dict[str, Any]) -> None:
    if options.get("ray") or options.get("executor") == "ray":
        require("ray", "ray")
    else:
        check_device(options.get("device", "auto"))


def _plan(
    scenario: Scenario,
    points: Sequence[Point],
    left: Sequence[Point],
    command: str,
    options: dict[str, Any],
) -> Plan:
    backend = choose(scenario, [point.scenario for point in left], **options)
    check_inputs(left[0].scenario)
    on_gpu = (  # what a cluster has is not known; `auto` there may be either
        backend.device.startswith("cuda")
        if backend.executor == "ray"
        else gpus_for(backend.device) > 0
    )
    cost = estimate(left, workers=max(1, backend.workers), together=backend.together, on_gpu=on_gpu)
    return Plan(scenario, points, left, backend, cost, command)
