"""What no machine could train is refused before memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import synergy_trainer as trainer
from synergy_engine.errors import TooLargeError
from synergy_tui.errors import ExitCode
from synergy_tui.experiments.experiment import create_experiment
from synergy_tui.running.preflight import refuse_hopeless
from synergy_tui.running.runner import run_experiment
from synergy_tui.scenario import parse_scenario

MEMORY = 64 * 2**20


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergy_engine.limits.available_bytes", lambda: MEMORY)


@pytest.mark.parametrize(
    ("fits", "hopeless", "what"),
    [
        # 4 bytes, 2 inputs, 1 layer, 2 heads, n² for 64 MiB: n = 2048.
        ({"length": 2048}, {"length": 2049}, "A probe of two"),
        # 4 bytes, 8 tokens, 16 wide, 1 layer.
        ({"batch": 2**17}, {"batch": 2**17 + 1}, "A step of two"),
        ({"mlp": 2**16}, {"mlp": 2**18}, "The parameters of two"),
    ],
)
def test_what_exceeds_memory_is_refused(
    fits: dict[str, Any], hopeless: dict[str, Any], what: str
) -> None:
    small: dict[str, Any] = {"task": "copy", "length": 8, "vocabulary": 4, "batch": 1, "embed": 16,
                             "mlp": 16, "layers": 1, "probe_inputs": 2}  # fmt: skip
    runs = [trainer.RunSettings("two", heads=2)]
    refuse_hopeless(trainer.TrainSettings(**small | fits), runs, "cpu")
    with pytest.raises(TooLargeError, match=what):
        refuse_hopeless(trainer.TrainSettings(**small | hopeless), runs, "cpu")


def test_a_run_that_cannot_fit_says_what_is_too_large(tmp_path: Path) -> None:
    raw = {
        "train": {"task": "sort", "length": 1_000_000, "steps": 1},
        "runs": [{"name": "one", "heads": 1}],
    }
    experiment = create_experiment(parse_scenario(raw, name="huge", origin="test"), tmp_path)
    assert run_experiment(experiment, device="cpu") == ExitCode.BAD_INPUT
    reason = (experiment.ending() or {})["reason"]
    assert "A probe of one (probe_inputs, length) would take" in reason
