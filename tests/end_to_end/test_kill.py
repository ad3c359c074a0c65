"""Killed at any moment of run and resume: nothing is corrupt, nothing lost but unfinished steps."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.experiments.experiment import Experiment, list_experiments
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.experiments.summary import summary
from tests.end_to_end.conftest import Shell

SCENARIO = """\
title = "Small enough to be killed often"
seed = 3

[train]
task = "copy"
length = 8
vocabulary = 8
steps = 300
batch = 8
embed = 16
mlp = 16
layers = 1
probe_every = 10
probe_inputs = 2
checkpoint_every = 10

[[runs]]
name = "one"
heads = 1

[[runs]]
name = "two"
heads = 2

[[expect]]
that = "one.parameters == two.parameters"
"""


def start(*arguments: str | Path, home: Path) -> subprocess.Popen[str]:
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return Shell(home.parent, home).start(*arguments, **nowhere, start_new_session=True)


def lines(home: Path) -> int:
    """How many lines the only experiment's log has so far."""
    logs = list(home.glob("*/events.jsonl"))
    return logs[0].read_bytes().count(b"\n") if logs else 0


def check(experiment: Experiment) -> None:
    """Everything up to the last complete line is readable, and every file is whole."""
    log = experiment.events_path
    whole = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
    times = [json.loads(line)["t"] for line in whole]
    assert times == sorted(times)
    assert experiment.state() in ("new", "dead", "finished")
    assert summary(experiment)["id"] == experiment.id
    experiment.scenario()
    for event in map(json.loads, whole):
        if event["kind"] == "probe":
            arrays = experiment.attention(event["attention"])
            assert np.allclose(arrays["attention"].sum(-1), 1, atol=1e-5)
        # Older checkpoints are removed in time; one that is there under its name is whole.
        if event["kind"] == "checkpoint" and (experiment.path / event["path"]).exists():
            from safetensors import safe_open

            with safe_open(experiment.path / event["path"], "numpy") as stored:
                assert "token_emb.weight" in set(stored.keys())


def until_killed(process: subprocess.Popen[str], home: Path, rng: random.Random) -> bool:
    """Kill the process at a random moment, and say whether it was still there to be killed.

    Half of the moments are spread over the process's whole life, which is mostly its start; the
    other half over the lines it writes.
    """
    if rng.random() < 0.5:
        deadline = time.monotonic() + rng.uniform(0, 6)
        goal = None
    else:
        deadline = time.monotonic() + 60
        goal = lines(home) + rng.randint(1, 300)
    while process.poll() is None and time.monotonic() < deadline:
        if goal is not None and lines(home) >= goal:
            time.sleep(rng.uniform(0, 0.02))  # anywhere within the writing of the next lines
            break
        time.sleep(0.002)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def survive(folder: Path, moments: int, seed: int) -> dict[str, int]:
    """Run and resume an experiment, killing it ``moments`` times, and count what happened."""
    rng = random.Random(seed)
    scenario = folder / "small.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    reference = folder / "reference"
    done = start("run", "--no-ui", "--quiet", scenario, home=reference)
    assert done.wait(120) == 0
    truth = ExperimentState.read(list_experiments(reference)[0].events_path)
    counts = {"killed": 0, "experiments": 0, "resumed": 0}
    while counts["killed"] < moments:
        counts["experiments"] += 1
        home = folder / f"home-{counts['experiments']}"
        process = start("run", "--no-ui", "--quiet", scenario, home=home)
        while until_killed(process, home, rng):
            counts["killed"] += 1
            found = list_experiments(home)
            for experiment in found:
                check(experiment)
            if counts["killed"] >= moments:
                break
            if found:
                counts["resumed"] += 1
                process = start("resume", "--no-ui", "--quiet", found[0].path, home=home)
            else:  # not even the directory was there yet
                process = start("run", "--no-ui", "--quiet", scenario, home=home)
        [experiment] = list_experiments(home)
        if experiment.state() != "finished":
            assert start("resume", "--no-ui", "-q", experiment.path, home=home).wait(120) == 0
        check(experiment)
        same(ExperimentState.read(experiment.events_path), truth)
    return counts


def same(state: ExperimentState, truth: ExperimentState) -> None:
    """A run that was killed ends bit for bit where an undisturbed one does."""
    assert state.status == "finished"
    for name, run in truth.runs.items():
        np.testing.assert_array_equal(state.runs[name].steps, run.steps)
        np.testing.assert_array_equal(state.runs[name].losses, run.losses)
        assert [probe.step for probe in state.runs[name].probes] == [p.step for p in run.probes]
        assert state.runs[name].probes[-1].overall == run.probes[-1].overall


def test_a_few_moments(tmp_path: Path) -> None:
    assert survive(tmp_path, moments=5, seed=11)["killed"] == 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_moments(tmp_path: Path) -> None:
    counts = survive(tmp_path, moments=50, seed=7)
    print(
        f"\nkilled at {counts['killed']} moments of {counts['experiments']} experiments, ", end=""
    )
    print(f"{counts['resumed']} resumes; none corrupt, every result bit-identical")
    assert counts["killed"] == 50
