"""Users in a hurry: readers that leave, terminals that close, signals that come twice."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.worker import launch
from synergy_tui.sweep.directory import find_sweep
from tests.end_to_end.conftest import SYNERGY, Shell
from tests.tui.sweep.conftest import trained
from tests.waiting import wait_for

ENDLESS = 1_000_000
# Every fsync takes a while, so that a signal surely comes while something is written.
SLOW = (
    "import os, sys, time\n"
    "fsync = os.fsync\n"
    "os.fsync = lambda descriptor: (time.sleep(0.3), fsync(descriptor))\n"
)
SLOW_COMMAND = f"{SLOW}from synergy_tui.cli import main\nmain(sys.argv[1:])"
SLOW_WORKER = (
    f"{SLOW}from synergy_tui.running.signals import Stopper\n"
    "from synergy_tui.running.worker import main\n"
    "request = Stopper.request\n"
    "Stopper.request = lambda *given: (open('asked', 'w').close(), request(*given))\n"
    "sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def nobody() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def python(shell: Shell, code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start Python with ``code`` where ``synergy`` would be started."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=shell.environment, cwd=shell.folder,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
    shell.started.append(process)
    return process


def in_bash(shell: Shell, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line with pipes, as a person types it."""
    return subprocess.run(
        ["bash", "-c", line], env=shell.environment, cwd=shell.folder, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def training(shell: Shell) -> Experiment:
    """The experiment, once it trains."""
    experiment = shell.experiment()
    wait_for(lambda: experiment.fold().step > 3)
    return experiment


def stopped(experiment: Experiment, reason: str, exit_code: int = 143) -> None:
    """Everything that a clean stop keeps is there."""
    state = experiment.fold()
    assert (experiment.state(), state.exit_code) == ("stopped", exit_code)
    assert {run.status for run in state.runs.values()} == {"stopped"}
    assert {run.reason for run in state.runs.values()} == {reason}
    for run in state.runs.values():
        if run.step:  # it may not even have begun
            assert run.checkpoints[-1][0] == run.step, "no step is lost"
            assert (experiment.path / run.checkpoints[-1][1]).is_file()


# Readers


@pytest.mark.parametrize(
    ("options", "pipe", "reason"),
    [
        ("--no-ui", "2>&1 | head -5", "the reader of stderr has gone"),
        ("--json", "| head -20", "the reader of stdout has gone"),
        ("--quiet", "2>&1 | true", "the reader of stderr has gone"),
    ],
)
def test_a_run_whose_reader_leaves_keeps_a_checkpoint(
    shell: Shell, options: str, pipe: str, reason: str
) -> None:
    line = f"{SYNERGY} run {options} {shell.scenario(ENDLESS)} {pipe}; exit ${{PIPESTATUS[0]}}"
    done = in_bash(shell, line)
    assert done.returncode == 143
    assert "Traceback" not in done.stderr
    stopped(shell.experiment(), reason)


EXPECTED = {
    "help": (["--help"], 0),
    "ls": (["ls"], 0),
    "ls --json": (["ls", "--json"], 0),
    "show": (["show", "last"], 0),
    "show --json": (["show", "last", "--json"], 0),
    "compare": (["compare", "last"], 0),
    "export": (["export", "last", "--metrics", "-"], 0),
    "schema": (["schema", "events"], 0),
    "doctor": (["doctor"], 0),
    "analyze": (["analyze", "{attention}"], 0),
    "dry sweep": (["sweep", "sweep_heads", "--dry-run"], 0),
    "validate": (["validate", "no-such.toml"], 2),
    "mistake": (["shwo"], 2),
    "stop": (["stop", "last"], 2),
}


@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
@pytest.mark.parametrize("case", EXPECTED)
def test_without_a_reader_a_command_ends_as_with_one(
    shell: Shell, finished: Experiment, nobody: int, case: str, both: bool
) -> None:
    arguments, code = EXPECTED[case]
    attention = str(finished.path / "attention" / "many-00000020.safetensors")
    shell.environment["SYNERGY_HOME"] = str(finished.path.parent)
    process = shell.start(
        *(each.replace("{attention}", attention) for each in arguments),
        stdout=nobody, stderr=nobody if both else subprocess.PIPE,
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in (err or "")
    assert "Exception ignored" not in (err or "")


def test_a_report_that_nobody_reads_leaves_the_runs_exit_code(shell: Shell, nobody: int) -> None:
    process = shell.start(
        "run", "--no-ui", "--junit", "-", "example2", "--set", 'expect.0.that="both.fidelity > 1"',
        stdout=nobody,
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("pipe", ["2>&1 | head -1", "--json | head -1"])
def test_a_sweep_whose_reader_leaves_keeps_checkpoints(shell: Shell, pipe: str) -> None:
    scenario = shell.folder / "sweep.toml"
    scenario.write_text(trained(ENDLESS))
    line = f"{SYNERGY} sweep --no-ui {scenario} {pipe}; exit ${{PIPESTATUS[0]}}"
    done = in_bash(shell, line)
    assert done.returncode == 143
    assert "Traceback" not in done.stderr
    sweep = find_sweep("last", shell.home)
    assert not sweep.running
    assert set(sweep.states().values()) <= {"stopped", "new"}


# Terminals


def on_a_terminal(shell: Shell, *arguments: str, nohup: bool = False) -> subprocess.Popen[str]:
    """Start a command on a terminal that is closed, without SIGHUP, once it trains."""
    ours, theirs = pty.openpty()
    before = f"trap '{'' if nohup else '-'}' HUP; exec "
    process = subprocess.Popen(
        ["bash", "-c", f'{before} "$0" "$@"', SYNERGY, *arguments], env=shell.environment,
        cwd=shell.folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        start_new_session=True, text=True,
    )  # fmt: skip
    shell.started.append(process)
    os.close(theirs)

    def read() -> None:  # a terminal takes only a few kilobytes that nobody reads
        while not closing.is_set():
            os.read(ours, 65536)
        os.close(ours)

    closing = threading.Event()
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    training(shell)
    closing.set()
    reader.join()
    return process


def test_a_closed_terminal_ends_the_run_after_a_checkpoint(shell: Shell) -> None:
    process = on_a_terminal(shell, "run", "--no-ui", shell.scenario(ENDLESS))
    assert process.wait(timeout=60) == 143
    stopped(shell.experiment(), "the terminal has gone")


def test_under_nohup_the_run_continues_without_its_terminal(shell: Shell) -> None:
    process = on_a_terminal(shell, "run", "--no-ui", shell.scenario(1500), nohup=True)
    assert process.wait(timeout=120) == 0
    assert shell.experiment().state() == "finished"


def test_the_signal_of_a_closed_terminal(shell: Shell) -> None:
    process = shell.start("run", "--no-ui", shell.scenario(ENDLESS))
    experiment = training(shell)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 143
    stopped(experiment, "the terminal was closed (SIGHUP)")


# Signals that come twice


def test_ctrl_c_again_and_again_loses_nothing(shell: Shell) -> None:
    process = python(shell, SLOW_COMMAND, "run", "--no-ui", shell.scenario(ENDLESS))
    experiment = training(shell)
    # Through the checkpoint, the closing events and all between.
    while experiment.ending() is None and process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ctrl+c ends it at once in" in err
    assert f"synergy resume {experiment.id}" in err
    assert "Traceback" not in err
    stopped(experiment, "interrupted with Ctrl-C", 130)


def slow_worker(shell: Shell) -> tuple[subprocess.Popen[str], Experiment]:
    """A worker that takes its time over every checkpoint."""
    assert (
        shell.run("run", "--quiet", "--timeout", "0.001", shell.scenario(ENDLESS)).returncode == 3
    )
    experiment = shell.experiment()
    worker = python(shell, SLOW_WORKER, str(experiment.path), start_new_session=True)
    return worker, training(shell)


def test_stopping_twice_waits_for_the_same_end(shell: Shell) -> None:
    worker, experiment = slow_worker(shell)
    first = shell.start("stop", experiment.id)
    wait_for(lambda: (shell.folder / "asked").exists())
    again = shell.start("stop", experiment.id)
    for process in (first, again):
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (
            0, f"{experiment.id} is stopped. Continue with `synergy resume {experiment.id}`.\n"
        )  # fmt: skip
    assert worker.wait(timeout=60) == 143
    stopped(experiment, "asked to stop (SIGTERM)")


def test_what_was_killed_while_it_stopped_is_not_a_success(shell: Shell) -> None:
    worker, experiment = slow_worker(shell)
    stop = shell.start("stop", experiment.id)
    wait_for(lambda: (shell.folder / "asked").exists())
    worker.kill()
    worker.communicate()
    _, err = stop.communicate(timeout=60)
    assert stop.returncode == 3, err
    assert "killed, or it crashed" in err
    assert "synergy resume" in err
    assert experiment.state() == "dead"


def test_a_worker_that_takes_longer_is_not_a_success_yet(shell: Shell) -> None:
    worker, experiment = slow_worker(shell)
    done = shell.run("stop", experiment.id, "--wait", "0")
    assert done.returncode == 3
    assert "still runs after 0 s" in done.stderr
    assert worker.wait(timeout=60) == 143


def test_ctrl_c_again_and_again_stops_a_sweep_in_order(shell: Shell) -> None:
    scenario = shell.folder / "sweep.toml"
    scenario.write_text(trained(ENDLESS))
    process = shell.start("sweep", "--no-ui", scenario)
    wait_for(lambda: any(shell.home.glob("2*/points/*/checkpoints/*.safetensors")))
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: interrupted with Ctrl-C" in err
    sweep = find_sweep("last", shell.home)
    assert b'"kind":"sweep_finished"' in sweep.events_path.read_bytes(), "the driver ended in order"
    assert set(sweep.states().values()) <= {"stopped", "new"}


def test_a_driver_that_crashes_is_not_a_failed_expectation(shell: Shell) -> None:
    scenario = shell.folder / "sweep.toml"
    scenario.write_text(trained(20))
    shell.environment["PYTHONPATH"] = str(shell.folder)
    (shell.folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'synergy_tui.sweep.worker' in sys.orig_argv:\n"
        "    import synergy_tui.sweep.driver as driver\n"
        "    driver.run_sweep = lambda *_, **__: 1 // 0\n"
    )
    done = shell.run("sweep", "--no-ui", scenario)
    assert done.returncode == 3


def test_an_experiment_that_cannot_be_begun_leaves_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys, filelock\n"
        "def refuse(*_, **__):\n"
        "    raise NotImplementedError('this disk has no locks')\n"
        "filelock.FileLock.acquire = refuse\n"
        "from synergy_tui.cli import main\nmain(sys.argv[1:])"
    )
    process = python(shell, code, "run", "--no-ui", "example2")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "cannot be written: this disk has no locks" in err
    assert list(shell.home.iterdir()) == []


def test_a_detached_worker_ignores_a_second_request(shell: Shell) -> None:
    assert (
        shell.run("run", "--quiet", "--timeout", "0.001", shell.scenario(ENDLESS)).returncode == 3
    )
    experiment = shell.experiment()
    pid = launch(experiment, device="cpu")
    wait_for(lambda: experiment.fold().step > 3)
    while experiment.ending() is None and experiment.state() == "running":
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.01)
    os.waitpid(pid, 0)
    stopped(experiment, "asked to stop (SIGTERM)")


def test_partial_files_of_a_killed_worker_go_with_the_next(shell: Shell) -> None:
    worker, experiment = slow_worker(shell)
    os.kill(worker.pid, signal.SIGTERM)
    wait_for(lambda: any(experiment.checkpoints.glob(".*.partial")))
    worker.kill()
    worker.communicate()
    (experiment.path / "attention").mkdir(exist_ok=True)
    left = [
        experiment.path / ".worker.json.abcd_012",
        experiment.path / "attention" / ".one-00000000.safetensors.abcd_012",
        experiment.path / ".together",
    ]
    left[0].touch()
    left[1].touch()
    left[2].mkdir()
    mine = experiment.path / ".notes"
    mine.touch()
    with experiment.lock():
        assert not any(path.exists() for path in left)
        assert not any(experiment.checkpoints.glob(".*.partial"))
        assert mine.exists()
