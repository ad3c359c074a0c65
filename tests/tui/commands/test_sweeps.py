"""Every command on a sweep: what can be done with an experiment can be done with one."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from synergy_tui.claims import BY_ID
from synergy_tui.sweep.directory import Sweep
from tests.tui.recorded_sweeps import FAILED, RUNNING, VERDICTS, WAITING, numbers, record

Call = Callable[..., Result]


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, finished: bool) -> Sweep:
    sweep = record(tmp_path, finished=finished)
    monkeypatch.setenv("SYNERGY_HOME", str(sweep.path.parent))
    return sweep


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    return recorded(tmp_path, monkeypatch, finished=True)


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    return recorded(tmp_path, monkeypatch, finished=False)


def listed(call: Call) -> dict[str, dict[str, object]]:
    return {each["id"]: each for each in map(json.loads, call("ls", "--json").stdout.splitlines())}


def test_a_sweep_is_listed_with_its_state(call: Call, done: Sweep) -> None:
    found = listed(call)[done.id]
    assert {key: found[key] for key in ("kind", "state", "exit_code", "points", "problem")} == {
        "kind": "sweep", "state": "finished", "exit_code": 0, "points": 10, "problem": "",
    }  # fmt: skip
    assert found["verdict"] == "sweep: 10 of 10 points finished"
    assert done.id in call("ls", "--state", "finished").stdout
    assert done.id not in call("ls", "--state", "failed").stdout


def test_the_states_of_a_sweep(call: Call, part: Sweep) -> None:
    assert listed(call)[part.id]["state"] == "dead", "its driver has left no ending"
    with part.lock():
        assert listed(call)[part.id]["state"] == "running"
        refused = call("rm", "--yes", part.id)
        assert (refused.exit_code, "synergy stop" in refused.stderr) == (2, True)
        refused = call("resume", "--no-ui", part.id)
        assert (refused.exit_code, "is running already" in refused.stderr) == (2, True)
    with part.events_path.open("a") as log:
        log.write('{"v":1,"t":9.0,"kind":"sweep_finished","exit_code":3,"finished":7}\n')
    assert listed(call)[part.id]["state"] == "failed"
    part.events_path.unlink()
    assert listed(call)[part.id]["state"] == "new"
    (part.path / "plan.json").unlink()
    assert listed(call)[part.id]["state"] == "damaged"
    assert listed(call)[part.id]["problem"] == "plan.json is missing"


def test_show_gives_means_and_the_reports_verdicts(call: Call, done: Sweep) -> None:
    shown = json.loads(call("show", "--json", "last").stdout)
    row = next(
        each
        for each in shown["groups"]
        if (each["measure"], each["group"], each["run"]) == ("fidelity", "copy", "heads-4")
    )
    several, one = (
        [numbers("copy", seed, heads)["minimax"] for seed in range(5)] for heads in (4, 1)
    )
    assert row["samples"] == 5
    assert row["mean"] == pytest.approx(statistics.mean(several))
    ratios = [a / b for a, b in zip(several, one, strict=True)]
    assert row["ratio"] == pytest.approx(statistics.geometric_mean(ratios))
    low, high = row["ratio_interval"]
    assert 1 < low < row["ratio"] < high
    slower = next(
        each
        for each in shown["groups"]
        if (each["measure"], each["group"], each["run"]) == ("hitting_time", "copy", "heads-8")
    )
    assert slower["ratio"] < 1, "more steps are unfavourable"
    said = {each["sentence"].partition(":")[0]: each for each in shown["verdicts"]}
    for (claim, group), verdict in VERDICTS.items():
        sentence = said[BY_ID[claim].label]["sentence"]
        assert re.search(rf"{verdict}[^;]*{group}", sentence), sentence
    assert said["clearer"]["verdict"] == "supported"
    assert said["learned better"]["verdict"] == "differs", "a group each way"
    text = call("show", "last").stdout
    assert "10 of 10 points finished" in text
    assert said["clearer"]["sentence"] in " ".join(text.split())


def test_show_names_the_points_that_are_not_finished(call: Call, part: Sweep) -> None:
    text = call("show", part.id).stdout
    assert "7 of 10 points finished" in text
    for line in (f"{FAILED} ", f"{RUNNING} ", f"{WAITING} "):
        assert line in text
    assert "the loss is nan" in text


@pytest.mark.parametrize("command", ["attach", "replay"])
def test_the_app_is_opened_on_a_sweep(
    command: str, call: Call, done: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(
        "synergy_tui.app.app.open_sweep", lambda sweep, **_: opened.append(sweep.path) or 0
    )
    monkeypatch.setattr("synergy_tui.app.terminal.require_terminal", lambda: None)
    assert call(command, "last").exit_code == 0
    assert opened == [done.path]


def test_a_point_is_found_below_its_sweep(call: Call, done: Sweep) -> None:
    assert "sort-s0" in call("show", f"{done.id}/points/sort-s0").stdout


def test_a_single_point_is_not_removed(call: Call, done: Sweep) -> None:
    """Its sweep's plan counts on it: what would be left could not be told from a new point."""
    point = done.experiment("sort-s0")
    result = call("rm", "--yes", f"{done.id}/points/sort-s0")
    assert result.exit_code == 2
    assert f"sort-s0 is a point of the sweep {done.id}" in result.stderr
    assert f"synergy rm {done.id}" in result.stderr
    assert point.state() == "finished"


def test_continuing_a_finished_sweep_says_so(call: Call, done: Sweep) -> None:
    result = call("sweep", done.path)
    assert result.exit_code == 0
    assert "is finished: 10 points" in result.stderr
    assert f"synergy attach {done.id}" in result.stderr


def test_an_experiment_is_wanted_and_a_sweep_named(call: Call, done: Sweep) -> None:
    for command in (["compare", "last"], ["export", "--metrics", "-", done.id]):
        result = call(*command)
        assert result.exit_code == 2
        assert "is a sweep of 10 points, not an experiment" in result.stderr
        assert f"{done.id}/points/sort-s0" in result.stderr


def test_last_is_the_newest_of_both(call: Call, done: Sweep, tmp_path: Path) -> None:
    experiment = done.path.parent / "2026-11-24-old"
    shutil.copytree(done.experiment("sort-s0").path, experiment)
    assert json.loads(call("show", "--json", "last").stdout)["id"] == done.id
    log = experiment / "events.jsonl"
    log.write_text(log.read_text().replace("2026-11-23T15", "2100-11-23T15"))
    assert json.loads(call("show", "--json", "last").stdout)["id"] == experiment.name


def test_stop_and_resume_refuse_in_words(call: Call, done: Sweep) -> None:
    for command, words in (
        (["stop"], "is not being run here (it is finished)"),
        (["stop"], "Look at it: `synergy replay"),
        (["resume", "--no-ui", "--timeout", "5"], "--timeout is for experiments"),
    ):
        result = call(*command, done.id)
        assert result.exit_code == 2
        assert words in result.stderr


def test_a_sweep_is_removed_and_an_old_one_too(call: Call, done: Sweep) -> None:
    assert call("rm", "--yes", "--older", "1h").stderr.startswith("No experiment")
    past = time.time() - 7200
    logs = [done.events_path, *(done.experiment(name).events_path for name in done.names)]
    for log in logs[1:]:
        os.utime(log, (past, past))
    call("rm", "--yes", "--older", "1h")
    assert done.path.exists(), "one log is young"
    os.utime(logs[0], (past, past))
    assert call("rm", "--yes", "--older", "1h").exit_code == 0
    assert not done.path.exists()
