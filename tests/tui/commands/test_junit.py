"""JUnit XML says what held, what failed with both sides' values, and what did not run."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from synergy_tui.commands.junit import render_junit, write_junit
from synergy_tui.experiments.state import ExperimentState
from tests.recordings import recording


def folded(*events: dict) -> ExperimentState:
    state = ExperimentState()
    state.apply_all({"v": 1, "t": float(index), **event} for index, event in enumerate(events))
    return state


def started(*runs: str) -> dict:
    return {
        "kind": "experiment_started",
        "id": "an-experiment",
        "scenario": "gate",
        "runs": list(runs),
        "seed": 7,
        "versions": {},
    }


def expectation(that: str, holds: bool, left: float, right: float) -> dict:
    return {"kind": "expectation", "that": that, "holds": holds, "left": left, "right": right}


def test_a_failed_expectation_shows_both_sides() -> None:
    state = folded(
        started("one"),
        {"kind": "run_finished", "run": "one", "step": 3},
        expectation("one.loss < 1", False, 2.5, 1.0),
        expectation("one.fidelity > 0", True, 0.5, 0.0),
        {"kind": "experiment_finished", "exit_code": 1},
    )
    suite = ET.fromstring(render_junit(state)).find("testsuite")
    assert suite is not None
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "gate",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    [case] = [case for case in suite if case.find("failure") is not None]
    assert case.get("name") == "one.loss < 1"
    failure = case.find("failure")
    assert failure is not None
    assert "2.5 against 1.0" in (failure.text or "")


def test_a_failed_run_is_an_error_and_a_stopped_one_is_skipped() -> None:
    state = folded(
        started("one", "two"),
        {"kind": "run_failed", "run": "one", "step": 3, "reason": "loss is not finite"},
        {"kind": "run_stopped", "run": "two", "step": 3, "reason": "asked to stop"},
        {"kind": "experiment_finished", "exit_code": 3},
    )
    suite = ET.fromstring(render_junit(state)).find("testsuite")
    assert suite is not None
    assert (suite.get("errors"), suite.get("skipped"), suite.get("failures")) == ("1", "1", "0")
    assert "loss is not finite" in ET.tostring(suite, encoding="unicode")


def test_an_experiment_that_failed_before_any_run_is_an_error() -> None:
    state = folded(started(), {"kind": "experiment_finished", "exit_code": 3, "reason": "no disk"})
    suite = ET.fromstring(render_junit(state)).find("testsuite")
    assert suite is not None
    assert suite.get("errors") == "1"


def test_names_that_xml_cannot_hold_are_replaced(tmp_path: Path) -> None:
    state = folded(started("a\x00<b>&\ud800"), expectation("\x1b[31m < 1", False, 1.0, 0.0))
    write_junit(tmp_path / "report.xml", state)
    names = [case.get("name") for case in ET.parse(tmp_path / "report.xml").iter("testcase")]
    assert names == ["a�<b>&�", "�[31m < 1"]


def test_the_scoreboard_is_a_property_for_each_claim() -> None:
    state = ExperimentState.read(recording("example2") / "events.jsonl")
    found = {
        each.get("name"): each.get("value", "")
        for each in ET.fromstring(render_junit(state)).iter("property")
    }
    assert found["compared"] == "both (2) against head-1 (1)"
    assert found["synergy-speed"].startswith("contradicted: ✘  synergy, speed:  .875×")
    assert found["clearer"].startswith("supported: ")
