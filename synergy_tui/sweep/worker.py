"""The process that drives a sweep: ``python -m synergy_tui.sweep.worker DIR``.

It has descriptors of its own (standard output and error are the sweep's log), so nothing that a
library prints, Ray's raylet messages included, reaches the terminal or ``--json``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from synergy_tui.console import echo
from synergy_tui.errors import UserError
from synergy_tui.running.worker import guarded, next_command, start_detached, worker_options
from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.executors.executor import BACKEND_OPTIONS, Backend, Executor


def launch(sweep: Sweep, backend: Backend) -> subprocess.Popen[bytes]:
    """Start the driver of a sweep in a session of its own."""
    if sweep.running:
        raise UserError(
            f"Sweep {sweep.id} is being run already.",
            hint=f"Watch it with `synergy attach {sweep.reference}`.",
        )
    options = backend.as_options()
    module = "synergy_tui.sweep.worker"
    return start_detached(module, str(sweep.path), *options, log=sweep.log_path)


def stop(sweep: Sweep, *, wait: float = 0.0) -> str:
    """Ask the driver to checkpoint everything and stop; return the sweep's state.

    At most ``wait`` seconds are waited for its end. A `UserError` says that no driver runs here.
    """
    worker = sweep.writer
    if worker is None:
        state = sweep.state()
        raise UserError(
            f"Sweep {sweep.id} is not being run here (it is {state}).",
            hint=next_command(sweep.reference, state),
        )
    if worker.stop(sweep.path):
        deadline = time.monotonic() + wait
        while worker.alive and time.monotonic() < deadline:
            time.sleep(0.05)
    return sweep.state()


def make_executor(backend: Backend, sweep: Sweep, table: SweepTable) -> Executor:
    """The executor that a backend means."""
    if backend.executor == "ray":
        from synergy_tui.sweep.executors.ray import RayExecutor

        return RayExecutor(table, backend)
    from synergy_tui.sweep.executors.pool import PoolExecutor

    return PoolExecutor(backend, sweep.log_path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not finished of the sweep in ``DIR`` and return its exit code."""
    options = worker_options(
        "synergy_tui.sweep.worker", arguments, directory=str, **BACKEND_OPTIONS
    )
    os.umask(0o077)
    from synergy_tui.machine import describe_machine
    from synergy_tui.running.signals import PATIENCE_SECONDS, Stopper, stop_on_signals
    from synergy_tui.sweep.driver import run_sweep

    sweep = Sweep(options.pop("directory"))
    backend = Backend(**options)
    stopper = Stopper(patience=PATIENCE_SECONDS)
    try:
        with stop_on_signals(stopper, detached=True), sweep.lock():
            table = sweep.scenario().sweep or SweepTable()
            return run_sweep(
                sweep,
                make_executor(backend, sweep, table),
                attempts=table.attempts,
                should_stop=stopper,
                origin={"backend": str(backend), "machine": describe_machine()},
            )
    except UserError as error:
        echo(f"{error.message} {error.hint or ''}".rstrip(), err=True)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(guarded(main))
