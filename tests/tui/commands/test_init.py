"""init writes commented scenarios that are valid, and never overwrites a file unasked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synergy_engine.topologies.catalogue import FAMILIES
from synergy_trainer.tasks import TASKS
from synergy_tui.commands.init import Answers, _ask
from synergy_tui.scenario import load_scenario

Call = Callable[..., Result]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_a_valid_scenario(task: str, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    result = call("init", file, "--task", task, "--heads", "1,2,4")
    assert result.exit_code == 0, result.stderr
    scenario = load_scenario(file)
    assert scenario.train is not None
    assert scenario.train.task == task
    assert [run.heads for run in scenario.runs] == [1, 2, 4]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_a_valid_scenario(family: str, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    assert call("init", file, "--topology", family, "--nodes", "20").exit_code == 0
    assert load_scenario(file).train is None


def test_flags_and_a_hostile_title_end_up_in_the_file(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    title = 'a "quoted" \\ title\nwith a line break, \x7f and é'
    arguments = ["--steps", "50", "--layers", "2", "--seed", "3", "--title", title]
    assert call("init", file, *arguments).exit_code == 0
    scenario = load_scenario(file)
    assert scenario.train is not None
    assert (scenario.train.steps, scenario.train.layers, scenario.seed) == (50, 2, 3)
    assert scenario.title == title


def test_an_existing_file_is_left_alone(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine", encoding="utf-8")
    result = call("init", file, "--yes")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert file.read_text(encoding="utf-8") == "mine"
    assert call("init", file, "--yes", "--force").exit_code == 0
    assert load_scenario(file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "sot"], "did you mean 'sort'?"),
        (["--heads", "3"], "do not divide"),
        (["--heads", "two"], "as in 1,8"),
        (["--heads", "2,2"], "same number of heads"),
        (["--task", "sort", "--topology", "line"], "one of them"),
    ],
)
def test_answers_that_make_no_scenario_exit_2(
    arguments: list[str], says: str, call: Call, tmp_path: Path
) -> None:
    file = tmp_path / "new.toml"
    result = call("init", file, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not file.exists()


def test_stdout_gets_the_scenario_and_nothing_else(call: Call, tmp_path: Path) -> None:
    result = call("init", "-", "--task", "copy")
    file = tmp_path / "piped.toml"
    file.write_text(result.stdout, encoding="utf-8")
    assert load_scenario(file).train is not None
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("typed", "answers"),
    [
        ("\n" * 6, Answers(task="sort", heads=(1, 8), length=33, layers=1, steps=600)),
        (
            "y\ncopy\n1,x\n1,2\n16\n2\n50\n",
            Answers(task="copy", heads=(1, 2), length=16, layers=2, steps=50),
        ),
        ("n\nstar\n2\n9\n", Answers(task=None, topology="star", heads=(2,), length=9)),
    ],
    ids=["what is proposed", "after a mistake", "graphs"],
)
def test_questions(typed: str, answers: Answers) -> None:
    with CliRunner().isolation(input=typed):
        assert _ask() == answers
