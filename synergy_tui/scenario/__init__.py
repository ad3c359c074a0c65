"""Scenarios: TOML files that say what is run, compared and expected."""

from synergy_tui.scenario.bundled import bundled, find_scenario
from synergy_tui.scenario.load import apply_override, load_scenario, parse_scenario, set_key
from synergy_tui.scenario.models import (
    AnyRun,
    DesignedRun,
    FamilyRun,
    LoadedRun,
    Scenario,
    TrainedRun,
)
from synergy_tui.scenario.problems import Problem, ScenarioError

__all__ = [
    "AnyRun",
    "DesignedRun",
    "FamilyRun",
    "LoadedRun",
    "Problem",
    "Scenario",
    "ScenarioError",
    "TrainedRun",
    "apply_override",
    "bundled",
    "find_scenario",
    "load_scenario",
    "parse_scenario",
    "set_key",
]
