"""Drives a sweep: hands out what is not finished, tries again what was lost, writes the log."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Mapping
from typing import Any

from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import EventWriter
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.executors.executor import Executor, Outcome, Task

POLL_SECONDS = 0.5
_DONE = (ExitCode.OK, ExitCode.EXPECTATION_FAILED)


def run_sweep(
    sweep: Sweep,
    executor: Executor,
    *,
    attempts: int = 3,
    should_stop: Callable[[], bool] = lambda: False,
    origin: Mapping[str, Any] | None = None,
) -> ExitCode:
    """Run what is not finished of a sweep, whose lock must be held; shuts the executor down.

    A point whose worker was lost is tried ``attempts`` times in all. ``should_stop`` is asked twice
    a second; once it is true, everything is checkpointed and stops.
    ``origin`` holds further fields of ``sweep_started`` (executor, machine).

    Returns 0 when all is done and all expectations hold, 1 when an expectation failed somewhere,
    3 when a point failed, and 143 when it was stopped (``synergy sweep DIR`` resumes it).
    """
    states = sweep.states()
    done = [name for name, state in states.items() if state == "finished"]
    waiting = collections.deque(
        executor.batches(
            [
                Task(name, sweep.experiment(name).path, attempt=1 if state == "new" else 2)
                for name, state in states.items()
                if state != "finished"
            ]
        )
    )
    codes = {name: _finished_code(sweep, name) for name in done}
    begun: dict[str, float] = {}
    tries: collections.Counter[str] = collections.Counter()
    stopping = False
    with EventWriter(sweep.events_path) as log:
        log.write(
            "sweep_started",
            id=sweep.id,
            points=len(states),
            already_finished=len(done),
            **(origin or {}),
        )
        try:
            while waiting or begun:
                if not stopping and should_stop():
                    stopping = True
                    waiting.clear()
                    executor.cancel()
                while waiting and executor.free > 0:
                    batch = waiting.popleft()
                    for task in batch:
                        tries[task.point] += 1
                        begun[task.point] = time.monotonic()
                        log.write("point_started", point=task.point, attempt=task.attempt)
                    executor.submit(batch)
                for outcome in executor.poll(POLL_SECONDS):
                    task = outcome.task
                    again = outcome.lost and not stopping and tries[task.point] < attempts
                    seconds = time.monotonic() - begun.pop(task.point)
                    _log_ending(log, outcome, seconds, again)
                    if again:
                        waiting.append([Task(task.point, task.path, task.attempt + 1)])
                    else:
                        codes[task.point] = _code(outcome, stopping)
        finally:
            executor.shutdown()
        code = _overall(codes, len(states))
        finished = sum(each in _DONE for each in codes.values())
        log.write("sweep_finished", exit_code=int(code), finished=finished)
    return code


def _finished_code(sweep: Sweep, name: str) -> ExitCode:
    ending = sweep.experiment(name).ending() or {}
    return ExitCode(int(ending.get("exit_code") or 0))


def _code(outcome: Outcome, stopping: bool) -> ExitCode:
    if outcome.exit_code is not None:
        return outcome.exit_code
    return ExitCode.TERMINATED if stopping else ExitCode.RUN_FAILED


def _log_ending(log: EventWriter, outcome: Outcome, seconds: float, again: bool) -> None:
    if outcome.exit_code is None:
        state = "lost"
    elif outcome.exit_code in _DONE:
        state = "finished"
    elif outcome.exit_code in (ExitCode.TERMINATED, ExitCode.INTERRUPTED):
        state = "stopped"
    else:
        state = "failed"
    log.write(
        "point_ended",
        point=outcome.task.point,
        attempt=outcome.task.attempt,
        state=state,
        exit_code=None if outcome.exit_code is None else int(outcome.exit_code),
        reason=outcome.reason,
        seconds=round(seconds, 3),
        again=again,
    )


def _overall(codes: Mapping[str, ExitCode], points: int) -> ExitCode:
    """The worst of the points: failed, then stopped, then an expectation that failed."""
    given = set(codes.values())
    if given - {*_DONE, ExitCode.TERMINATED, ExitCode.INTERRUPTED}:
        return ExitCode.RUN_FAILED
    if len(codes) < points or given - set(_DONE):
        return ExitCode.TERMINATED
    return max(given, default=ExitCode.OK)
