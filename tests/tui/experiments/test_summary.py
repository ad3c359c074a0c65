"""What lists say of an experiment, against what its whole log says."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import run_record
from synergy_tui.experiments.summary import summary
from synergy_tui.experiments.verdict import MARKS, scoreboard, signs_in
from tests.recordings import SCENARIOS, copy_recording, recording


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_ends_of_a_log_say_what_all_of_it_says(name: str) -> None:
    experiment = Experiment(recording(name))
    found, state = summary(experiment), experiment.fold()
    records = [run_record(run) for run in state.runs.values()]
    assert found["state"] == experiment.state()
    assert found["heads"] == [record["heads"] for record in records]
    tasks = {record["task"] for record in records} - {None}
    assert found["task"] == (tasks.pop() if tasks else None)
    losses = [record["loss"] for record in records]
    known = pytest.approx(losses, rel=0, nan_ok=True)
    assert found["loss"] == ([] if set(losses) == {None} else known)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_signs_of_a_verdict_are_those_of_its_lines(name: str) -> None:
    board = scoreboard(Experiment(recording(name)).fold())
    assert signs_in(board.line) == "".join(line.mark for line in board.lines)


def test_names_that_look_like_signs_are_not_read_as_such() -> None:
    assert signs_in("✔ mine (8) against ? (1): ✔ sooner 2×, ✘ clearer .5×") == "✔✘"
    assert signs_in(f"really{''.join(MARKS.values())}: nothing measured yet") == ""


def test_a_log_that_grows_shows_its_newest_loss(tmp_path: Path) -> None:
    path = copy_recording("sort", tmp_path)
    log = path / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if b"_finished" not in line))
    with EventWriter(log) as writer:
        writer.write("train_step", run="multi-head", step=81, loss=0.125, accuracy=1.0)
    found = summary(Experiment(path))
    assert found["loss"][1] == 0.125
    assert found["verdict"] == found["signs"] == ""


def test_a_log_with_half_its_fields_is_still_listed(tmp_path: Path) -> None:
    folder = tmp_path / "2026-11-23-154312-odd"
    folder.mkdir()
    started = {"v": 1, "t": 0, "kind": "experiment_started", "id": "x", "scenario": "odd",
               "runs": ["a", {"name": "b"}]}  # fmt: skip
    step = {"v": 1, "t": 1, "kind": "train_step", "run": "b", "step": 3, "loss": "inf"}
    (folder / "events.jsonl").write_bytes(
        orjson.dumps(started) + b"\n" + orjson.dumps(step) + b"\n"
    )
    found = summary(Experiment(folder))
    assert (found["heads"], found["task"], found["problem"]) == ([0, 0], None, "")
    assert found["loss"] == [None, float("inf")]
