"""What a sweep without the app shows: a plain line for every point, or its events as JSON."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from synergy_tui.console import echo
from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import EventReader, encode
from synergy_tui.experiments.metrics import run_record
from synergy_tui.running.signals import Stopper, stop_on_signals
from synergy_tui.streams import Outlet, outlet_of
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.overview import Overview, PointView
from synergy_tui.words import duration, number

LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 90.0


def follow(
    sweep: Sweep,
    start: Callable[[], subprocess.Popen[bytes]] | None,
    *,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Show a sweep until its driver ends, and return its exit code.

    ``start`` starts the driver; Ctrl-C, SIGTERM, a closed terminal and a reader that leaves are
    then passed on to it as one request to stop. ``None`` only watches, and they only end the
    watching. ``as_json`` prints the events of the sweep's log on stdout; ``quiet`` shows only what
    went wrong.
    """
    outlet = outlet_of(sys.stdout if as_json else sys.stderr)
    show = _json_lines(sweep, outlet) if as_json else _plain_lines(sweep, quiet)
    stopper = Stopper(outlet=outlet, patience=PATIENCE_SECONDS if start else 0.0)
    before = _size(sweep.events_path)
    with stop_on_signals(stopper, detached=False):
        process = None if start is None else start()
        asked = False
        while process.poll() is None if process is not None else sweep.running:
            show()
            if stopper() and process is None:
                return _watched(stopper)
            if stopper() and process is not None and not asked:
                asked = True
                echo("stopping: every point writes a checkpoint …", err=True)
                process.send_signal(signal.SIGTERM)
            if process is not None and stopper.overdue:
                process.kill()
            time.sleep(LOOK_SECONDS)
        show()
    if process is not None:
        if process.returncode > 0 and _size(sweep.events_path) == before:
            echo(f"the driver could not begin: {_last_line(sweep)}", err=True)
        return _ended(sweep, process.returncode, stopper)
    overview = Overview(sweep)
    overview.update(2**26)
    return overview.exit_code or 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last_line(sweep: Sweep) -> str:
    """What the driver said last, for nobody but its log."""
    with contextlib.suppress(OSError, IndexError):
        return sweep.log_path.read_text("utf-8", "replace").splitlines()[-1]
    return f"see {sweep.log_path}"


def _watched(stopper: Stopper) -> int:
    """The exit code of watching that ended before the sweep; one's reader may leave at any time."""
    left = stopper.outlet is not None and stopper.outlet.trouble() is not None
    return int(ExitCode.OK if left else stopper.exit_code)


def _ended(sweep: Sweep, code: int, stopper: Stopper) -> int:
    """Say how the driver ended, where that is not plain, and return the sweep's exit code."""
    again = f"`synergy sweep {sweep.path}` continues what is not finished"
    # A driver that had not got as far as to wait for signals ends by the first one.
    if stopper.reason and code in (ExitCode.TERMINATED, -signal.SIGTERM):
        echo(f"stopped: {stopper.reason}; {again}", err=True)
        return int(stopper.exit_code)
    if code < 0:
        late = f"; it had not stopped after {PATIENCE_SECONDS:.0f} s" if stopper.overdue else ""
        echo(f"the driver died ({signal.Signals(-code).name}{late}); {again}", err=True)
        return int(ExitCode.RUN_FAILED)
    return code


def _json_lines(sweep: Sweep, outlet: Outlet | None) -> Callable[[], None]:
    reader = EventReader(sweep.events_path)
    list(reader.read_all())
    stream = sys.stdout.buffer if outlet is None else io.BufferedWriter(outlet)

    def show() -> None:
        for event in reader.read():
            stream.write(encode(event))
        stream.flush()

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
