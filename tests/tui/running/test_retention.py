"""Attention of long trainings is bounded on disk, and what is measured is bounded in memory."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import synergy_trainer as trainer
from synergy_tui.commands.headless import Headless
from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import find_snapshot
from synergy_tui.experiments.events import EventReader, EventWriter
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState, outline
from synergy_tui.running.recorder import Recorder
from synergy_tui.running.signals import Stopper
from tests.tui.running.test_runner import TINY, execute, make

# Probes at 0, 3, … 12, checkpoints at 4, 8 and 12.
TRAIN = {**TINY["train"], "probe_every": 3, "checkpoint_every": 4}
KEPT = {
    "all": [0, 3, 6, 9, 12],
    "every:2": [0, 6, 12],
    "every:3": [0, 9, 12],
    # The newest, which is also what a resume from the last checkpoint begins with.
    "last": [12],
    "none": [],
}


def scenario(keep: str) -> dict[str, Any]:
    return {**TINY, "train": TRAIN, "analysis": {"keep": keep}}


def kept(experiment: Experiment, run: str = "one") -> list[int]:
    files = (experiment.path / "attention").glob(f"{run}-*.safetensors")
    return sorted(int(file.stem.rpartition("-")[2]) for file in files)


@pytest.mark.parametrize("keep", KEPT)
def test_what_stays_of_a_training(tmp_path: Path, keep: str) -> None:
    experiment = make(tmp_path, scenario(keep))
    assert execute(experiment) == 0
    for run in ("one", "two"):
        assert kept(experiment, run) == KEPT[keep]
    events = EventReader(experiment.events_path).read()
    assert [e["step"] for e in events if e["kind"] == "probe" and e["run"] == "one"] == KEPT["all"]


@pytest.mark.parametrize("keep", KEPT)
def test_a_training_that_is_stopped_and_resumed_keeps_the_same(tmp_path: Path, keep: str) -> None:
    experiment = make(tmp_path, scenario(keep))
    stopper = Stopper()

    def stop_at_7(event: dict[str, Any]) -> None:
        if event["kind"] == "train_step" and event["step"] == 7:
            stopper.request("enough", 143)

    assert execute(experiment, should_stop=stopper, listener=stop_at_7) == 143
    newest = [step for step in KEPT["all"] if step <= 7][-1:]
    assert kept(experiment)[-1:] == ([] if keep == "none" else newest)
    assert execute(experiment) == 0
    assert kept(experiment) == KEPT[keep]


def test_what_a_resume_begins_with_stays(tmp_path: Path) -> None:
    experiment = make(tmp_path, scenario("last"))

    def die(
        event: dict[str, Any],
    ) -> None:  # the probe of step 6 is measured, its checkpoint is not
        if event["kind"] == "train_step" and event["step"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(experiment, listener=die)
    assert kept(experiment) == [3, 6], "the checkpoint is of step 4"


def test_what_a_killed_run_had_no_time_to_remove_goes_on_resuming(tmp_path: Path) -> None:
    experiment = make(tmp_path, scenario("last"))
    assert execute(experiment, should_stop=Stopper(deadline=0.0)) == 3
    assert execute(experiment, listener=None) == 0
    attention = experiment.path / "attention"
    (attention / "one-00000003.safetensors").touch()
    (attention / "notes.safetensors").touch()
    assert execute(experiment) == 0
    assert kept(experiment) == [12]
    assert (attention / "notes.safetensors").exists()


def test_a_log_cannot_have_other_files_removed(tmp_path: Path) -> None:
    experiment = make(tmp_path, scenario("last"))
    assert execute(experiment) == 0
    victim = tmp_path / "victim.safetensors"
    victim.touch()
    log = experiment.events_path
    evil = log.read_text().replace("attention/one-00000003.safetensors", f"../{victim.name}")
    log.write_text(evil.replace("attention/one-00000006.safetensors", "scenario.toml"))
    assert execute(experiment) == 0
    assert victim.exists()
    assert experiment.scenario_path.exists()


def test_attention_that_was_not_kept_is_missed_in_words(tmp_path: Path) -> None:
    experiment = make(tmp_path, scenario("last"))
    assert execute(experiment) == 0
    state = experiment.fold()
    assert find_snapshot(experiment, state, "one", None).step == 12
    with pytest.raises(UserError, match=r"one-00000003.safetensors was not kept .*keep in"):
        find_snapshot(experiment, state, "one", 3)


def test_an_outline_has_the_newest_numbers_of_the_whole_log(tmp_path: Path) -> None:
    experiment = make(tmp_path, scenario("all"))
    assert execute(experiment) == 0
    whole = experiment.fold()
    short = ExperimentState.read(experiment.events_path, outline)
    for name, run in whole.runs.items():
        other = short.runs[name]
        assert other.probe == run.probe
        assert [probe.step for probe in other.probes] == [probe.step for probe in run.probes]
        assert [bool(probe.layers) for probe in other.probes] == [True, *[False] * 3, True]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_is_flat_over_ten_thousand_probes(tmp_path: Path) -> None:
    """From the 1,000th probe to the 10,000th, in the recorder and the view without the app."""
    experiment = make(tmp_path, {**scenario("last"), "analysis": {"keep": "last", "also": []}})
    rng = np.random.default_rng(0)
    attention = np.tril(rng.random((2, 2, 4, 16, 16)) + 0.1)
    attention = (attention / attention.sum(-1, keepdims=True)).astype(np.float32)
    process, memory = psutil.Process(), {}
    with (
        experiment.lock(),
        EventWriter(experiment.events_path, Headless("quiet")) as writer,
    ):
        recorder = Recorder(experiment, experiment.scenario(), writer)
        recorder.started()
        for number in range(1, 10_001):
            recorder.record(
                trainer.Probe(
                    run="one", step=number, attention=attention,
                    tokens=np.zeros((2, 16), np.int64), head_weights=np.full((2, 4), 0.25),
                    loss=1.0, accuracy=0.5,
                )
            )  # fmt: skip
            if number in (1_000, 10_000):
                gc.collect()
                memory[number] = process.memory_info().rss
    grown = (memory[10_000] - memory[1_000]) / 2**20
    disk = sum(1 for _ in (experiment.path / "attention").iterdir())
    log = experiment.events_path.stat().st_size / 2**20
    print(
        f"\n9,000 probes: {grown:.1f} MiB of memory, {disk} attention files, a log of {log:.0f} MiB"
    )
    assert disk <= 2
    assert grown < 32, "their analyses alone would take hundreds"


def test_a_killed_run_leaves_no_more_than_the_rule(tmp_path: Path) -> None:
    """Killed in earnest, at a probe, and resumed: the same files as undisturbed."""
    experiment = make(tmp_path, scenario("every:2"))
    code = (
        "import os, signal, sys\n"
        "from synergy_tui.experiments.experiment import Experiment\n"
        "from synergy_tui.running.runner import run_experiment\n"
        "def die(event):\n"
        "    if event['kind'] == 'probe' and event['step'] == 9:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "run_experiment(Experiment(sys.argv[1]), device='cpu', threads=1, listener=die)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    died = subprocess.run(
        [sys.executable, "-c", code, str(experiment.path)], env=environment, check=False
    )
    assert died.returncode == -signal.SIGKILL
    assert execute(experiment) == 0
    assert kept(experiment) == KEPT["every:2"]
