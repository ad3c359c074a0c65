"""Driving a sweep: handing out, losing, trying again, stopping, going on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.sweep.directory import Sweep, find_sweep
from synergy_tui.sweep.driver import run_sweep
from synergy_tui.sweep.executors.ensemble import batches, run_together
from synergy_tui.sweep.executors.executor import Backend, Outcome, Task
from synergy_tui.sweep.executors.mirror import Mirror
from synergy_tui.sweep.executors.pool import PoolExecutor
from synergy_tui.sweep.executors.remote import Packet, luggage, run_point
from synergy_tui.sweep.follow import follow
from synergy_tui.sweep.overview import Overview
from synergy_tui.sweep.worker import launch
from tests.tui.conftest import make, run_here

TRAINED = """
title = "Small"
[train]
task = "sort"
length = 9
vocabulary = 4
steps = {steps}
batch = 8
embed = 16
mlp = 16
layers = 1
probe_every = 0
probe_inputs = 2
checkpoint_every = 10
log_every = 1
[sweep]
seeds = 3
heads = [1, 2]
"""


class Scripted:
    """An executor that answers what it is told to."""

    def __init__(self, answer: Callable[[Task], ExitCode | None]) -> None:
        self.answer = answer
        self.free = 2
        self.submitted: list[Task] = []
        self.waiting: list[Task] = []
        self.cancelled = self.ended = False

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        return [[task] for task in tasks]

    def submit(self, batch: Sequence[Task]) -> None:
        self.submitted += batch
        self.waiting += batch
        self.free -= 1

    def poll(self, timeout: float) -> list[Outcome]:
        told = [Outcome(task, self.answer(task), "as told") for task in self.waiting]
        self.waiting = []
        self.free = 2
        return told

    def cancel(self) -> None:
        self.cancelled = True

    def shutdown(self) -> None:
        self.ended = True


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return make(TRAINED.format(steps=30), tmp_path)


def log_of(sweep: Sweep) -> list[dict[str, Any]]:
    return list(EventReader(sweep.events_path).read_all())


def test_a_lost_point_is_tried_again_and_others_are_not(sweep: Sweep) -> None:
    executor = Scripted(
        lambda task: None if task.point == "s1" and task.attempt == 1 else ExitCode.OK
    )
    assert run_sweep(sweep, executor, attempts=3) is ExitCode.OK
    assert [(task.point, task.attempt) for task in executor.submitted] == [
        ("s0", 1), ("s1", 1), ("s2", 1), ("s1", 2),
    ]  # fmt: skip
    assert executor.ended


def test_a_point_that_is_always_lost_is_given_up(sweep: Sweep) -> None:
    executor = Scripted(lambda task: None if task.point == "s1" else ExitCode.OK)
    assert run_sweep(sweep, executor, attempts=2) is ExitCode.RUN_FAILED
    assert sum(task.point == "s1" for task in executor.submitted) == 2
    ended = [event for event in log_of(sweep) if event["kind"] == "point_ended"]
    assert [e["again"] for e in ended if e["point"] == "s1"] == [True, False]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ExitCode.EXPECTATION_FAILED, ExitCode.EXPECTATION_FAILED),
        (ExitCode.BAD_INPUT, ExitCode.RUN_FAILED),
        (ExitCode.TERMINATED, ExitCode.TERMINATED),
    ],
)
def test_the_worst_point_decides(sweep: Sweep, code: ExitCode, expected: ExitCode) -> None:
    executor = Scripted(lambda task: code if task.point == "s1" else ExitCode.OK)
    assert run_sweep(sweep, executor) is expected


def test_a_failed_point_is_not_tried_again(sweep: Sweep) -> None:
    executor = Scripted(lambda task: ExitCode.RUN_FAILED)
    run_sweep(sweep, executor, attempts=5)
    assert len(executor.submitted) == 3


def test_stopping_cancels_what_runs_and_begins_nothing(sweep: Sweep) -> None:
    executor = Scripted(lambda task: ExitCode.TERMINATED)
    asked = iter([False, True])
    code = run_sweep(sweep, executor, should_stop=lambda: next(asked, True))
    assert code is ExitCode.TERMINATED
    assert executor.cancelled
    assert executor.ended
    assert len(executor.submitted) == 2


def test_the_executor_is_shut_down_whatever_happens(sweep: Sweep) -> None:
    def explode(task: Task) -> ExitCode:
        raise RuntimeError("boom")

    executor = Scripted(explode)
    with pytest.raises(RuntimeError, match="boom"):
        run_sweep(sweep, executor)
    assert executor.ended


def test_two_drivers_cannot_run_one_sweep(sweep: Sweep) -> None:
    refused: list[str] = []

    def second() -> None:
        try:
            with sweep.lock():
                pass
        except UserError as error:
            refused.append(error.message)

    with sweep.lock():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert sweep.running
    assert "is being run by process" in refused[0]
    assert not sweep.running


def test_sweeps_are_found_by_path_part_and_last(designed_sweep: Sweep) -> None:
    home = designed_sweep.path.parent
    for name in (str(designed_sweep.path), designed_sweep.id, "tiny", "last"):
        assert find_sweep(name, home).path == designed_sweep.path
    with pytest.raises(UserError, match="no sweep 'nothing'"):
        find_sweep("nothing", home)


def test_a_damaged_plan_is_told(sweep: Sweep) -> None:
    (sweep.path / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json cannot be read"):
        _ = Sweep(sweep.path).points


@pytest.mark.slow
def test_a_pool_survives_the_death_of_a_worker_and_finishes_from_checkpoints(
    tmp_path: Path,
) -> None:
    sweep = make(TRAINED.format(steps=400), tmp_path)
    pool = PoolExecutor(Backend("pool", 1, device="cpu"), sweep.log_path)
    first = sweep.points[0].name

    def kill_once() -> None:
        experiment = sweep.experiment(first)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if len(list(experiment.checkpoints.glob("*.safetensors"))) >= 2:
                os.kill(pool._workers[0].process.pid, signal.SIGKILL)
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill_once)
    killer.start()
    with sweep.lock():
        code = run_sweep(sweep, pool)
    killer.join()
    assert code is ExitCode.OK, sweep.log_path.read_text()
    ended = [event for event in log_of(sweep) if event["kind"] == "point_ended"]
    assert any(event["state"] == "lost" for event in ended)
    assert set(sweep.states().values()) == {"finished"}
    for point in sweep.points:
        for run in sweep.experiment(point.name).fold().runs.values():
            assert run.steps.tolist() == list(range(1, 401))
    assert run_here(sweep) is ExitCode.OK
    assert [e["kind"] for e in log_of(sweep)[-2:]] == ["sweep_started", "sweep_finished"]


def test_workers_checkpoint_and_end_when_their_driver_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make(TRAINED.format(steps=20_000), tmp_path)
    experiment = sweep.experiment("s0")
    driver = launch(sweep, Backend("pool", workers=1, threads=1, together=1, device="cpu"))

    def kill() -> None:
        try:
            wait_for(lambda: list(experiment.checkpoints.glob("*.safetensors")))
        finally:
            driver.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    assert follow(sweep, lambda: driver) == ExitCode.RUN_FAILED
    killer.join()
    told = capsys.readouterr().err
    assert "the driver died (SIGKILL)" in told
    assert str(sweep.path) in told
    wait_for(lambda: experiment.state() == "stopped")
    assert (experiment.ending() or {})["reason"] == "the driver of the sweep has gone"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_points_trained_together_are_what_they_are_alone(tmp_path: Path) -> None:
    alone = make(TRAINED.format(steps=30), tmp_path / "alone")
    together = make(TRAINED.format(steps=30), tmp_path / "together")
    assert run_here(alone) is ExitCode.OK
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


def test_an_ensemble_stops_and_goes_on_together(tmp_path: Path) -> None:
    sweep = make(TRAINED.format(steps=60), tmp_path)
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
    text = TRAINED.format(steps=30) + 'tasks = ["sort", "copy"]\n'
    sweep = make(text, tmp_path)
    tasks = [Task(p.name, sweep.experiment(p.name).path) for p in sweep.points]
    names = [[task.point for task in batch] for batch in batches(tasks, 2)]
    assert names == [["sort-s0", "sort-s1"], ["sort-s2"], ["copy-s0", "copy-s1"], ["copy-s2"]]


def test_what_cannot_be_stacked_is_refused(tmp_path: Path, designed_sweep: Sweep) -> None:
    designed = [designed_sweep.experiment(point.name) for point in designed_sweep.points]
    with pytest.raises(UserError, match="can train together"):
        run_together(designed)


def stream(experiment: Experiment) -> list[Packet]:
    return list(run_point(experiment.id, luggage(experiment), "cpu", 1))


def test_a_far_point_arrives_whole(sweep: Sweep) -> None:
    experiment = sweep.experiment("s0")
    packets = stream(experiment)
    assert packets[-1].exit_code == 0
    mirror = Mirror(experiment, attempt=1)
    assert experiment.state() == "running"
    for packet in packets:
        mirror.take(packet)
    mirror.close()
    assert experiment.state() == "finished"
    state = experiment.fold()
    for run in state.runs.values():
        assert run.steps.tolist() == list(range(1, 31))
        assert run.probe is not None
        assert run.probe.attention is not None
        assert experiment.attention(run.probe.attention)["attention"].shape[-1] == 9
    kept = sorted(file.name for file in experiment.checkpoints.iterdir())
    assert len(kept) == 4


@pytest.mark.parametrize("lost_after", [0, 1, 2, 3, 5])
def test_a_lost_stream_told_again_leaves_every_event_once(sweep: Sweep, lost_after: int) -> None:
    experiment = sweep.experiment("s1")
    whole = stream(sweep.experiment("s1"))
    mirror = Mirror(experiment, attempt=1)
    for packet in whole[:lost_after]:
        mirror.take(packet)
    mirror.close()
    again = Mirror(experiment, attempt=2)
    for packet in stream(experiment):
        again.take(packet)
    again.close()
    events = list(EventReader(experiment.events_path).read_all())
    steps = [(e["run"], e["step"]) for e in events if e["kind"] == "train_step"]
    assert len(steps) == len(set(steps)) == 2 * 30
    assert [e["kind"] for e in events].count("experiment_started") == 1
    assert experiment.fold().runs["heads-2"].steps.tolist() == list(range(1, 31))
    assert {e["attempt"] for e in events} <= {1, 2}
    reference = {
        (e["run"], e["step"]): e["loss"]
        for packet in whole
        for e in packet.events
        if e["kind"] == "train_step"
    }
    told = {(e["run"], e["step"]): e["loss"] for e in events if e["kind"] == "train_step"}
    assert told == reference


def test_a_stopped_mirror_can_be_resumed(sweep: Sweep) -> None:
    experiment = sweep.experiment("s2")
    mirror = Mirror(experiment, attempt=1)
    mirror.take(stream(experiment)[0])
    mirror.close(stopped="the sweep was stopped")
    assert experiment.state() == "stopped"


def test_a_worker_cannot_write_outside_its_experiment(sweep: Sweep) -> None:
    mirror = Mirror(sweep.experiment("s0"), attempt=1)
    with pytest.raises(ValueError, match="outside its experiment"):
        mirror.take(Packet(files={"../../evil": b"x"}))
    mirror.close()
    assert not (sweep.path / "evil").exists()


def test_overview_tells_points_runs_and_pace(designed_sweep: Sweep) -> None:
    overview = Overview(designed_sweep)
    fresh = overview.update(2**24)
    assert fresh[0]["kind"] == "sweep_started"
    assert overview.counts == {"finished": 4}
    assert overview.exit_code == 0
    assert overview.remaining is None
    assert (overview.backend, overview.machine) == ("test", "a machine")
    for view in overview.points.values():
        assert set(view.state.runs) == {"heads-1", "heads-4"}
        assert view.progress == 1.0
    assert overview.update() == []
