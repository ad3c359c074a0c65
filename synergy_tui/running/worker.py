"""An experiment's worker (``python -m synergy_tui.running.worker DIR``): start, work, stop.

A worker has a session of its own, so that it outlives the terminal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.files import open_own


def launch(
    experiment: Experiment,
    *,
    device: str = "auto",
    timeout: float | None = None,
    threads: int | None = None,
) -> int:
    """Start a worker for ``experiment`` in a session of its own and return its process id.

    The worker neither reads nor holds the terminal, and survives it. What libraries print goes to
    ``worker.log``. A `UserError` says that a worker runs already.
    """
    experiment.require_sound()
    experiment.require_ours()
    if experiment.state() == "running":
        worker = experiment.worker()
        raise UserError(
            f"Experiment {experiment.id} is running already"
            + (f" (process {worker.pid} on {worker.host})." if worker else "."),
            hint=f"Watch it with `synergy attach {experiment.id}`.",
        )
    options = [f"--device={device}"]
    if timeout is not None:
        options.append(f"--timeout={timeout}")
    if threads is not None:
        options.append(f"--threads={threads}")
    module = "synergy_tui.running.worker"
    return start_detached(module, str(experiment.path), *options, log=experiment.log_path).pid


def start_detached(module: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` in a session of its own; it writes to ``log``, in whose folder it
    runs, and neither reads nor holds the terminal.
    """
    output = open_own(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,
        )
    finally:
        os.close(output)


def worker_options(
    module: str, arguments: Sequence[str] | None, **types: Callable[[str], Any]
) -> dict[str, Any]:
    """Read a worker's command line: ``directory`` is positional, the others are options.

    An option that is not given is absent, so that defaults stay where the values are used.
    """
    parser = argparse.ArgumentParser(prog=module, argument_default=argparse.SUPPRESS)
    for name, convert in types.items():
        parser.add_argument(name if name == "directory" else f"--{name}", type=convert)
    return vars(parser.parse_args(arguments))


def guarded(main: Callable[[], int]) -> int:
    """Return the exit code of a process's ``main``; 3 after an exception that nobody foresaw, or a
    library's own exit: Python would exit with 1, which means that an expectation failed.
    """
    try:
        return main()
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code in (ExitCode.OK, ExitCode.BAD_INPUT):
            raise  # argparse has said what is wrong
        traceback.print_exc()
        return int(ExitCode.RUN_FAILED)


def next_command(reference: str, state: str) -> str:
    """What to do with what does not run: look at what is finished, continue the rest."""
    if state == "finished":
        return f"Look at it: `synergy replay {reference}`."
    return f"Continue it: `synergy resume {reference}`."


def stop(experiment: Experiment, *, wait: float = 60.0) -> str:
    """Ask an experiment's worker to checkpoint and stop, and return the experiment's state.

    A worker that was asked already is waited for like the first time. One that takes longer than
    ``wait`` seconds stops by itself later; one that ended otherwise leaves the state ``dead``. A
    `UserError` says that no worker runs, or that it runs on another machine or for another user.
    """
    experiment.require_ours()
    worker = experiment.worker()
    state = experiment.state()
    if worker is None or state != "running":
        raise UserError(
            f"Experiment {experiment.id} is not running (it is {state}).",
            hint=next_command(experiment.reference, state),
        )
    if not worker.here:
        raise UserError(
            f"Experiment {experiment.id} runs on {worker.host}.",
            hint=f"Stop it there: `kill -TERM {worker.pid}`.",
        )
    if not worker.stop(experiment.path):
        return experiment.state()
    deadline = time.monotonic() + wait
    while worker.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    return experiment.state()


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute (or resume) the experiment in ``DIR`` and return its exit code."""
    options = worker_options(
        "synergy_tui.running.worker",
        arguments,
        directory=str,
        device=str,
        timeout=float,
        threads=int,
    )
    from synergy_tui.running.runner import run_experiment
    from synergy_tui.running.signals import PATIENCE_SECONDS, Stopper, stop_on_signals

    experiment = Experiment(options.pop("directory"))
    timeout = options.pop("timeout", None)
    deadline = None if timeout is None else time.monotonic() + timeout
    stopper = Stopper(deadline, patience=PATIENCE_SECONDS)
    with stop_on_signals(stopper, detached=True):
        try:
            return run_experiment(experiment, should_stop=stopper, **options)
        except UserError as error:
            echo(error.message, err=True)
            return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(guarded(main))
