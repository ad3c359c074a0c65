"""Experiments written by hand, so that the commands on them are tested without running any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from synergy_tui.cli import _invoke, synergy
from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import Experiment

SCENARIO = """\
title = "Two heads against one"
seed = 7

[[runs]]
name = "one"

[[runs.heads]]
edges = [["u", "v"], ["v", "w"], ["w", "τ"]]
"""


def analysis(layer: int | str = 1, **changes: Any) -> dict[str, Any]:
    """An analysis object with plausible numbers."""
    found: dict[str, Any] = {
        "layer": layer,
        "heads": 2,
        "nodes": 4,
        "inputs": 1,
        "head_weights": [0.5, 0.5],
        "weights": "uniform",
        "convention": "theory",
        "combine": "walks",
        "epsilon": 0.25,
        "sink": "excluded",
        "mixing": {
            "hitting_time_mean": 2.5,
            "hitting_time_median": 2.0,
            "mixing_time_tv_max": 7,
            "mixing_time_tv_mean": 5,
            "mixing_time_l1_max": 9,
            "mixing_time_l1_mean": "> 10000",
        },
        "fidelity": {
            "minimax": 0.375,
            "normalised": 1.5,
            "argmin": 1,
            "time": 3,
            "lower": 0.375,
            "upper": 0.375,
            "unreachable": [],
        },
        "per_head": [
            {"head": 1, "weight": 0.5, "hitting_time_mean": 3.0, "fidelity_minimax": 0.375},
            {"head": 2, "weight": 0.5, "hitting_time_mean": float("inf"), "fidelity_minimax": 0.25},
        ],
        "synergy": {"fidelity_amplification": 1.25, "mixing_gain": 1.5},
        "diversity": {"jensen_shannon": 0.3, "jaccard": 0.5, "cosine_disagreement": 0.4},
        "bounds": {},
        "arrival": {"steps": [0, 1, 2], "mean": [0.25, 0.5, 0.7], "worst": [0.0, 0.1, 0.3]},
        "intervals": {},
    }
    found.update(changes)
    return found


def probe(run: str, step: int, *, minimax: float, attention: str | None = None) -> dict[str, Any]:
    """A probe event of two layers."""
    layers = [analysis(1), analysis(2)]
    for each in layers:
        each["fidelity"] = {**each["fidelity"], "minimax": minimax}
    overall = analysis("overall", fidelity=layers[0]["fidelity"])
    return {
        "kind": "probe",
        "run": run,
        "step": step,
        "inputs": 2,
        "layers": layers,
        "overall": overall,
        "attention": attention,
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of experiments, which the commands use."""
    folder = tmp_path / "experiments"
    monkeypatch.setenv("SYNERGY_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.fixture
def make(home: Path) -> Callable[..., Experiment]:
    """Make an experiment from events: ``make(identity, *events)``."""

    def made(identity: str, *events: dict[str, Any], scenario: str = "gate") -> Experiment:
        path = home / identity
        path.mkdir(parents=True)
        (path / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
        with EventWriter(path / "events.jsonl") as log:
            log.write(
                "experiment_started",
                id=identity,
                scenario=scenario,
                title="Two heads against one",
                runs=["one", "many"],
                seed=7,
                versions={"synergy": "0.1.0"},
                started="2026-11-23T15:43:12+00:00",
            )
            for event in events:
                log.write(**event)
        return Experiment(path)

    return made


@pytest.fixture
def finished(make: Callable[..., Experiment]) -> Experiment:
    """A finished experiment of two trained runs, two probes each, with attention files."""
    rng = np.random.default_rng(0)
    events: list[dict[str, Any]] = []
    for run, heads in (("one", 1), ("many", 2)):
        events.append(
            {
                "kind": "run_started",
                "run": run,
                "parameters": 75600,
                "heads": heads,
                "device": "cpu",
                "layers": 2,
                "nodes": 4,
                "floor": 0.05,
                "ceiling": 0.99,
                "task": "sort",
                "steps": 20,
                "seed": 7,
                "kind_of_run": "trained",
            }
        )
        events.append(probe(run, 0, minimax=0.1, attention=f"attention/{run}-00000000.safetensors"))
        for step in (1, 10, 20):
            events.append(
                {
                    "kind": "train_step",
                    "run": run,
                    "step": step,
                    "loss": 2.5 / step / heads,
                    "accuracy": 0.5,
                    "tokens_per_second": 1000.0,
                }
            )
        events.append(
            probe(run, 20, minimax=0.2 * heads, attention=f"attention/{run}-00000020.safetensors")
        )
        events.append({"kind": "run_finished", "run": run, "step": 20})
    events.append(
        {
            "kind": "expectation",
            "that": "many.fidelity > one.fidelity",
            "holds": True,
            "left": 0.4,
            "right": 0.2,
        }
    )
    events.append({"kind": "warning", "message": "one head is little"})
    events.append(
        {"kind": "experiment_finished", "exit_code": 0, "verdict": "many hears 2x clearer"}
    )
    experiment = make("2026-11-23-154312-gate", *events)
    from safetensors.numpy import save_file

    (experiment.path / "attention").mkdir()
    for run, heads in (("one", 1), ("many", 2)):
        for step in (0, 20):
            raw = np.tril(rng.random((2, 2, heads, 4, 4)) + 0.1)
            tensors = {
                "attention": (raw / raw.sum(-1, keepdims=True)).astype(np.float32),
                "head_weights": np.full((2, heads), 1 / heads),
                "tokens": rng.integers(0, 16, (2, 4)),
            }
            save_file(tensors, experiment.path / f"attention/{run}-{step:08d}.safetensors")
    return experiment


@pytest.fixture
def example2(tmp_path: Path) -> Path:
    """Example 2 of the paper as attention: (2, 4, 4), rows normalised over what is heard."""
    raw = np.zeros((2, 4, 4))
    for start, end in ((0, 1), (1, 2), (2, 3)):
        raw[0, end, start] = 1
    for start, end in ((0, 2), (1, 2), (1, 3), (2, 3)):
        raw[1, end, start] = 1
    raw += np.eye(4)
    file = tmp_path / "example2.npy"
    np.save(file, raw / raw.sum(-1, keepdims=True))
    return file


def invoke(*arguments: str | Path, input: str | None = None) -> Result:
    """Call ``synergy`` in this process, as its entry point does: ``invoke("ls", "--json")``."""
    runner = CliRunner()
    with runner.isolation(input=input) as streams:
        code = _invoke(synergy, [str(each) for each in arguments], "synergy")
        out, err = streams[0].getvalue(), streams[1].getvalue()
    return Result(runner, out, err, out + err, None, code, None)


@pytest.fixture
def call() -> Callable[..., Result]:
    """The command line, in this process."""
    return invoke
