"""Calling somebody back to the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from synergy_tui.app import alerts
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, until
from tests.tui.app.terminal import Terminal

RUNNING = synthetic.trained(upto=40)
FAILED = {"v": 1, "t": 9.0, "kind": "run_failed", "run": "multi-head", "step": 40,
          "reason": "out of memory"}  # fmt: skip


def expectation(holds: bool) -> dict[str, object]:
    return {"v": 1, "t": 9.5, "kind": "expectation", "that": "loss < 1", "holds": holds,
            "left": 0.5, "right": 1}  # fmt: skip


def test_only_what_is_new_is_news() -> None:
    heard, state = alerts.Alerts(), ExperimentState()
    state.apply_all(RUNNING)
    assert heard.news(state, live=True) == ""
    state.apply(FAILED)
    assert heard.news(state, live=True) == "multi-head failed"
    assert heard.news(state, live=True) == ""
    state.apply(expectation(True))
    assert heard.news(state, live=True) == ""
    state.apply(expectation(False))
    assert heard.news(state, live=True) == "expected, but fails: loss < 1"


def test_a_recording_and_what_was_so_before_are_no_news() -> None:
    state = ExperimentState()
    state.apply_all([*RUNNING, FAILED])
    assert alerts.Alerts().news(state, live=True) == ""
    heard, state = alerts.Alerts(), ExperimentState()
    assert heard.news(state, live=False) == ""
    state.apply_all([*RUNNING, FAILED])
    assert heard.news(state, live=False) == ""


def test_the_terminal_gets_a_bell_and_text_that_cannot_steer_it() -> None:
    assert alerts.sequence("a\x1b]0;b", {"TERM": "xterm"}) == "\x07\x1b]9;Synergy: a�]0;b\x07"
    inside = alerts.sequence("done", {"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"})
    assert inside == "\x07\x1bPtmux;\x1b\x1b]9;Synergy: done\x07\x1b\\"
    assert alerts.sequence("done", {"TERM": "linux"}) == "\x07"


@pytest.mark.parametrize(
    ("value", "wanted"), [("", True), ("on", True), ("off", False), ("0", False)]
)
def test_alerts_can_be_turned_off(value: str, wanted: bool) -> None:
    assert alerts.wanted({alerts.SETTING: value}) is wanted
    assert alerts.wanted({})


@pytest.mark.parametrize("setting", ["on", "off"])
def test_a_run_that_fails_rings_the_real_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv(alerts.SETTING, setting)
    folder = synthetic.write(RUNNING, tmp_path / "2026-11-23-live")
    with Experiment(folder).lock(), Terminal(folder) as there:
        there.wait_for("LIVE")
        synthetic.write([FAILED], folder)
        if setting == "on":
            there.wait_for("\x07\x1b]9;Synergy: multi-head failed\x07")
        else:
            there.wait_for("FAILED")
            there.read(0.5)
            assert b"\x1b]9;" not in there.received


async def test_nothing_is_sent_where_there_is_no_terminal(opened: Opened) -> None:
    async with opened(RUNNING) as pilot:
        app = pilot.app
        written: list[str] = []
        app._driver.write = written.append  # type: ignore[union-attr,method-assign]
        synthetic.write([FAILED], app.session.experiment.path)  # type: ignore[attr-defined]
        await until(lambda: app.session.state.runs["multi-head"].status == "failed", pilot)  # type: ignore[attr-defined]
        await until(lambda: app.session.alerts._known, pilot)  # type: ignore[attr-defined]
        assert not any("\x07" in text for text in written)
