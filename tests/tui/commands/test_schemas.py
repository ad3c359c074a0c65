"""Shipped schemas are current, accept what is written, and refuse what is not allowed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints, is_typeddict

import numpy as np
import pytest
from click.testing import Result
from jsonschema import Draft202012Validator

from synergy_tui.experiments.analysis import Analysis
from synergy_tui.experiments.events import plain
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.schemas import SCHEMAS, render, schema_path
from synergy_tui.sweep.directory import Sweep
from tests.places import ROOT
from tests.tui.recorded_sweeps import record

SCENARIOS = sorted((ROOT / "scenarios").glob("*.toml"))
RECORDINGS = sorted((ROOT / "tests" / "data" / "recordings").rglob("*.jsonl"))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema_path(name).read_text(encoding="utf-8")))


def problems(name: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(value)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shipped_schema_is_current(name: str) -> None:
    shipped = schema_path(name).read_text(encoding="utf-8")
    assert shipped == render(SCHEMAS[name]()), "run: python -m synergy_tui.schemas"
    Draft202012Validator.check_schema(json.loads(shipped))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_shipped_scenarios_are_valid_and_name_the_schema(scenario: Path) -> None:
    text = scenario.read_text(encoding="utf-8")
    assert problems("scenario", tomllib.loads(text)) == []
    named = re.match(r"#:schema (\S+)\n", text)
    assert named, "the first line is `#:schema ../synergy_tui/schemas/scenario.schema.json`"
    assert (scenario.parent / named[1]).resolve() == schema_path("scenario")


@pytest.mark.parametrize(
    "change",
    [
        {"seeed": 7},
        {"seed": -1},
        {"train": {"task": "sorting"}},
        {"runs": [{"name": "one", "heads": 0}]},
        {"analysis": {"convention": "practice"}},
    ],
    ids=["unknown key", "negative", "no such task", "no heads", "no such convention"],
)
def test_the_scenario_schema_refuses(change: dict[str, Any]) -> None:
    valid = {"seed": 7, "train": {"task": "sort"}, "runs": [{"name": "one", "heads": 1}]}
    assert problems("scenario", valid) == []
    assert problems("scenario", {**valid, **change})


def test_events_as_they_are_written_are_valid(finished: Experiment) -> None:
    for line in finished.events_path.read_text(encoding="utf-8").splitlines():
        assert problems("events", json.loads(line)) == []


@pytest.mark.parametrize("log", RECORDINGS, ids=lambda path: path.parent.name)
def test_recorded_streams_are_valid(log: Path) -> None:
    check = validator("events")
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), 1):
        found = [
            f"{each.json_path}: {each.message}" for each in check.iter_errors(json.loads(line))
        ]
        assert not found, (number, found)


@pytest.mark.parametrize(
    "event",
    [
        {"t": 0.0, "kind": "warning", "message": "no version"},
        {"v": 1, "t": -1.0, "kind": "warning", "message": "before the start"},
        {"v": 1, "t": 0.0, "kind": "train_step", "run": "one", "step": 1},
        {"v": 1, "t": 0.0, "kind": "checkpoint", "run": "one", "step": "1", "path": "x"},
    ],
)
def test_the_event_schema_refuses(event: dict[str, Any]) -> None:
    assert problems("events", event)


def test_kinds_of_later_versions_are_let_through() -> None:
    assert problems("events", {"v": 1, "t": 1.0, "kind": "telepathy"}) == []


@pytest.mark.parametrize("convention", ["theory", "paper-code", "feedforward"])
def test_what_the_engine_measures_is_a_valid_analysis(convention: str) -> None:
    import synergy_engine as engine

    rng = np.random.default_rng(5)
    raw = np.tril(rng.random((2, 2, 3, 6, 6)))
    raw[:, 1, :, :-1] = np.eye(6)[:-1]  # nothing moves in layer 2: infinite and censored times
    attention = raw / raw.sum(-1, keepdims=True)
    found = engine.analyze_batch(attention, convention=convention, max_steps=50)
    described = get_type_hints(Analysis)
    for analysis in [each.as_dict() for each in found] + [engine.overall(found)]:
        assert problems("analysis", plain(analysis)) == []
        assert analysis.keys() <= described.keys()
        for name, value in analysis.items():
            if is_typeddict(described[name]):
                assert value.keys() <= get_type_hints(described[name]).keys(), name


def test_what_the_report_prints_is_valid(
    call: Callable[..., Result], designed_sweep: Sweep, tmp_path: Path
) -> None:
    """Of trained and of designed heads: every verdict, no interval, and numbers without end."""
    printed = [
        json.loads(line)
        for sweep in (designed_sweep, record(tmp_path))
        for line in call("report", sweep.path, "--json").stdout.splitlines()
    ]
    assert {each["verdict"] for each in printed} == {
        "supported", "contradicted", "no effect", "undecided",
    }  # fmt: skip
    for each in printed:
        assert problems("report", each) == []
    assert "Infinity" not in json.dumps(printed)
    for change in ({"verdict": "proven"}, {"claim": "faster"}, {"n": -1}, {"interval": [1.0]}):
        assert problems("report", {**printed[0], **change})
    assert problems("report", {k: v for k, v in printed[0].items() if k != "ratio"})


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_prints_the_file(name: str, call: Callable[..., Result]) -> None:
    printed = call("schema", name)
    assert printed.exit_code == 0
    assert printed.stdout == schema_path(name).read_text(encoding="utf-8")
    assert call("schema", name, "--path").stdout == f"{schema_path(name)}\n"
