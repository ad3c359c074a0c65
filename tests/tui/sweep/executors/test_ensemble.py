"""Points that train together are what they are alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synergy_trainer as trainer
from synergy_tui.errors import UserError
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.runner import run_experiment
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.executors import ensemble
from synergy_tui.sweep.executors.ensemble import batches, run_together
from synergy_tui.sweep.executors.executor import Task
from tests.tui.conftest import make
from tests.tui.sweep.conftest import trained


def each_alone(sweep: Sweep) -> None:
    """Run the points of a sweep one after another, in this process."""
    for point in sweep.points:
        assert run_experiment(sweep.experiment(point.name), device="cpu", threads=1) == 0


def test_points_trained_together_are_what_they_are_alone(tmp_path: Path) -> None:
    alone = make(trained(), tmp_path / "alone")
    together = make(trained(), tmp_path / "together")
    each_alone(alone)
    experiments = [together.experiment(point.name) for point in together.points]
    assert run_together(experiments, device="cpu", threads=1) == [0, 0, 0]
    for point in alone.points:
        one = alone.experiment(point.name).fold()
        other = together.experiment(point.name).fold()
        assert other.status == "finished"
        for run in point.columns:
            np.testing.assert_allclose(other.runs[run].losses, one.runs[run].losses, rtol=2e-4)
        assert not (together.experiment(point.name).path / ".together").exists()
        kept = {file.name for file in together.experiment(point.name).checkpoints.iterdir()}
        assert kept == {file.name for file in alone.experiment(point.name).checkpoints.iterdir()}


@pytest.mark.parametrize(
    "varied",
    ['tasks = ["copy", "cycle"]', 'axes = { "runs.head_diversity" = [0.0, 0.5] }',
     'axes = { "runs.mlp" = [16, 24] }'],
    ids=["tasks", "head_diversity", "parameter counts"],
)  # fmt: skip
def test_points_of_one_ensemble_may_differ_in(varied: str, tmp_path: Path) -> None:
    text = trained(10, sweep="seeds = 1") + varied + "\n"
    alone, together = make(text, tmp_path / "alone"), make(text, tmp_path / "together")
    each_alone(alone)
    experiments = [together.experiment(point.name) for point in together.points]
    tasks = [Task(each.id, each.path) for each in experiments]
    assert [len(batch) for batch in batches(tasks, 8)] == [2]
    assert run_together(experiments, device="cpu", threads=1) == [0, 0]
    for point in alone.points:
        one, other = (each.experiment(point.name).fold().runs for each in (alone, together))
        for run in point.columns:
            assert other[run].task == one[run].task
            assert other[run].parameters == one[run].parameters
            np.testing.assert_allclose(other[run].losses, one[run].losses, rtol=2e-4)


def test_models_stand_in_the_order_of_the_points_whoever_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's last bits depend on its place in the stack."""
    sweep = make(trained(5), tmp_path)
    experiments = [sweep.experiment(point.name) for point in sweep.points]
    stacked: list[str] = []

    def train(_: object, runs: Sequence[trainer.RunSettings], **how: object) -> Iterator[object]:
        stacked.extend(run.name for run in runs)
        yield from ()

    def late(experiment: Experiment, **how: Any) -> int:
        if experiment.id == experiments[0].id:
            time.sleep(0.3)
        return run_experiment(experiment, **how)

    monkeypatch.setattr(trainer, "train", train)
    monkeypatch.setattr(ensemble, "run_experiment", late)
    run_together(experiments, device="cpu", threads=1)
    names = dict.fromkeys(name.split(ensemble.SEPARATOR)[0] for name in stacked)
    assert list(names) == [experiment.id for experiment in experiments]


def test_an_ensemble_stops_and_continues_together(tmp_path: Path) -> None:
    sweep = make(trained(60), tmp_path)
    experiments = [sweep.experiment(point.name) for point in sweep.points]

    def half() -> bool:
        found = list(EventReader(experiments[0].events_path).read_all())
        return any(event.get("step", 0) >= 25 for event in found)

    assert run_together(experiments, device="cpu", threads=1, should_stop=half) == [143] * 3
    assert {experiment.state() for experiment in experiments} == {"stopped"}
    tasks = [Task(e.id, e.path, 2) for e in experiments]
    assert [len(batch) for batch in batches(tasks, 8)] == [3]
    assert run_together(experiments, device="cpu", threads=1) == [0, 0, 0]
    for experiment in experiments:
        state = experiment.fold()
        for run in state.runs.values():
            assert run.steps.tolist() == list(range(1, 61))


def test_batches_hold_what_can_be_stacked(tmp_path: Path) -> None:
    text = trained() + 'tasks = ["sort", "copy"]\n'
    sweep = make(text, tmp_path)
    tasks = [Task(p.name, sweep.experiment(p.name).path) for p in sweep.points]
    names = [[task.point for task in batch] for batch in batches(tasks, 2)]
    assert names == [["sort-s0", "sort-s1"], ["sort-s2"], ["copy-s0", "copy-s1"], ["copy-s2"]]


def test_what_cannot_be_stacked_is_refused(tmp_path: Path, designed_sweep: Sweep) -> None:
    designed = [designed_sweep.experiment(point.name) for point in designed_sweep.points]
    with pytest.raises(UserError, match="can train together"):
        run_together(designed)
