"""The life of an experiment whose worker outlives its terminal: stop, kill, resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.worker import launch
from tests.end_to_end.conftest import SYNERGY, Shell
from tests.waiting import wait_for

STEPS = 1500


def detached(shell: Shell) -> Experiment:
    """Start a detached worker from a process that then ends, as the app's command does."""
    code = (
        "import sys\n"
        "from synergy_tui.commands.execution import prepare\n"
        "from synergy_tui.running.worker import launch\n"
        f"launch(prepare({shell.scenario(STEPS)!r}), device='cpu')\n"
        "print([name for name in ('torch', 'numba') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, capture_output=True, text=True,
        start_new_session=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n", "the process that opens the app stays light"
    experiment = shell.experiment()
    wait_for(lambda: experiment.fold().step > 5)
    return experiment


@pytest.mark.slow
def test_stopped_killed_resumed_it_ends_as_if_nothing_had_happened(shell: Shell) -> None:
    experiment = detached(shell)
    worker = experiment.worker()
    assert worker is not None
    os.kill(worker.pid, signal.SIGHUP)  # the terminal closes
    step = experiment.fold().step
    wait_for(lambda: experiment.fold().step > step)

    second = shell.run("resume", "--no-ui", experiment.id)
    assert second.returncode == 2
    assert "running already" in second.stderr
    clash = subprocess.run(
        [sys.executable, "-m", "synergy_tui.running.worker", str(experiment.path)],
        env=shell.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert clash.returncode == 2
    assert f"written by process {worker.pid}" in clash.stderr

    stopped = shell.run("stop", experiment.id)
    assert stopped.returncode == 0, stopped.stderr
    assert experiment.state() == "stopped"
    ending = experiment.ending()
    assert ending is not None
    assert ending["exit_code"] == 143
    assert {run.status for run in experiment.fold().runs.values()} == {"stopped"}
    assert shell.run("stop", experiment.id).returncode == 2

    launch(experiment, device="cpu")
    stopped_at = experiment.fold().step
    wait_for(lambda: experiment.fold().step > stopped_at + 5)
    worker = experiment.worker()
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: not worker.alive)
    assert experiment.state() == "dead"
    with experiment.events_path.open("ab") as log:
        log.write(b'{"v":1,"t":3.0,"kind":"train_st')  # killed in the middle of a line

    resumed = shell.run("resume", "--no-ui", "last")
    assert resumed.returncode == 0, resumed.stderr
    assert "continues from step" in resumed.stderr
    reader = EventReader(experiment.events_path)
    events = list(reader.read_all())
    assert reader.garbled == 0
    assert [event["t"] for event in events] == sorted(event["t"] for event in events)
    assert experiment.state() == "finished"

    whole = shell.run("run", "--quiet", shell.scenario(STEPS), "--out", str(shell.folder / "other"))
    assert whole.returncode == 0, whole.stderr
    other = Experiment(next((shell.folder / "other").iterdir()))
    for name, run in experiment.fold().runs.items():
        np.testing.assert_array_equal(run.steps, np.arange(1, STEPS + 1))
        np.testing.assert_array_equal(run.losses, other.fold().runs[name].losses)


@pytest.mark.slow
def test_a_file_size_limit_leaves_an_experiment_that_can_go_on(shell: Shell) -> None:
    command = f"ulimit -f 120; exec {SYNERGY} run --no-ui "
    done = subprocess.run(
        ["bash", "-c", command + shell.scenario(500)], env=shell.environment, cwd=shell.folder,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3
    assert "disk is full" in done.stderr
    assert "synergy resume" in done.stderr
    assert "Traceback" not in done.stderr
    experiment = shell.experiment()
    reader = EventReader(experiment.events_path)
    assert len(list(reader.read_all())) > 10
    assert reader.garbled == 0
    assert shell.run("resume", "--quiet", experiment.id).returncode == 0
    assert experiment.state() == "finished"


def test_a_home_that_is_not_a_folder(shell: Shell) -> None:
    Path(shell.home).write_text("a file")
    done = shell.run("run", "--no-ui", "example2")
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert "Traceback" not in done.stderr
