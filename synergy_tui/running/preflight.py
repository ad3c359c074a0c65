"""Looks at the files that a scenario names, and for its device, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from synergy_tui.errors import UserError, for_commands
from synergy_tui.scenario import DesignedRun, LoadedRun, Scenario, ScenarioError, WatchedRun
from synergy_tui.scenario.models import Run
from synergy_tui.scenario.problems import MISSING, Problem

if TYPE_CHECKING:
    from synergy_trainer.settings import RunSettings, TrainSettings


def check_inputs(scenario: Scenario) -> None:
    """Raise a `ScenarioError` that lists what `input_problems` finds."""
    if problems := input_problems(scenario):
        raise ScenarioError(scenario.name or "The scenario", problems)


def input_problems(scenario: Scenario) -> list[Problem]:
    """Read the attention, graphs and checkpoints that a scenario names; return what is wrong.

    Loads the engine only when there are such files.
    """
    problems: list[Problem] = []
    for index, run in enumerate(scenario.runs):
        if isinstance(run, WatchedRun):
            message = "this was your own training, which cannot be run from here"
            problems.append(Problem(("runs", index, "watched"), message, True))
        elif isinstance(run, LoadedRun):
            key = "checkpoint" if run.checkpoint else "attention"
            value = run.checkpoint or run.attention
            problems += [
                Problem(("runs", index, key), message, value)
                for message in _messages(_try_to_load, run, scenario)
            ]
        elif isinstance(run, DesignedRun) and any(head.file for head in run.heads):
            problems += [
                _of_head(index, run, message) for message in _messages(_build, run, scenario)
            ]
    return problems


def _messages(read: Callable[[Any, Scenario], None], run: Run, scenario: Scenario) -> list[str]:
    from synergy_engine.errors import EngineError
    from synergy_trainer.errors import TrainerError

    try:
        read(run, scenario)
    except UserError as error:
        return [error.message]
    except (EngineError, TrainerError) as error:
        return [for_commands(problem) for problem in error.problems]
    return []


def _try_to_load(run: LoadedRun, scenario: Scenario) -> None:
    import synergy_engine as engine
    from synergy_tui.running.systems import load_run

    for batch in load_run(run, scenario).snapshot.attention:
        for layer in batch:
            engine.MultiHeadSystem.from_attention(layer)


def _build(run: DesignedRun, scenario: Scenario) -> None:
    from synergy_tui.running.systems import build_system

    build_system(run, scenario)


def _of_head(index: int, run: DesignedRun, message: str) -> Problem:
    """Point to the head whose file the message names, if it names one."""
    for number, head in enumerate(run.heads):
        if head.file and head.file in message:
            return Problem(("runs", index, "heads", number, "file"), message, head.file)
    return Problem(("runs", index, "heads"), message, MISSING)


def check_device(name: str) -> None:
    """Refuse a device that is not here; loads torch only for those that not every machine has."""
    if name in ("auto", "cpu"):
        return
    from synergy_trainer.device import pick_device
    from synergy_tui.errors import as_user_errors

    with as_user_errors():
        pick_device(name)


def refuse_hopeless(settings: TrainSettings, runs: Sequence[RunSettings], device: str) -> None:
    """Raise the engine's `TooLargeError` where one thing that training needs exceeds memory.

    Each is a lower bound, so nothing that could run is refused. A system that is out of memory
    need not say so: Linux kills a process, this one or another.
    """
    from synergy_engine.limits import refuse_if_too_large
    from synergy_trainer.device import pick_device
    from synergy_trainer.settings import shape_of

    on_cpu = pick_device(device).type == "cpu"
    for run in runs:
        own = run.over(settings)
        probe = 4 * own.probe_inputs * own.layers * run.heads * own.length**2
        refuse_if_too_large(probe, f"A probe of {run.name} (probe_inputs, length)")
        if on_cpu:
            states = 4 * own.batch * own.length * own.embed * own.layers
            refuse_if_too_large(states, f"A step of {run.name} (batch, length, embed)")
            parameters = 4 * 4 * shape_of(settings, run).parameters()
            refuse_if_too_large(parameters, f"The parameters of {run.name} (embed, mlp)")
