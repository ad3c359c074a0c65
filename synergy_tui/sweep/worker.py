"""The process that drives a sweep: ``python -m synergy_tui.sweep.worker DIR``.

It has descriptors of its own (standard output and error are the sweep's log), so nothing that a
library prints, Ray's raylet messages included, reaches the terminal or ``--json``.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.files import FILE_MODE
from synergy_tui.sweep.backend import EXECUTORS, build
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.executors.executor import Backend


def launch(sweep: Sweep, backend: Backend) -> subprocess.Popen[bytes]:
    """Start the driver of a sweep in a session of its own.

    Raises
    ------
    UserError
        It is being run already.
    """
    if sweep.running:
        raise UserError(
            f"Sweep {sweep.id} is being run already.",
            hint=f"Watch it with `synergy sweep {sweep.path} --watch`.",
        )
    command = [sys.executable, "-P", "-m", "synergy_tui.sweep.worker", str(sweep.path)]
    log = os.open(sweep.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        return subprocess.Popen(
            [*command, *backend.as_options()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=sweep.path,
            start_new_session=True,
        )
    finally:
        os.close(log)


def stop(sweep: Sweep) -> None:
    """Ask the driver to checkpoint everything and stop; returns at once.

    Raises
    ------
    UserError
        Nobody runs it here.
    """
    worker = Experiment(sweep.path).worker()
    if worker is None or not worker.alive:
        raise UserError(f"Sweep {sweep.id} is not being run.")
    os.kill(worker.pid, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not finished of the sweep in ``DIR`` and return its exit code."""
    parser = argparse.ArgumentParser(prog="synergy_tui.sweep.worker", description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--executor", choices=EXECUTORS[1:], required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--ray")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    from synergy_tui.machine import machine
    from synergy_tui.running.signals import Stopper, stop_on_signals
    from synergy_tui.sweep.driver import run_sweep

    sweep = Sweep(options.directory)
    given = {name: value for name, value in vars(options).items() if name != "directory"}
    backend = Backend(**given)
    stopper = Stopper()
    try:
        with stop_on_signals(stopper, detached=True), sweep.lock():
            table = sweep.scenario().sweep
            executor, batching = build(backend, sweep)
            return run_sweep(
                sweep,
                executor,
                batching=batching,
                attempts=table.attempts if table else 1,
                should_stop=stopper,
                told={"backend": str(backend), "machine": machine()},
            )
    except UserError as error:
        print(error.message, error.hint or "", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
