"""From the [sweep] table to points."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from synergy_tui.claims import SMALLEST_EFFECT
from synergy_tui.errors import UserError
from synergy_tui.scenario import ScenarioError, load_scenario
from synergy_tui.sweep import plan
from synergy_tui.sweep.directory import Sweep, create_sweep
from synergy_tui.sweep.plan import Point, expand
from tests.places import ROOT

BASE = """
title = "T"
[train]
task = "sort"
length = 17
steps = 100
layers = 1
"""
SHIPPED = sorted(
    path for path in (ROOT / "scenarios").glob("*.toml") if "\n[sweep]" in path.read_text()
)


def points_of(text: str, tmp_path: Path) -> list[Point]:
    file = tmp_path / "s.toml"
    file.write_text(BASE + text)
    return expand(load_scenario(file))


def test_a_grid_is_every_combination_with_every_seed(tmp_path: Path) -> None:
    points = points_of(
        '[sweep]\nseeds = 3\ntasks = ["sort", "copy"]\nwidths = [32, 64]\nheads = [1, 4]', tmp_path
    )
    assert len(points) == 2 * 2 * 3
    assert len({point.name for point in points}) == 12
    first = points[0]
    assert (first.name, first.group, first.seed) == ("sort-w32-s0", "sort-w32", 0)
    assert first.settings == {"tasks": "sort", "widths": 32}
    assert first.columns == {"heads-1": 1, "heads-4": 4}
    assert first.scenario.sweep is None
    assert first.scenario.train is not None
    assert first.scenario.train.embed == 32
    assert [run.heads for run in first.scenario.trained] == [1, 4]
    assert {point.scenario.seed for point in points} == {0, 1, 2}


def test_runs_of_the_scenario_are_compared_when_no_axis_is(tmp_path: Path) -> None:
    runs = '[[runs]]\nname = "a"\nheads = 1\n[[runs]]\nname = "b"\nheads = 8\n'
    points = points_of(runs + "[sweep]\nseeds = [7, 9]", tmp_path)
    assert [point.name for point in points] == ["s7", "s9"]
    assert points[0].columns == {"a": "a", "b": "b"}


def test_a_template_run_is_repeated_for_every_value(tmp_path: Path) -> None:
    runs = '[[runs]]\nname = "net"\nheads = 1\nlearning_rate = 0.01\n'
    (point,) = points_of(runs + "[sweep]\nheads = [2, 4]", tmp_path)
    assert [(run.name, run.learning_rate) for run in point.scenario.trained] == [
        ("net-2", 0.01),
        ("net-4", 0.01),
    ]


def test_listed_points_stand_alone_or_beside_a_grid(tmp_path: Path) -> None:
    listed = '[[sweep.points]]\ntask = "copy"\nseed = 5\n[[sweep.points]]\n"train.steps" = 7\n'
    points = points_of("[sweep]\nheads = [1]\nseeds = 2\n" + listed, tmp_path)
    assert [point.name for point in points] == ["copy-s5", "step7-s0", "step7-s1"]
    assert points[1].scenario.train is not None
    assert points[1].scenario.train.steps == 7
    both = points_of('[sweep]\nheads = [1]\ntasks = ["sort"]\n' + listed, tmp_path)
    assert [point.name for point in both] == ["sort-s0", "copy-s5", "step7-s0"]


def test_overrides_reach_points_and_single_columns(tmp_path: Path) -> None:
    points = points_of(
        '[sweep]\ntasks = ["sort", "copy"]\nheads = [1, 2]\nseeds = 2\n'
        '[[sweep.overrides]]\nwhere = { tasks = "copy", seed = 1 }\nset = { "train.steps" = 9 }\n'
        '[[sweep.overrides]]\nwhere = { heads = 2 }\nset = { "runs.learning_rate" = 0.5 }\n',
        tmp_path,
    )
    steps = {p.name: p.scenario.train.steps for p in points if p.scenario.train}
    assert steps == {"sort-s0": 100, "sort-s1": 100, "copy-s0": 100, "copy-s1": 9}
    rates = [run.learning_rate for run in points[0].scenario.trained]
    assert rates == [None, 0.5]


def test_any_scenario_key_can_be_an_axis(tmp_path: Path) -> None:
    points = points_of(
        '[sweep]\nheads = [1]\n[sweep.axes]\n"train.learning_rate" = [0.001, 0.01]', tmp_path
    )
    assert [p.scenario.train.learning_rate for p in points if p.scenario.train] == [0.001, 0.01]
    assert len({point.name for point in points}) == 2


def test_designed_families_and_their_knob(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(
        '[[runs]]\nname = "g"\nheads = 2\ngraph = { topology = "line", nodes = 8 }\n'
        '[sweep]\ntopologies = ["line", "funsearch"]\ncompare = "diversity"\n'
        "diversity = [0.0, 0.5]\nnodes = [8, 16]\n"
    )
    points = expand(load_scenario(file))
    assert len(points) == 4
    run: Any = points[-1].scenario.runs[1]
    assert (run.name, run.graph.topology, run.graph.nodes, run.graph.diversity) == (
        "g-0_5",
        "funsearch",
        16,
        0.5,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sweep]\nseeds = 2", "compares nothing"),
        ("[sweep]\nheads = [1, 5]", "5 heads do not divide"),
        ("[sweep]\nheads = [2, 2]", "repeats a value"),
        ("[sweep]\nhaeds = [2]", "did you mean 'heads'"),
        ("[sweep]\nheads = [1]\ncompare = 'tasks'", "not an axis given here"),
        ("[sweep]\nheads = [1]\nseeds = 0", "greater than or equal to 1"),
        ('[sweep]\nheads = [1]\ntasks = ["srot"]', "did you mean"),
        ('[sweep]\nheads = [1]\ntasks = ["sort"]\n[[sweep.points]]\ntask = "sort"', "twice"),
        (
            "[sweep]\nheads = [1]\n[[sweep.overrides]]\nwhere = { heads = 1 }\n"
            'set = { "train.steps" = 5 }',
            "which all runs share",
        ),
        ('[sweep]\nheads = [1]\n[sweep.axes]\n"train.embed" = [8]', "is written 'widths'"),
        ("[sweep]\nheads = [1]\n[[sweep.points]]\nheads = 4", "compared within each point"),
        ('[sweep]\nheads = [1]\n[sweep.axes]\n"title.x" = [8]', "cannot set"),
    ],
)
def test_mistakes_are_reported(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        points_of(text, tmp_path)
    assert message in caught.value.message


def test_a_mistake_in_the_table_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        points_of("[sweep]\nheads = [0]", tmp_path)
    assert "s.toml:9" in caught.value.message


def test_too_many_points_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_point", lambda *_: pytest.fail("a point was made"))
    with pytest.raises(UserError, match="more than 10,000 points"):
        points_of("[sweep]\nheads = [1]\ntasks = ['sort', 'copy']\nseeds = 10000", tmp_path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_expand_and_are_compared_by_something(path: Path) -> None:
    points = expand(load_scenario(path))
    assert points
    assert all(len(point.columns) > 1 for point in points)
    if path.stem.startswith("paper_") and path.stem != "paper_small":
        train = points[0].scenario.train
        assert train is not None
        assert (train.steps, train.length, train.vocabulary, train.layers) == (20_000, 100, 256, 4)


def test_the_cpu_sweep_is_as_large_as_it_claims() -> None:
    (path,) = [each for each in SHIPPED if each.stem == "sweep_heads"]
    points = expand(load_scenario(path))
    tasks = {point.settings["tasks"] for point in points}
    assert len(tasks) >= 3
    assert len(points[0].columns) >= 4
    assert len({point.seed for point in points}) >= 5


def test_a_key_of_runs_is_compared_without_a_template(tmp_path: Path) -> None:
    table = '[sweep]\nheads = [2, 4]\ncompare = "runs.head_diversity"\n'
    points = points_of(table + '[sweep.axes]\n"runs.head_diversity" = [0.0, 0.25, 1.0]', tmp_path)
    assert [point.name for point in points] == ["2-s0", "4-s0"]
    assert [(run.heads, run.head_diversity) for run in points[1].scenario.trained] == [
        (4, 0.0),
        (4, 0.25),
        (4, 1.0),
    ]
    assert list(points[1].columns) == [
        "head_diversity-0",
        "head_diversity-0_25",
        "head_diversity-1",
    ]


PREDICTED = """
[sweep]
seeds = 2
tasks = ["sort", "copy"]
heads = [1, 2]
[[sweep.predict]]
claim = "learned"
outcome = "no effect"
why = "copy needs no attention"
where = { tasks = "copy" }
"""


def test_predictions_are_in_the_plan_before_the_first_event(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + PREDICTED)
    scenario = load_scenario(file)
    sweep = create_sweep(scenario, expand(scenario), tmp_path)
    ((prediction, made),) = sweep.predictions
    assert (prediction.claim, prediction.outcome, prediction.effect) == (
        "learned",
        "no effect",
        SMALLEST_EFFECT,
    )
    assert datetime.datetime.fromisoformat(made) <= datetime.datetime.now(datetime.UTC)
    # What is written into the copy afterwards is not in the plan, and says so.
    with (sweep.path / "sweep.toml").open("a") as later:
        later.write('[[sweep.predict]]\nclaim = "clearer"\noutcome = "supported"\n')
    assert [bool(made) for _, made in Sweep(sweep.path).predictions] == [True, False]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (('"learned"', '"leaned"'), "there is no such claim; did you mean 'learned'?"),
        (("no effect", "up"), "allowed: supported, contradicted, no effect"),
        (("why =", "effect = 1.0\nwhy ="), "greater than 1"),
        (("why =", "whi ="), "unknown key; did you mean 'why'?"),
        (('tasks = "copy"', 'task = "copy"'), "not an axis of this sweep; did you mean 'tasks'?"),
        (('tasks = "copy" }', 'tasks = "cop" }'), "tasks has no value 'cop'; did you mean 'copy'?"),
        (('where = { tasks = "copy"', "where = { heads = 1"), "what a group compares"),
    ],
)
def test_a_prediction_about_nothing_is_refused(
    changed: tuple[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError) as caught:
        points_of(PREDICTED.replace(*changed), tmp_path)
    assert message in str(caught.value)


NARROWED = """
[sweep]
seeds = 2
heads = [1, 2]
tasks = ["sort", "copy", "cycle"]
[[sweep.overrides]]
where = { tasks = "copy" }
set = { "train.steps" = 5 }
[[sweep.overrides]]
where = { tasks = ["cycle", "sort"] }
set = { "train.steps" = 6 }
[[sweep.predict]]
claim = "learned"
outcome = "no effect"
where = { tasks = ["copy", "cycle"] }
[[sweep.predict]]
claim = "clearer"
outcome = "supported"
where = { tasks = "sort" }
[[sweep.predict]]
claim = "sooner"
outcome = "supported"
"""


def test_what_is_about_tasks_that_are_cut_is_cut_with_them(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + NARROWED)
    notes: list[str] = []
    scenario = load_scenario(file, overrides=['sweep.tasks=["sort"]'], notes=notes)
    assert scenario.sweep is not None
    assert [each.claim for each in scenario.sweep.predict] == ["clearer", "sooner"]
    assert [each.where for each in scenario.sweep.overrides] == [{"tasks": ["sort"]}]
    steps = [point.scenario.train.steps for point in expand(scenario) if point.scenario.train]
    assert steps == [6, 6]
    assert notes == [
        "--set cuts tasks copy, tasks cycle; left out with that: 1 of 3 predictions",
        "--set cuts tasks copy; left out with that: 1 of 2 overrides",
    ]
    notes.clear()
    assert load_scenario(file, overrides=["sweep.seeds=1"], notes=notes).sweep is not None
    assert notes == []


@pytest.mark.parametrize(
    ("damaged", "overrides", "message"),
    [
        ('["copy", "cycle"]', ['tasks=["sort"]'], "tasks has no value 'cop'"),
        ('tasks = "copy" }', ["seeds=1"], "override where 'tasks': tasks has no value 'cop'"),
        # What is given with the narrower axis is not of the file.
        ("", ['tasks=["sort"]', 'overrides=[{where={tasks="copy"}, set={}}]'], "no value 'copy'"),
    ],
)
def test_what_is_about_no_task_at_all_is_a_typo(
    damaged: str, overrides: list[str], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + NARROWED.replace(damaged, damaged.replace("copy", "cop"), 1))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, overrides=[f"sweep.{each}" for each in overrides])
    assert message in str(caught.value)


def test_seeds_alone_are_one_group(tmp_path: Path) -> None:
    """Means over seeds need all of them together."""
    points = points_of("[sweep]\nseeds = 3\nheads = [1, 4]", tmp_path)
    assert [point.name for point in points] == ["s0", "s1", "s2"]
    assert {point.group for point in points} == {""}
