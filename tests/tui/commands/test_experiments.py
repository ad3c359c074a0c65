"""ls, show, compare and rm: find experiments, show their numbers, remove them with care."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import metric
from synergy_tui.words import size
from tests.places import ROOT

Call = Callable[..., Result]
Make = Callable[..., Experiment]


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_ls_prints_one_object_an_experiment(call: Call, finished: Experiment, make: Make) -> None:
    make("2026-11-24-000000-half", {"kind": "train_step", "run": "one", "step": 1, "loss": 1.0})
    first, second = objects(call("ls", "--json"))
    assert first["id"] == "2026-11-23-154312-gate"
    assert (first["scenario"], first["state"], first["exit_code"]) == ("gate", "finished", 0)
    assert first["started"].startswith("2026-11-23T15:43:12")
    assert first["path"] == str(finished.path)
    assert (first["reason"], second["reason"]) == ("", "")
    assert second["state"] == "dead"


def test_ls_shows_sizes(call: Call, finished: Experiment) -> None:
    files = [path for path in finished.path.rglob("*") if path.is_file()]
    [record] = objects(call("ls", "--json"))
    assert record["bytes"] == sum(path.stat().st_size for path in files)
    assert size(record["bytes"]) in call("ls").stdout


def test_ls_keeps_only_the_states_asked_for(call: Call, finished: Experiment) -> None:
    assert objects(call("ls", "--json", "--state", "dead")) == []
    assert len(objects(call("ls", "--json", "--state", "dead", "--state", "finished"))) == 1


def test_ls_for_people_shows_state_age_scenario_and_verdict(
    call: Call, finished: Experiment
) -> None:
    shown = call("ls").stdout
    for text in ("2026-11-23-154312-gate", "finished", "gate", "many hears 2x clearer"):
        assert text in shown


def test_ls_without_experiments_says_where_it_looked(call: Call, home: Path) -> None:
    result = call("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert str(home) in result.stderr


def test_ls_shows_no_control_characters(call: Call, make: Make) -> None:
    make(
        "evil",
        {"kind": "experiment_finished", "exit_code": 0, "verdict": "\x1b[2J gone"},
        scenario="\x1b]0;title\x07",
    )
    assert "\x1b" not in call("ls").stdout


def test_a_half_removed_experiment_is_not_listed(call: Call, home: Path, make: Make) -> None:
    make(".removing-2026")
    assert objects(call("ls", "--json")) == []


def test_show_has_runs_expectations_warnings_and_the_verdict(
    call: Call, finished: Experiment
) -> None:
    shown = call("show", "last").stdout
    for text in ("75,600", "many.fidelity > one.fidelity", "one head is little", "clearer", "2×"):
        assert text in shown
    assert "convention  theory, walks" in shown


@pytest.mark.parametrize("verdict", [2.5, 3, [3], "inf", {"a": None}, "two\nlines"])
def test_show_bears_what_is_not_text_in_a_log(call: Call, make: Make, verdict: object) -> None:
    make(
        "odd",
        {"kind": "expectation", "that": "one.loss < 1"},
        {"kind": "experiment_finished", "exit_code": 0, "verdict": verdict},
    )
    shown = call("show", "odd")
    assert shown.exit_code == 0, shown.stderr
    assert "✗ fails" in shown.stdout


def test_show_json_has_the_scoreboard(call: Call, finished: Experiment) -> None:
    [record] = objects(call("show", "last", "--json"))
    board = record["scoreboard"]
    assert [line["claim"] for line in board["claims"]][:2] == ["sooner", "clearer"]
    clearer = board["claims"][1]
    assert clearer["ratio"] == pytest.approx(2)
    assert clearer["verdict"] in ("supported", "contradicted", "no effect", "undecided")
    assert board["convention"] == "theory · mean of 2 layers"


def test_show_json_has_the_newest_numbers(call: Call, finished: Experiment) -> None:
    [record] = objects(call("show", "2026-11-23", "--json"))
    one, many = record["runs"]
    assert (one["run"], one["step"], one["loss"], one["fidelity"]) == (
        "one",
        20,
        0.125,
        0.2,
    )
    assert many["fidelity"] == 0.4
    assert many["mixing_time_l1_mean"] == "> 10000"
    assert record["expectations"] == [
        {"that": "many.fidelity > one.fidelity", "holds": True, "left": 0.4, "right": 0.2}
    ]


def test_tables_for_people_have_the_losses_that_expectations_compare(
    call: Call, make: Make
) -> None:
    """The mean of the last ten reports, of which the last may be far from the others."""
    made = make(
        "noisy",
        *(
            {"kind": "train_step", "run": "one", "step": step, "loss": 0.25, "accuracy": 0.5}
            for step in range(1, 10)
        ),
        {"kind": "train_step", "run": "one", "step": 10, "loss": 0.5, "accuracy": 0.75},
    )
    assert metric(made.fold().runs["one"], "loss") == 0.275
    for shown in (call("show", "noisy"), call("compare", "noisy", "noisy")):
        assert ".275" in shown.stdout
        assert ".525" in shown.stdout
    [record] = objects(call("show", "noisy", "--json"))
    assert record["runs"][0]["loss"] == 0.5


@pytest.mark.parametrize("command", ["show", "compare", "rm"])
def test_an_unknown_name_exits_2(call: Call, finished: Experiment, command: str) -> None:
    result = call(command, "2027")
    assert result.exit_code == 2
    assert "2027" in result.stderr
    assert finished.path.exists()


def test_a_name_that_could_mean_two_exits_2(call: Call, make: Make) -> None:
    make("2026-a")
    make("2026-b")
    result = call("show", "2026")
    assert result.exit_code == 2
    assert "2026-a, 2026-b" in result.stderr


def test_compare_puts_runs_of_several_experiments_beside_each_other(
    call: Call, finished: Experiment, make: Make
) -> None:
    make("other", {"kind": "train_step", "run": "one", "step": 3, "loss": 0.5, "accuracy": 0.25})
    rows = objects(call("compare", "2026", "other", "--run", "one", "--json"))
    assert [(row["experiment"], row["loss"]) for row in rows] == [
        ("2026-11-23-154312-gate", 0.125),
        ("other", 0.5),
    ]
    shown = call("compare", "2026", "other")
    assert shown.exit_code == 0
    assert "other" in shown.stdout


def test_compare_without_such_a_run_exits_2(call: Call, finished: Experiment) -> None:
    result = call("compare", "last", "--run", "none")
    assert result.exit_code == 2
    assert "none" in result.stderr


def test_rm_asks_nobody_where_there_is_nobody(call: Call, finished: Experiment) -> None:
    result = call("rm", "2026")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert finished.path.exists()


@pytest.mark.parametrize("answer", ["n", "y"])
def test_rm_asks_on_a_terminal(finished: Experiment, answer: str) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-m", "synergy_tui", "rm", "last"]
    done = subprocess.run(
        command, cwd=ROOT, stdin=theirs, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert str(finished.path) in done.stderr
    assert finished.path.exists() == (answer == "n")
    assert ("Nothing was removed." in done.stderr) == (answer == "n")


def test_rm_removes_all_of_it_or_nothing(call: Call, home: Path, make: Make) -> None:
    keep, gone = make("keep"), make("gone")
    assert call("rm", "--yes", "gone", "misspelt").exit_code == 2
    assert gone.path.exists()
    assert call("rm", "--yes", "gone").exit_code == 0
    assert sorted(each.name for each in home.iterdir()) == [keep.id]


@pytest.fixture
def aged(make: Make) -> dict[str, Experiment]:
    """Experiments whose logs were last written to so many days ago."""
    found = {f"{days}-days": make(f"{days}-days") for days in (0, 29, 31, 400)}
    for days, experiment in zip((0, 29, 31, 400), found.values(), strict=True):
        then = time.time() - days * 86400
        os.utime(experiment.events_path, (then, then))
    return found


def test_rm_older_removes_by_age(call: Call, home: Path, aged: dict[str, Experiment]) -> None:
    asked = call("rm", "--older", "30d")
    assert asked.exit_code == 2, "there is nobody to ask"
    assert "31-days" in asked.stderr
    assert "29-days" not in asked.stderr
    with aged["400-days"].lock():  # it runs, so it stays
        os.utime(aged["400-days"].events_path, (1, 1))
        assert call("rm", "--older", "30d", "--yes").exit_code == 0
    assert sorted(each.name for each in home.iterdir()) == ["0-days", "29-days", "400-days"]
    assert call("rm", "--older", "4w", "--yes").exit_code == 0
    assert sorted(each.name for each in home.iterdir()) == ["0-days"]
    nothing = call("rm", "--older", "12h", "--yes")
    assert nothing.exit_code == 0
    assert "No experiment" in nothing.stderr


def test_damaged_entries_have_a_size_and_an_age(call: Call, home: Path, make: Make) -> None:
    kept = make("kept")
    for name, damage in (
        ("link", lambda path: path.symlink_to(kept.events_path)),
        ("nowhere", lambda path: path.symlink_to(home / "none")),
        ("folder", Path.mkdir),
        ("pipe", os.mkfifo),
    ):
        log = make(name).events_path
        log.unlink()
        damage(log)
        os.utime(log, (1, 1), follow_symlinks=False)
    listed = [json.loads(line) for line in call("ls", "--json").stdout.splitlines()]
    damaged = [each for each in listed if each["problem"]]
    assert {each["state"] for each in damaged} == {"damaged"}
    assert [each["id"] for each in damaged] == ["folder", "link", "nowhere", "pipe"]
    assert all(each["bytes"] > 0 for each in listed)
    for key in listed[0]:
        assert re.search(rf"\b{key}\b", call("ls", "--help").stdout), key
    assert call("rm", "--older", "30d", "--yes").exit_code == 0
    assert [each.name for each in home.iterdir()] == ["kept"]
    assert kept.events_path.exists()


@pytest.mark.parametrize(
    "arguments", [["--older", "30"], ["--older", "-3d"], ["--older", "1d", "0-days"], []]
)
def test_rm_without_a_clear_choice_exits_2(
    call: Call, home: Path, aged: dict[str, Experiment], arguments: list[str]
) -> None:
    assert call("rm", "--yes", *arguments).exit_code == 2
    assert len(list(home.iterdir())) == len(aged)


@pytest.mark.parametrize("command", [["rm", "--yes", "gone"], ["run", "--quiet", "example2"]])
def test_what_a_killed_rm_left_goes_with_the_next_command(
    call: Call, home: Path, make: Make, command: list[str]
) -> None:
    make("gone")
    half = make(".removing-half")
    assert call(*command).exit_code == 0
    assert not half.path.exists()


def test_rm_leaves_a_running_experiment(call: Call, make: Make) -> None:
    experiment = make("busy")
    with experiment.lock():
        result = call("rm", "--yes", "busy")
    assert result.exit_code == 2
    assert "synergy stop busy" in result.stderr
    assert experiment.path.exists()


def test_rm_of_a_link_leaves_what_it_points_to(call: Call, home: Path, make: Make) -> None:
    experiment = make("real")
    (home / "link").symlink_to(experiment.path)
    assert call("rm", "--yes", str(home / "link")).exit_code == 0
    assert not (home / "link").exists()
    assert (experiment.path / "events.jsonl").is_file()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_another_users_private_experiment_does_not_hide_mine() -> None:
    from synergy_tui.experiments.experiment import list_experiments

    with tempfile.TemporaryDirectory() as shared:  # pytest's own folders are closed to others
        for name, mode in (("mine", 0o755), ("theirs", 0o700)):
            folder = Path(shared) / name
            folder.mkdir()
            (folder / "events.jsonl").touch()
            folder.chmod(mode)
        Path(shared).chmod(0o755)
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                os._exit(0 if [each.id for each in list_experiments(shared)] == ["mine"] else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("command", ["stop", "resume"])
def test_what_is_finished_is_looked_at_not_continued(
    command: str, call: Call, finished: Experiment
) -> None:
    refused = call(command, finished.id)
    assert refused.exit_code == 2
    assert f"Look at it: `synergy replay {finished.id}`" in refused.stderr
