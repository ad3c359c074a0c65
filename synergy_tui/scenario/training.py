"""From a scenario to what the trainer takes, and what the trainer says against it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from synergy_tui.scenario.models import Scenario
from synergy_tui.scenario.positions import Key
from synergy_tui.scenario.problems import MISSING, Problem
from trainer import RunSettings, TrainerError, TrainSettings, check


def training_of(scenario: Scenario) -> tuple[TrainSettings, list[RunSettings]]:
    """Return the settings of a scenario's training, and of each run that is trained."""
    assert scenario.train is not None
    shared = scenario.train.model_dump()
    shared["probe_at"] = tuple(shared["probe_at"])
    if shared["parameter_difference"] == "any":
        shared["parameter_difference"] = None
    settings = TrainSettings(**shared, seed=scenario.seed)
    runs = [RunSettings(**run.model_dump(exclude={"note"})) for run in scenario.trained]
    return settings, runs


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
