"""From a scenario to what the trainer takes, and what the trainer refuses in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from synergy_trainer import Match, RunSettings, TrainerError, TrainSettings, check, match_parameters
from synergy_tui.scenario.models import Scenario
from synergy_tui.scenario.positions import Key
from synergy_tui.scenario.problems import MISSING, Problem


def training_of(scenario: Scenario) -> tuple[TrainSettings, list[RunSettings]]:
    """The settings of a scenario's training and of each run that is trained.

    A TrainerError says that no width of an MLP matches what its run is to match.
    """
    settings, runs = _as_written(scenario)
    chosen = {match.run.name: match.run for match in matches_of(scenario)}
    return settings, [chosen.get(run.name, run) for run in runs]


def matches_of(scenario: Scenario) -> list[Match]:
    """Choose the width of each MLP that is to match another run, or raise TrainerError."""
    wanting = {run.name for run in scenario.trained if run.mlp == "match"}
    if not wanting:
        return []
    settings, runs = _as_written(scenario)
    fixed = [run for run in runs if run.name not in wanting]
    if not fixed:
        raise TrainerError('mlp: every run says "match"; give one of them a width to match')
    others = [run for run in runs if run.name in wanting]
    return match_parameters(settings, [fixed[0], *others])[1:]


def _as_written(scenario: Scenario) -> tuple[TrainSettings, list[RunSettings]]:
    """Everything but the widths that are to be chosen."""
    assert scenario.train is not None
    shared = scenario.train.model_dump()
    shared["probe_at"] = tuple(shared["probe_at"])
    if shared["parameter_difference"] == "any":
        shared["parameter_difference"] = None
    settings = TrainSettings(**shared, seed=scenario.seed)
    written = [run.model_dump(exclude={"note"}) for run in scenario.trained]
    for run in written:
        if run["mlp"] == "match":
            run["mlp"] = None
    return settings, [RunSettings(**run) for run in written]


def training_problems(scenario: Scenario) -> Iterator[Problem]:
    """Yield what the trainer would refuse, such as runs whose parameter counts differ."""
    if scenario.train is None or not scenario.trained:
        return
    try:
        check(*training_of(scenario))
    except TrainerError as error:
        for problem in error.problems:
            yield Problem(_place(scenario, problem), problem, MISSING)


def _place(scenario: Scenario, problem: str) -> Key:
    """Find the run that the trainer's sentence begins with."""
    for index, run in enumerate(scenario.runs):
        if re.match(rf"{re.escape(run.name)}[.:]", problem):
            return ("runs", index)
    return ("train",)
