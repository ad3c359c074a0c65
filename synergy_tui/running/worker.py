"""Starts workers that outlive the terminal, and ends them."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.files import FILE_MODE


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
    if experiment.state() == "running":
        worker = experiment.worker()
        raise UserError(
            f"Experiment {experiment.id} is running already"
            + (f" (process {worker.pid} on {worker.host})." if worker else "."),
            hint=f"Watch it with `synergy attach {experiment.id}`.",
        )
    command = [sys.executable, "-P", "-m", "synergy_tui.running.worker", str(experiment.path)]
    command += ["--device", device]
    if timeout is not None:
        command += ["--timeout", str(timeout)]
    if threads is not None:
        command += ["--threads", str(threads)]
    log = os.open(experiment.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=experiment.path,
            start_new_session=True,
        )
    finally:
        os.close(log)
    return process.pid


def stop(experiment: Experiment, *, wait: float = 60.0) -> str:
    """Ask an experiment's worker to checkpoint and stop, and return the experiment's state.

    A worker that takes longer than ``wait`` seconds stops by itself later. A `UserError` says that
    no worker runs, or that it runs on another machine or for another user.
    """
    worker = experiment.worker()
    if worker is None or experiment.state() != "running":
        raise UserError(
            f"Experiment {experiment.id} is not running (it is {experiment.state()}).",
            hint=f"Continue it: `synergy resume {experiment.id}`.",
        )
    if not worker.here:
        raise UserError(
            f"Experiment {experiment.id} runs on {worker.host}.",
            hint=f"Stop it there: `kill -TERM {worker.pid}`.",
        )
    try:
        os.kill(worker.pid, signal.SIGTERM)
    except ProcessLookupError:
        return experiment.state()
    except PermissionError as error:
        raise UserError(
            f"Process {worker.pid} belongs to another user, who has to stop it."
        ) from error
    deadline = time.monotonic() + wait
    while worker.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    return experiment.state()


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute (or resume) the experiment in a directory and return its exit code."""
    parser = argparse.ArgumentParser(prog="synergy_tui.running.worker", description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--timeout", type=float, help="seconds after which to stop")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    from synergy_tui.running.runner import run_experiment
    from synergy_tui.running.signals import Stopper, stop_on_signals

    stopper = Stopper(None if options.timeout is None else time.monotonic() + options.timeout)
    with stop_on_signals(stopper, detached=True):
        try:
            return run_experiment(
                Experiment(options.directory),
                device=options.device,
                should_stop=stopper,
                threads=options.threads,
            )
        except UserError as error:
            print(error.message, file=sys.stderr)
            return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
