"""Scenario files: what they may contain, and the messages about what they may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synergy_engine.topologies.catalogue import FAMILIES
from synergy_trainer import count_parameters
from synergy_tui.errors import UserError
from synergy_tui.scenario import (
    DesignedRun,
    FamilyRun,
    LoadedRun,
    ScenarioError,
    TrainedRun,
    apply_override,
    bundled,
    find_scenario,
    load_scenario,
    parse_scenario,
)
from synergy_tui.scenario.training import matches_of, training_of

TRAINED = """\
title = "A title"
seed = 7

[train]
task = "sort"
steps = 100
embed = 64

[[runs]]
name = "single-head"
heads = 1

[[runs]]
name = "multi-head"
heads = 8

[[expect]]
that = "multi-head.loss < single-head.loss"
"""

DESIGNED = """\
[[runs]]
name = "both"
nodes = ["u", "v", "t"]

[[runs.heads]]
edges = [["u", "v"], ["v", "t"]]

[[runs.heads]]
edges = [
  ["u", "t"],
]
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def problems(path: Path, **options: Any) -> list[tuple[int | None, str, str]]:
    from synergy_tui.scenario.problems import dotted

    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, **options)
    return [(each.line, dotted(each.path), each.message) for each in caught.value.problems]


def the_problem(path: Path, **options: Any) -> tuple[int | None, str, str]:
    found = problems(path, **options)
    assert len(found) == 1, found
    return found[0]


def test_defaults_are_filled_in(write: Any) -> None:
    scenario = load_scenario(write(TRAINED))
    assert scenario.name == "mine"
    assert scenario.train is not None
    assert (scenario.train.batch, scenario.train.learning_rate) == (64, 1e-3)
    assert [type(run) for run in scenario.runs] == [TrainedRun, TrainedRun]
    assert scenario.analysis.convention == "theory"


def test_what_is_resolved_reads_back_the_same(write: Any, tmp_path: Path) -> None:
    for text in (TRAINED, DESIGNED):
        scenario = load_scenario(write(text))
        again = tmp_path / "resolved.toml"
        again.write_text(scenario.as_toml(), encoding="utf-8")
        assert load_scenario(again) == scenario


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.steps=many", "must be an integer"),
        ("train=3", "must be a table"),
        ("seed=[]", "must be an integer"),
        ("runs.nobody.heads=2", "no run 'nobody' (runs: single-head, multi-head)"),
        ("runs.multi-heda.heads=2", "did you mean 'multi-head'?"),
        ("runs.7.heads=2", "no element 7"),
    ],
)
def test_what_set_cannot_do(write: Any, override: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        load_scenario(write(TRAINED), overrides=[override])
    assert says in caught.value.message


@pytest.mark.parametrize("rule", ["every:0", "every:-1", "every:", "every:1.5", "first", "", "ALL"])
def test_a_rule_for_keeping_attention_that_means_nothing(write: Any, rule: str) -> None:
    line, key, message = the_problem(write(f'{TRAINED}\n[analysis]\nkeep = "{rule}"\n'))
    assert key == "analysis.keep"
    assert "every:N" in message
    assert line is not None


def test_a_key_below_the_tables_of_every_run_is_set_in_each(write: Any) -> None:
    drawn = 'graph = { topology = "line", nodes = 8 }\n'
    text = "".join(f'[[runs]]\nname = "{name}"\nheads = 2\n{drawn}' for name in "ab")
    scenario = load_scenario(write(text), overrides=["runs.graph.nodes=5"])
    assert [run.graph.nodes for run in scenario.runs if isinstance(run, FamilyRun)] == [5, 5]


def test_a_home_that_nobody_has_is_a_name_like_any_other(write: Any) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_scenario(find_scenario("~nobody-at-all/mine.toml"))
    text = '[[runs]]\nname = "a"\nattention = "~nobody-at-all/a.npy"\n'
    [run] = load_scenario(write(text)).runs
    assert run.attention.endswith("~nobody-at-all/a.npy")  # type: ignore[union-attr]


def test_kinds_of_runs(write: Any, tmp_path: Path) -> None:
    text = (
        DESIGNED
        + """
[[runs]]
name = "family"
heads = 4
graph = { topology = "sliding_window", nodes = 16, window = 3, diversity = 0.5 }

[[runs]]
name = "loaded"
attention = "attention.npy"

[[runs]]
name = "mixed"
nodes = 8
[[runs.heads]]
topology = "line"
[[runs.heads]]
topology = "fixed_in_degree"
degree = 2
"""
    )
    scenario = load_scenario(write(text))
    assert [type(run) for run in scenario.runs] == [
        DesignedRun,
        FamilyRun,
        LoadedRun,
        DesignedRun,
    ]
    loaded = scenario.run("loaded")
    assert isinstance(loaded, LoadedRun)
    assert loaded.attention == str(tmp_path / "attention.npy"), "from the scenario's folder on"
    family = scenario.run("family")
    assert isinstance(family, FamilyRun)
    assert family.graph.parameters == {"window": 3}


def test_every_parameter_of_every_topology_is_in_the_schema() -> None:
    from synergy_tui.scenario import Scenario

    schema = Scenario.model_json_schema()
    for table in ("Graph", "Head"):
        definition = schema["$defs"][table]
        assert definition["additionalProperties"] is False
        for family in FAMILIES.values():
            for parameter in family.parameters:
                assert parameter.name in definition["properties"]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("seed = 7", "sead = 7", 2, "sead", "did you mean 'seed'?"),
        ("steps = 100", "setps = 100", 6, "train.setps", "did you mean 'steps'?"),
        ("steps = 100", "steps = -1", 6, "train.steps", "greater than or equal to 1"),
        ("steps = 100", 'steps = "many"', 6, "train.steps", "integer"),
        ("steps = 100", "steps = 1.5", 6, "train.steps", "integer"),
        ("steps = 100", "learning_rate = nan", 6, "train.learning_rate", ""),
        ('"sort"', '"srot"', 5, "train.task", "did you mean 'sort'?"),
        ('"sort"', "3", 5, "train.task", "string"),
        ('task = "sort"\n', "", 4, "train.task", "needed"),
        ("embed = 64", 'precision = "fp16"', 7, "train.precision", "allowed: float32, bf16"),
        ("embed = 64", "length = 3", 7, "train.length", "at least 4"),
        ("embed = 64", "probe_at = [1, 200]", 7, "train.probe_at[1]", "only 100 steps"),
        ("embed = 64", "warmup = 101", 7, "train.warmup", "at most 100"),
        ("embed = 64", 'schedule = "step"', 7, "train.schedule", "allowed: constant, linear"),
        ("heads = 8", "heads = 8\nhead_diversity = 2", 16, "runs[1].head_diversity", "equal to 1"),
        ("heads = 8", "heads = 8\ntied = 3", 16, "runs[1].tied", "groups of 3 do not divide 8"),
        ("heads = 8", "heads = 8\nhead_width = 5\npositions = \"rotary\"", 15, "runs[1].heads",
         "(5) must be even"),
        ("heads = 8", "heads = -1", 15, "runs[1].heads", "greater than or equal to 1"),
        ("heads = 8", "heads = 7", 15, "runs[1].heads", "1, 2, 4, 8, 16, 32, 64"),
        ("heads = 8", "heads = true", 15, "runs[1].heads", ""),
        ("seed = 7", 'seed = "7"', 2, "seed", "integer"),
        ("heads = 8", "hedas = 8", 15, "runs[1].hedas", "did you mean 'heads'?"),
        ('"multi-head"', '"single-head"', 14, "runs[1].name", "runs[0] has this name"),
        ('"multi-head"\n', '"multi head"\n', 14, "runs[1].name", "letters"),
        ('"multi-head"\n', '"../../evil"\n', 14, "runs[1].name", "letters"),
        ("multi-head.loss", "multihead.loss", 18, "expect[0].that", "did you mean 'multi-head'?"),
        ("multi-head.loss", "multi-head.los", 18, "expect[0].that", "did you mean 'loss'?"),
        ("loss <", "loss =", 18, "expect[0].that", "equality is written =="),
        ("multi-head.loss < single-head.loss", "1 < 2", 18, "expect[0].that", "two numbers"),
        ("[[expect]]", "[[expects]]", 17, "expects", "did you mean 'expect'?"),
        ("[train]", "[analysis]\nepsilon = 2\n[train]", 5, "analysis.epsilon", "less than 1"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place(
    write: Any, old: str, new: str, line: int, key: str, message: str
) -> None:
    assert old in TRAINED
    found = problems(write(TRAINED.replace(old, new, 1)))
    matching = [each for each in found if each[:2] == (line, key)]
    assert matching, found
    assert message in matching[0][2]


def test_all_mistakes_are_told_at_once(write: Any) -> None:
    text = TRAINED.replace("seed", "sead").replace('"sort"', '"srot"').replace("= 8", "= -8")
    assert [each[0] for each in problems(write(text))] == [2, 5, 15]
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(text))
    assert "3 problems" in caught.value.message
    assert 'mine.toml:5: train.task = "srot"' in caught.value.message


def test_a_run_that_is_trained_needs_a_train_table(write: Any) -> None:
    line, key, message = the_problem(write('[[runs]]\nname = "a"\nheads = 2\n'))
    assert (line, key) == (1, "runs[0]")
    assert "[train]" in message


def test_runs_with_different_parameter_counts_are_refused_unless_meant(write: Any) -> None:
    wider = TRAINED.replace("heads = 8", "heads = 8\nembed = 128")
    line, key, message = the_problem(write(wider))
    assert (line, key) in ((4, "train"), (13, "runs[1]"))
    assert "parameters" in message
    meant = wider.replace("embed = 64", 'embed = 64\nparameter_difference = "any"')
    assert load_scenario(write(meant))


def test_an_mlp_is_made_as_wide_as_brings_the_parameters_nearest(write: Any) -> None:
    narrow = TRAINED.replace("heads = 8", 'heads = 8\nembed = 32\nmlp = "match"')
    assert "set parameter_difference = " in the_problem(write(narrow))[2]
    scenario = load_scenario(
        write(narrow.replace("embed = 64", "embed = 64\nparameter_difference = 100"))
    )
    settings, runs = training_of(scenario)
    one, other = (count_parameters(settings, run) for run in runs)
    assert 0 < abs(one - other) <= 100
    (match,) = matches_of(scenario)
    assert match.run == runs[1]
    assert f"mlp {settings.mlp} → {runs[1].mlp}" in match.message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"<designed>" = []\n' + DESIGNED, "<designed>"),
        (DESIGNED.replace("nodes =", '"<designed>" = 1\nnodes ='), "runs[0].<designed>"),
    ],
)
def test_a_key_named_as_a_kind_of_run_is_an_unknown_key(write: Any, text: str, key: str) -> None:
    _, found, message = the_problem(write(text))
    assert (found, message[:11]) == (key, "unknown key")


def test_somebody_must_be_there_to_match(write: Any) -> None:
    text = TRAINED.replace("heads = 8", 'heads = 8\nmlp = "match"')
    alone = text.replace("heads = 1", 'heads = 1\nmlp = "match"')
    assert 'every run says "match"' in the_problem(write(alone))[2]


def test_interventions_and_controls_reach_the_trainer(write: Any) -> None:
    train = 'embed = 64\nschedule = "cosine"\nwarmup = 10\neval_sequences = 99\nprobe_stream = 3'
    text = TRAINED.replace("embed = 64", train + "\nablate = true\nnorms = true", 1).replace(
        "heads = 8", "heads = 8\nhead_diversity = 0.5\nmatch_scale = true\ntied = 2"
    )
    settings, (single, multi) = training_of(load_scenario(write(text)))
    assert (settings.schedule, settings.warmup, settings.eval_sequences) == ("cosine", 10, 99)
    assert (settings.probe_stream, settings.ablate, settings.norms) == (3, True, True)
    assert single.interventions == {}
    assert multi.interventions == {"head_diversity": 0.5, "match_scale": True, "tied": 2}


def test_a_scenario_needs_runs(write: Any) -> None:
    assert "at least one" in the_problem(write('title = "empty"\n'))[2]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ('["v", "t"]', '["v", "x"]', 6, "runs[0].heads[0].edges[1]", "no node 'x'"),
        ('["u", "t"],', '["t", "u"],', 10, "runs[0].heads[1].edges[0]", "earlier node to a later"),
        ('["u", "t"],', '["u", 7],', 10, "runs[0].heads[1].edges[0]", "0 to 2"),
        ('["u", "t"],', '["u"],', 9, "runs[0].heads[1].edges", "[from, to]"),
        ('["u", "t"],', '["u", "t", -1],', 9, "runs[0].heads[1].edges", "at least 0"),
        ('["u", "t"],', '["u", "t", inf],', 9, "runs[0].heads[1].edges", "at least 0"),
        ('"u", "v", "t"]', '"u", "u", "t"]', 3, "runs[0].nodes[1]", "once"),
        ('nodes = ', 'weights = [1, 2, 3]\nnodes = ', 3, "runs[0].weights", "3 weights for 2"),
        ('nodes = ', 'weights = [0, 0]\nnodes = ', 3, "runs[0].weights", "not all of them 0"),
        ('nodes = ', 'weights = "learned"\nnodes = ', 3, "runs[0].weights", "learnt nothing"),
        ('nodes = ', 'weights = "best"\nnodes = ', 3, "runs[0].weights", "uniform"),
        ('edges = [\n  ["u", "t"],\n]', 'topology = "lien"', 9, "runs[0].heads[1].topology",
         "line"),
        ('edges = [\n  ["u", "t"],\n]', "", 8, "runs[0].heads[1]", "one of topology"),
        (
            'edges = [\n  ["u", "t"],\n]', 'topology = "sliding_window"\nwindow = 0', 10,
            "runs[0].heads[1].window", "at least 1",
        ),
        (
            'edges = [\n  ["u", "t"],\n]', 'topology = "sliding_window"\nwindwo = 2', 10,
            "runs[0].heads[1].windwo", "did you mean 'window'?",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_designed_graphs(
    write: Any, old: str, new: str, line: int, key: str, message: str
) -> None:
    assert old in DESIGNED
    found = problems(write(DESIGNED.replace(old, new, 1)))
    matching = [each for each in found if each[:2] == (line, key)]
    assert matching, found
    assert message in matching[0][2]


def test_a_node_that_cannot_reach_the_sink_is_named(write: Any) -> None:
    text = DESIGNED.replace('["u", "v"], ["v", "t"]', '["u", "v"]')
    _, key, message = the_problem(write(text))
    assert key == "runs[0].heads"
    assert "cannot reach the sink t" in message
    assert ": v;" in message
    allowed = text.replace('name = "both"', 'name = "both"\nunreachable = "allow"')
    assert load_scenario(write(allowed))


def test_one_head_may_miss_the_sink_when_another_leads_there(write: Any) -> None:
    assert load_scenario(write(DESIGNED.replace('["u", "v"], ["v", "t"]', '["v", "t"]')))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"title = ", "mine.toml:1: not valid TOML"),
        (b"a = 1\na = 2\n", "mine.toml:2: not valid TOML"),
        (b"\x00\x01\x02", "not valid TOML"),
        (b"\xff\xfe\xfd", "not UTF-8"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"runs = 3", "runs = 3"),
        (b"runs = [3, 'x']", "runs[0]"),
        (b"train = 3\nexpect = 'x'\n", "train = 3"),
        (b"[[runs]]\nheads = [[1]]\nname = 3\n", "runs[0]"),
        (b"", "at least one"),
    ],
)
def test_files_that_are_no_scenario(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_scenario(path)
    assert message in caught.value.message


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "Diverse.toml").write_text(TRAINED)
    with pytest.raises(UserError) as caught:
        load_scenario(tmp_path / "Divers.toml")
    assert "no such file" in caught.value.message
    assert caught.value.hint is not None
    assert "Diverse.toml" in caught.value.hint


def test_overrides(write: Any) -> None:
    path = write(TRAINED)
    scenario = load_scenario(
        path,
        overrides=["train.steps=5", "runs.multi-head.heads=4", 'title="x y"', "train.task=copy"],
        seed=3,
    )
    assert scenario.train is not None
    assert (scenario.train.steps, scenario.train.task) == (5, "copy")
    assert (scenario.run("multi-head").heads, scenario.title, scenario.seed) == (4, "x y", 3)
    assert [run.heads for run in load_scenario(path, overrides=["runs.heads=2"]).runs] == [2, 2]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stesp=5", "did you mean 'steps'?"),
        ("train.steps=-5", "greater than or equal to 1"),
        ("train.steps", "write key=value"),
        ("=5", "write key=value"),
        ("title.x=5", "title is not a table"),
        ("runs.5.heads=5", "there is no element 5"),
        ("runs.0.name=multi-head", "has this name already"),
    ],
)
def test_bad_overrides_are_told_without_a_line(write: Any, override: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(TRAINED), overrides=[override])
    assert message in caught.value.message


def test_an_override_makes_tables_that_are_missing() -> None:
    raw: dict[str, Any] = {}
    assert apply_override(raw, "analysis.convention=feedforward") == ("analysis", "convention")
    assert raw == {"analysis": {"convention": "feedforward"}}


def test_programs_get_the_same_errors() -> None:
    with pytest.raises(ScenarioError, match="sweep point 3"):
        parse_scenario({"runs": [{"name": "a", "heads": 0}]}, name="x", origin="sweep point 3")


def test_bundled_scenarios_are_valid_and_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"diverse_heads", "example2", "identical_heads"} <= set(bundled())
    for name, path in bundled().items():
        assert load_scenario(path).name == name
    assert find_scenario("example2") == bundled()["example2"]
    with pytest.raises(UserError, match="did you mean 'example2'"):
        find_scenario("exmaple2")
    monkeypatch.chdir(tmp_path)
    for elsewhere in ("scenarios/example2.toml", "example2.toml", "/nowhere/example2.toml"):
        with pytest.raises(UserError, match="no such file") as refused:
            find_scenario(elsewhere)
        assert "example2 comes with Synergy" in (refused.value.hint or "")


def test_from_one_head_to_eight_only_the_diversity_changes() -> None:
    runs = load_scenario(bundled()["one_to_many"]).runs
    apart = [run.model_dump(exclude={"name"}) for run in runs]
    assert [run.pop("head_diversity") for run in apart] == [0, 0.25, 0.5, 0.75, 1]
    assert all(run == apart[0] for run in apart)
