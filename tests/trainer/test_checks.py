"""Settings are checked before anything is built, and parameter counts are matched."""

from __future__ import annotations

import pytest

from synergy_trainer import (
    RunSettings,
    TrainerError,
    TrainSettings,
    check,
    count_parameters,
    match_parameters,
)

ONE = RunSettings("one", heads=1)


def problems(runs: list[RunSettings], **changes: object) -> list[str]:
    with pytest.raises(TrainerError) as caught:
        check(TrainSettings(**changes), runs)  # type: ignore[arg-type]
    return caught.value.problems


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"length": 1}, "length: must be at least 2, got 1"),
        ({"task": "srt"}, "task: there is no task 'srt'; choose one of copy, cycle"),
        ({"task": "sort", "length": 3}, "length: task 'sort' needs at least 4 tokens, got 3"),
        ({"vocabulary": 1}, "vocabulary: must be at least 2, got 1"),
        ({"steps": 0}, "steps: must be at least 1, got 0"),
        ({"batch": -3}, "batch: must be at least 1, got -3"),
        ({"sequences": 8}, "sequences: a set of 8 cannot fill a batch of 64; allowed: 0"),
        (
            {"probe_at": (601,)},
            "probe_at: must be within 0 and 600, as there are only 600 steps, got 601",
        ),
        ({"log_every": 0}, "log_every: must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and below 1, got 1.0"),
        ({"precision": "fp8"}, "precision: must be one of float32, bf16, got 'fp8'"),
        ({"parameter_difference": -1}, "parameter_difference: must be at least 0, got -1"),
        ({"embed": 0}, "embed: must be at least 1, got 0"),
        ({"positions": "alibi"}, "positions: must be one of learned, sinusoidal, rotary"),
        ({"activation": "tanh"}, "activation: must be one of relu, gelu, got 'tanh'"),
        ({"learning_rate": float("nan")}, "learning_rate: must be above 0 and finite, got nan"),
        ({"schedule": "step"}, "schedule: must be one of constant, linear, cosine, got 'step'"),
        ({"warmup": 601}, "warmup: must be at most 600, as there are only 600 steps"),
        ({"warmup": 600, "schedule": "cosine"}, "warmup: must be at most 599"),
        ({"eval_sequences": -1}, "eval_sequences: must be at least 0, got -1"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be(changes: dict, problem: str) -> None:
    (found,) = problems([ONE], **changes)
    assert found.startswith(problem)


def test_a_runs_own_value_is_named_with_the_run() -> None:
    runs = [RunSettings("one", 1, embed=0), RunSettings("two", 1, positions="alibi")]  # type: ignore[arg-type]
    assert problems(runs) == [
        "one.embed: must be at least 1, got 0",
        "two.positions: must be one of learned, sinusoidal, rotary, got 'alibi'",
    ]


def test_interventions_that_cannot_be() -> None:
    runs = [
        RunSettings("far", 4, head_diversity=1.5),
        RunSettings("odd", 8, tied=3),
        RunSettings("none", 4, qk_learning_rate=0.0),
        RunSettings("rotary", 4, head_width=5, positions="rotary"),
    ]
    assert problems(runs) == [
        "far.head_diversity: must be within 0 and 1, got 1.5",
        "odd.tied: groups of 3 do not divide 8 heads evenly",
        "none.qk_learning_rate: must be above 0 and finite, got 0.0",
        "rotary.heads: rotary positions turn pairs of numbers, so the width of a head (5) must be "
        "even",
    ]


def test_all_problems_at_once() -> None:
    runs = [RunSettings("a", heads=7), RunSettings("a", heads=-1), RunSettings("../b", heads=2)]
    found = problems(runs, steps=0, positions="rotary")
    assert found == [
        "steps: must be at least 1, got 0",
        "runs: the name 'a' is used more than once",
        "a.heads: 7 heads do not divide the width embed = 64 (allowed: 1, 2, 4, 8, 16, 32, 64)",
        "a.heads: must be at least 1, got -1",
        "../b: a run's name becomes a file's name, so it must have no slash and no leading dot",
    ]
    assert problems([]) == ["runs: there must be at least one"]
    (rotary,) = problems([RunSettings("thin", heads=64)], positions="rotary")
    assert "must be even" in rotary


def test_unequal_counts_must_be_allowed() -> None:
    runs = [ONE, RunSettings("wide", heads=1, mlp=129)]
    (found,) = problems(runs)
    apart = 2 * (2 * 64 + 1)
    assert found.startswith(f"parameters: the runs differ by {apart} (one ")
    assert found.endswith(f"or set parameter_difference = {apart} to allow it")
    check(TrainSettings(parameter_difference=apart), runs)
    check(TrainSettings(parameter_difference=None), runs)


def test_matching_says_what_it_chose() -> None:
    settings = TrainSettings()
    runs = [ONE, RunSettings("narrow", heads=4, embed=48), RunSettings("same", heads=8)]
    one, narrow, same = match_parameters(settings, runs)
    assert (one.run, same.run) == (runs[0], runs[2])
    assert one.difference == same.difference == 0
    assert same.message.endswith("parameters, as one")
    assert narrow.parameters == count_parameters(settings, narrow.run)
    unit = 2 * (2 * 48 + 1)
    assert abs(narrow.difference) <= unit / 2
    for mlp in (narrow.run.mlp - 1, narrow.run.mlp + 1):
        other = count_parameters(settings, RunSettings("narrow", 4, embed=48, mlp=mlp))
        assert abs(other - one.parameters) >= abs(narrow.difference)
    assert f"narrow: mlp 128 → {narrow.run.mlp}, {narrow.parameters:,} parameters" in narrow.message


def test_equal_widths_of_heads_are_matched_by_the_mlp() -> None:
    """With queries of 16 per head, 8 heads have twice the queries of 4, and a narrower MLP."""
    settings = TrainSettings()
    runs = [RunSettings(str(heads), heads, head_width=16) for heads in (4, 8)]
    more = 2 * 2 * (64 + 1) * 64  # two layers, queries and keys
    assert count_parameters(settings, runs[0]) == count_parameters(settings, ONE)
    assert count_parameters(settings, runs[1]) - count_parameters(settings, ONE) == more
    with pytest.raises(TrainerError, match="the runs differ by 16,640"):
        check(settings, runs)
    _, matched = match_parameters(settings, runs)
    assert matched.run.mlp == 128 - round(more / (2 * (2 * 64 + 1)))
    assert abs(matched.difference) <= 129


def test_matching_that_cannot_be() -> None:
    with pytest.raises(TrainerError, match="there is no run 'two'; there are one"):
        match_parameters(TrainSettings(), [ONE], reference="two")
    with pytest.raises(TrainerError, match="reduce embed or layers"):
        match_parameters(TrainSettings(), [ONE, RunSettings("huge", heads=1, embed=512)])
