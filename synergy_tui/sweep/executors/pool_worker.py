"""A worker of `pool.PoolExecutor`: runs the experiments it is given.

Each line of its input is ``{"paths": […]}``; several paths train as one ensemble. It answers each
path with a line ``{"path", "exit_code", "reason"}``. Once the driver has died, it checkpoints and
ends, so that the next driver finds nothing running.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.runner import run_experiment
from synergy_tui.running.signals import PATIENCE_SECONDS, Stopper, stop_on_signals
from synergy_tui.running.worker import worker_options
from synergy_tui.sweep.executors.executor import BACKEND_OPTIONS, Backend


class _Leashed(Stopper):
    """Also asks to end when the process that started this one has gone."""

    def __init__(self) -> None:
        super().__init__(patience=PATIENCE_SECONDS)
        self._driver = os.getppid()

    def __call__(self) -> bool:
        if os.getppid() != self._driver:
            self.request("the driver of the sweep has gone", int(ExitCode.TERMINATED))
        return super().__call__()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what standard input lists until it ends or a signal asks to stop."""
    module = "synergy_tui.sweep.executors.pool_worker"
    backend = Backend(**worker_options(module, arguments, **BACKEND_OPTIONS))
    os.umask(0o077)
    # Answers go to the pipe that was standard output; what libraries print goes to the log.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def answer(path: str, code: int, reason: str = "") -> None:
        line = orjson.dumps({"path": path, "exit_code": int(code), "reason": reason})
        with contextlib.suppress(BrokenPipeError):  # the driver has gone
            answers.write(line + b"\n")

    stopper = _Leashed()
    with stop_on_signals(stopper, detached=True):
        while not stopper() and (line := sys.stdin.buffer.readline()):
            paths = orjson.loads(line)["paths"]
            _run(paths, backend, stopper, answer)
    return int(ExitCode.OK)


def _run(
    paths: list[str],
    backend: Backend,
    stopper: Stopper,
    answer: Callable[..., None],
) -> None:
    """Run one batch and answer for each of its experiments."""
    how: dict[str, Any] = {"device": backend.device, "threads": backend.threads}
    experiments = [Experiment(path) for path in paths]
    try:
        if len(paths) > 1:
            from synergy_tui.sweep.executors.ensemble import run_together

            codes = run_together(experiments, should_stop=stopper, **how)
        elif backend.processes > 1:
            from synergy_tui.sweep.executors.data_parallel import run_parallel

            codes = [run_parallel(experiments[0], backend.processes, stopper=stopper, **how)]
        else:
            codes = [run_experiment(experiments[0], should_stop=stopper, **how)]
    except UserError as error:
        for path in paths:
            answer(path, error.exit_code, error.message)
        return
    except Exception as error:
        traceback.print_exc()
        for path in paths:
            answer(path, ExitCode.RUN_FAILED, f"{type(error).__name__}: {error} (see sweep.log)")
        return
    for path, experiment, code in zip(paths, experiments, codes, strict=True):
        ending = experiment.ending() or {}
        answer(path, code, str(ending.get("reason") or ""))


if __name__ == "__main__":
    sys.exit(main())
