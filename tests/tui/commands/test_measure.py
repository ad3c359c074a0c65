"""`synergy measure`: tables and JSON of finished sweeps, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from synergy_tui.sweep.directory import Sweep

Call = Callable[..., Result]


def records(call: Call, *args: object) -> list[dict[str, object]]:
    result = call("measure", *args, "--json")
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(call: Call, *args: object) -> str:
    result = call("measure", *args)
    assert result.exit_code == 2
    return str(result.stderr)


def test_every_question_has_a_table_and_objects(call: Call, ablated_sweep: Sweep) -> None:
    questions = ("--layers", "--sinks", 3, "--condition", "--ablate")
    text = call("measure", ablated_sweep.path, *questions).stdout
    for heading in ("best chain", "last 3 in turn", "theory says", "of the output projection"):
        assert heading in text
    asked = records(call, ablated_sweep.path, "--layers", "--sinks", 3, "--ablate")
    kinds = [each["kind"] for each in asked]
    # Two seeds and two head counts by three γ, or by two layers; of two heads two layers, three
    # tests by two ways.
    wanted = {"layers": 12, "sinks": 8, "ablation": 4, "relation": 12}
    assert {kind: kinds.count(kind) for kind in kinds} == wanted


def test_runs_can_be_chosen(call: Call, ablated_sweep: Sweep) -> None:
    found = records(call, ablated_sweep.path, "--layers", "--run", "heads-1")
    assert {each["run"] for each in found} == {"heads-1"}
    assert all(each["synergy"] == pytest.approx(1.0) for each in found)
    assert "No finished run is called other" in refused(
        call, ablated_sweep.path, "--layers", "--run", "other"
    )


def test_designed_graphs_have_conditions_and_nothing_to_ablate(
    call: Call, designed_sweep: Sweep
) -> None:
    found = records(call, designed_sweep.path, "--condition")
    # A line hears every node in one head as in four; redrawn lines lose some.
    assert {each["group"] for each in found} == {"funsearch", "line"}
    assert {each["heads"] for each in found} == {4}
    assert "no trained run of several heads" in refused(call, designed_sweep.path, "--ablate")
    assert "no layers" in refused(call, designed_sweep.path, "--layers")
    assert "no positions" in refused(call, designed_sweep.path, "--sinks", 3)


def test_a_question_is_needed(call: Call, tmp_path: Path) -> None:
    assert "Give --layers" in refused(call, "last", "--out", tmp_path)
