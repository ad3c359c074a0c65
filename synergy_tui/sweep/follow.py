"""What a sweep without the app shows: a plain line for every point, or its events as JSON."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from synergy_tui.console import echo
from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import EventReader, encode
from synergy_tui.experiments.metrics import run_record
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.estimate import Estimate
from synergy_tui.sweep.overview import Overview, PointView
from synergy_tui.words import counted, duration, number, size

LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 90.0


def announce(estimate: Estimate, *, finished: int, backend: str) -> str:
    """What a sweep will cost, in a sentence."""
    before = f"{counted(finished, 'point')} finished; " if finished else ""
    todo = f"{counted(estimate.points, 'point')}, {counted(estimate.runs, 'run')} to go"
    needs = f"about {duration(estimate.seconds)} and {size(estimate.memory)}"
    return (
        f"{before}{todo}: {needs}, {backend} "
        "(an estimate; within a factor of two on an idle machine)"
    )


def follow(
    sweep: Sweep,
    start: Callable[[], subprocess.Popen[bytes]] | None,
    *,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Show a sweep until its driver ends, and return its exit code.

    ``start`` starts the driver; Ctrl-C and SIGTERM are then passed on to it as a request to stop.
    ``None`` only watches, and Ctrl-C only ends the watching. ``as_json`` prints the events of the
    sweep's log on stdout; ``quiet`` shows only what went wrong.
    """
    show = _json_lines(sweep) if as_json else _plain_lines(sweep, quiet)
    process = None if start is None else start()
    stopping: list[int] = []

    def ask(signal_number: int, _: object) -> None:
        stopping.append(signal_number)
        if process is not None:
            process.send_signal(signal.SIGTERM if len(stopping) < 2 else signal.SIGKILL)

    before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        deadline = math.inf
        while True:
            ended = process.poll() is not None if process is not None else not sweep.running
            show()
            if ended:
                break
            if stopping and process is None:
                return int(ExitCode.INTERRUPTED)
            if stopping and deadline == math.inf:
                deadline = time.monotonic() + PATIENCE_SECONDS
                echo("stopping: every point writes a checkpoint …", err=True)
            if time.monotonic() > deadline and process is not None:
                process.kill()
            time.sleep(LOOK_SECONDS)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    again = f"`synergy sweep {sweep.path}` continues what is not finished"
    if stopping and (process is None or process.returncode not in (0, 1)):
        echo(f"stopped; {again}", err=True)
        interrupted = stopping[0] == signal.SIGINT
        return int(ExitCode.INTERRUPTED if interrupted else ExitCode.TERMINATED)
    if process is not None and process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        echo(f"the driver died ({name}); {again}", err=True)
        return int(ExitCode.RUN_FAILED)
    if process is not None:
        return int(process.returncode)
    overview = Overview(sweep)
    overview.update(2**26)
    return overview.exit_code or 0


def _json_lines(sweep: Sweep) -> Callable[[], None]:
    reader = EventReader(sweep.events_path)
    list(reader.read_all())

    def show() -> None:
        for event in reader.read():
            sys.stdout.buffer.write(encode(event))
        sys.stdout.buffer.flush()

    return show


def _plain_lines(sweep: Sweep, quiet: bool) -> Callable[[], None]:
    overview = Overview(sweep)
    overview.update(2**28)

    def show() -> None:
        for event in overview.update(2**22):
            if event["kind"] == "point_ended":
                view = overview.points[event["point"]]
                wrong = event["state"] not in ("finished", "stopped")
                if wrong or not quiet:
                    echo(_line(overview, view, event["state"], event["reason"]), err=True)

    return show


def _line(overview: Overview, view: PointView, status: str, reason: str) -> str:
    counts = overview.counts
    done = counts.get("finished", 0)
    numbers = ", ".join(
        f"{run.name} {number(run_record(run)['loss'], 3)}"
        for run in view.state.runs.values()
        if len(run.loss)
    )
    left = overview.remaining
    ahead = f" · about {duration(left)} left" if left else ""
    note = f": {reason}" if reason else f" · loss {numbers}" if numbers else ""
    return f"{done}/{len(overview.points)} {view.point.name} {status}{note}{ahead}"
