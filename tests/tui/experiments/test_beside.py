"""Runs of two experiments: what makes them unlike, and the same verdict as within one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synergy_tui.experiments.beside import Side, pair, settings_of, unlike
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import RunState
from synergy_tui.experiments.verdict import scoreboard
from tests.recordings import copy_recording, recording

TRAINED: dict[str, Any] = {"kind": "trained", "task": "sort", "seed": 7, "nodes": 13}
SETTINGS = {"batch": 32, "learning_rate": 0.01, "steps": 80, "probe_every": 20}


def side(heads: int = 1, settings: dict[str, Any] | None = None, **changes: Any) -> Side:
    run = RunState(**{"name": f"heads-{heads}", **TRAINED, "heads": heads, **changes})
    return Side(run, {**SETTINGS, **(settings or {})})


def recorded(name: str, run: str) -> Side:
    experiment = Experiment(recording(name))
    return Side(experiment.fold().runs[run], settings_of(experiment, run))


def test_runs_that_differ_in_their_heads_are_alike() -> None:
    often = {"probe_every": 5, "mlp": 48, "compile": True}
    assert unlike((side(1), side(8, often))) == []


@pytest.mark.parametrize(
    ("other", "phrase"),
    [
        (side(8, task="copy"), "other task (sort, copy)"),
        (side(8, seed=8), "other seed (7, 8)"),
        (side(8, {"batch": 16}), "other batch (32, 16)"),
        (side(8, {"learning_rate": 1e-3}), "other learning rate (.01, .001)"),
        (side(8, nodes=33), "other number of nodes (13, 33)"),
        (side(8, interventions={"tied": 2}), "other interventions"),
        (side(8, kind="designed"), "other kind of run (trained, designed)"),
        (
            side(8, kind="watched"),
            "of a training that is watched neither seed nor batches are known",
        ),
        (
            replace(side(8), settings={}),
            "what they were trained with is not known: scenario.toml cannot be read",
        ),
    ],
)
def test_whatever_else_differs_is_named(other: Side, phrase: str) -> None:
    assert unlike((side(1), other)) == [phrase]


def test_what_matters_most_comes_first() -> None:
    found = unlike((side(1), side(8, {"dropout": 0.5, "batch": 4}, seed=1, task="copy")))
    assert [phrase.split()[1] for phrase in found] == ["task", "seed", "batch", "dropout"]


def test_diversity_alone_may_be_compared_at_equal_heads() -> None:
    tied = side(8, interventions={"head_diversity": 0.0})
    assert unlike((tied, side(8))) == []
    assert unlike((side(1), tied)) == ["other interventions"]


def test_the_same_run_at_two_steps_is_no_comparison_of_heads() -> None:
    early, late = replace(side(8), step=20), replace(side(8), step=80)
    assert unlike((early, late), same=True) == ["the same run at two steps"]
    assert unlike((late, late), same=True) == []


@pytest.mark.parametrize("step", [None, 20, 80])
def test_runs_of_two_experiments_get_the_verdict_that_one_experiment_gives(
    step: int | None,
) -> None:
    """The recorded experiment knows both runs; the pair sees each as if it were an experiment."""
    sides = (recorded("sort", "single-head"), recorded("sort", "multi-head"))
    assert unlike(sides) == []
    together = scoreboard(Experiment(recording("sort")).fold(), step)
    assert scoreboard(pair(sides), step).lines == together.lines
    assert len(together.lines) == 5


def test_recordings_of_another_seed_and_size_are_unlike() -> None:
    found = unlike((recorded("sort", "multi-head"), recorded("four", "heads-8")))
    assert "other seed (7, 1)" in found
    assert "other length (13, 11)" in found
    assert "other steps (80, 40)" in found
    assert not any("nodes" in phrase for phrase in found), "the length says it"


def test_a_moment_of_a_run_holds_that_probe_alone() -> None:
    whole = recorded("sort", "multi-head")
    state = pair((replace(whole, step=20), replace(whole, step=79)))
    early, late = state.runs["A multi-head"], state.runs["B multi-head"]
    assert [probe.step for probe in early.probes] == [20]
    assert [probe.step for probe in late.probes] == [60]
    assert len(whole.run.probes) == 5, "the run itself is left as it is"


def test_settings_of_a_run_are_its_own_before_the_scenarios(tmp_path: Path) -> None:
    experiment = Experiment(copy_recording("failed", tmp_path))
    assert settings_of(experiment, "diverges")["learning_rate"] == 1e30
    assert settings_of(experiment, "steady")["learning_rate"] == 0.01
    experiment.scenario_path.write_text("[[[")
    assert settings_of(experiment, "steady") == {}
    experiment.scenario_path.unlink()
    assert settings_of(experiment, "steady") == {}
