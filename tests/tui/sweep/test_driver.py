"""Driving a sweep: handing out, losing, trying again, stopping, going on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.sweep.directory import Sweep, find_sweep
from synergy_tui.sweep.driver import run_sweep
from synergy_tui.sweep.executors.executor import Backend, Outcome, Task
from synergy_tui.sweep.follow import follow
from synergy_tui.sweep.overview import Overview
from synergy_tui.sweep.worker import launch
from tests.tui.conftest import make
from tests.tui.sweep.conftest import log_of, trained
from tests.waiting import wait_for


class Scripted:
    """An executor with scripted outcomes."""

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
        outcomes = [Outcome(task, self.answer(task), "as scripted") for task in self.waiting]
        self.waiting = []
        self.free = 2
        return outcomes

    def cancel(self) -> None:
        self.cancelled = True

    def shutdown(self) -> None:
        self.ended = True


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
    assert "is being written by process" in refused[0]
    assert not sweep.running


def test_sweeps_are_found_by_path_part_and_last(designed_sweep: Sweep) -> None:
    home = designed_sweep.path.parent
    for name in (str(designed_sweep.path), designed_sweep.id, "tiny", "last"):
        assert find_sweep(name, home).path == designed_sweep.path
    with pytest.raises(UserError, match="no sweep 'nothing'"):
        find_sweep("nothing", home)


def test_a_damaged_plan_is_reported(sweep: Sweep) -> None:
    (sweep.path / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json cannot be read"):
        _ = Sweep(sweep.path).points


def test_workers_checkpoint_and_end_when_their_driver_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make(trained(20_000), tmp_path)
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
    printed = capsys.readouterr().err
    assert "the driver died (SIGKILL)" in printed
    assert str(sweep.path) in printed
    wait_for(lambda: experiment.state() == "stopped")
    assert (experiment.ending() or {})["reason"] == "the driver of the sweep has gone"


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
