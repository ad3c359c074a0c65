"""Drives a sweep: hands out what is not finished, tries again what was lost, writes the log."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import Event, EventWriter
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.executors.executor import Executor, Outcome, Task

Batching = Callable[[Sequence[Task]], Iterable[Sequence[Task]]]
POLL_SECONDS = 0.5


def one_by_one(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    """Every point on its own."""
    return [[task] for task in tasks]


def run_sweep(
    sweep: Sweep,
    executor: Executor,
    *,
    batching: Batching = one_by_one,
    attempts: int = 3,
    should_stop: Callable[[], bool] = lambda: False,
    listener: Callable[[Event], None] | None = None,
    told: Mapping[str, Any] | None = None,
) -> ExitCode:
    """Run what is not finished of a sweep.

    Parameters
    ----------
    sweep
        Its lock must be held.
    executor
        What runs the points; shut down at the end, however it comes.
    batching
        Sorts points into batches that train together.
    attempts
        How often a point whose worker was lost is tried in all.
    should_stop
        Asked twice a second; once true, everything is checkpointed and stops.
    listener
        Called with each event of the sweep's log.
    told
        Further fields of the ``sweep_started`` event (executor, machine).

    Returns
    -------
    ExitCode
        0 all done and all expectations hold; 1 an expectation failed somewhere; 3 a point failed;
        143 stopped, and ``synergy sweep`` on the directory goes on.
    """
    states = sweep.states()
    done = [name for name, state in states.items() if state == "finished"]
    waiting = collections.deque(
        batching(
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
    with EventWriter(sweep.events_path, listener) as log:
        log.write(
            "sweep_started",
            id=sweep.id,
            points=len(states),
            already_finished=len(done),
            **(told or {}),
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
                    _tell(log, outcome, seconds, again)
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


_DONE = (ExitCode.OK, ExitCode.EXPECTATION_FAILED)


def _finished_code(sweep: Sweep, name: str) -> ExitCode:
    ending = sweep.experiment(name).ending() or {}
    return ExitCode(int(ending.get("exit_code") or 0))


def _code(outcome: Outcome, stopping: bool) -> ExitCode:
    if outcome.exit_code is not None:
        return outcome.exit_code
    return ExitCode.TERMINATED if stopping else ExitCode.RUN_FAILED


def _tell(log: EventWriter, outcome: Outcome, seconds: float, again: bool) -> None:
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
    """The worst of the points: failed before stopped before an expectation that failed."""
    given = set(codes.values())
    if given - {*_DONE, ExitCode.TERMINATED, ExitCode.INTERRUPTED}:
        return ExitCode.RUN_FAILED
    if len(codes) < points or given - set(_DONE):
        return ExitCode.TERMINATED
    return max(given, default=ExitCode.OK)
