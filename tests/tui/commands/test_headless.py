"""What a run without the app shows, event by event: seldom enough, and never long in coming."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import pytest

from synergy_tui.commands.headless import PLAIN_SECONDS, Headless, PlainLines
from synergy_tui.experiments.events import EventReader, encode
from synergy_tui.experiments.state import ExperimentState
from tests.recordings import recording


class Run:
    """A run of two trainings whose events come at chosen times."""

    def __init__(self, steps: int | None, *, quiet: bool = False) -> None:
        self.now = 0.0
        self.state = ExperimentState()
        self.lines = PlainLines(quiet=quiet, clock=lambda: self.now)
        self.happens("experiment_started", id="x", scenario="s", title="A title", runs=["a", "b"])
        for run in ("a", "b"):
            self.happens("run_started", run=run, heads=1, steps=steps, task="sort", nodes=8)

    def happens(self, kind: str, **fields: Any) -> None:
        event = {"v": 1, "t": self.now, "kind": kind, **fields}
        self.state.apply(event)
        self.lines.show(event, self.state)

    def step(self, step: int) -> None:
        for run in ("a", "b"):
            self.happens("train_step", run=run, step=step, loss=1.0, accuracy=0.5)


def test_a_quick_training_has_a_line_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(1000)
    for step in range(1, 1001):
        run.now += 0.01
        run.step(step)
    steps = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    wanted = [1, *range(100, 1001, 100)]
    assert [line.split()[1] for line in steps] == [f"{step:,}/1,000" for step in wanted]


def test_numbers_of_an_earlier_probe_are_not_given_as_the_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(10)
    run.step(1)
    assert capsys.readouterr().err.splitlines()[-1].endswith("a loss 1  |  b loss 1")
    for name in ("a", "b"):
        run.happens("probe", run=name, step=2, inputs=1, overall={}, layers=[])
    run.step(2)
    assert "probe at" not in capsys.readouterr().err
    run.step(3)
    assert capsys.readouterr().err.endswith("  (probe at step 2)\n")


def test_a_run_without_numbers_yet_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(10)
    run.now += PLAIN_SECONDS
    run.happens("resources", cpu_percent=100.0)
    assert capsys.readouterr().err.splitlines()[-1] == "step 0/10  60 s"


def test_loaded_attention_shows_which_axes_are_layers(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(steps=None)
    run.happens("run_started", run="a", kind_of_run="loaded", heads=4, layers=2, nodes=8)
    assert "a: 4 heads, 2 layers, 8 nodes, loaded" in capsys.readouterr().err


def test_a_slow_training_has_a_line_every_so_often(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(1_000_000)
    for step in range(1, 602):
        run.now += 1.0
        run.step(step)
    steps = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(steps) == 1 + 600 // PLAIN_SECONDS


def test_between_two_steps_the_use_of_the_machine_is_the_clock(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(100)
    run.step(1)
    for _ in range(100):
        run.now += 2.0
        run.happens("resources", cpu_percent=100.0)
    steps = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step 1/")]
    assert len(steps) == 1 + 200 // PLAIN_SECONDS


def test_a_long_measurement_says_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(None)
    run.happens("run_finished", run="a", step=0)
    run.now += PLAIN_SECONDS
    run.happens("resources", cpu_percent=100.0)
    assert capsys.readouterr().err.endswith(" s  measuring b\n")


def test_quiet_stays_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(100, quiet=True)
    run.now += 10 * PLAIN_SECONDS
    run.step(50)
    assert capsys.readouterr().err == ""


def test_each_json_line_can_be_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the stream may be slow or wait for one event: none stays in a buffer."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb", buffering=0) as pipe, os.fdopen(writer, "wb") as stdout:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stdout))
        view = Headless("json")
        for event in EventReader(recording("sort") / "events.jsonl").read()[:5]:
            view(event)
            assert pipe.read() == encode(event)
        view.close()
        monkeypatch.undo()
