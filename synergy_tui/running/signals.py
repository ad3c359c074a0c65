"""Signals that end a run cleanly: a checkpoint, a closing event in the log, and an exit code."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from synergy_tui.errors import ExitCode
from synergy_tui.streams import Outlet

# How long a second Ctrl-C waits for what the first one began.
PATIENCE_SECONDS = 30.0


@dataclass
class Stopper:
    """Asked between steps whether to end early."""

    deadline: float | None = None
    """Time on :func:`time.monotonic` at which to end."""
    reason: str = ""
    """Empty until it was asked to end."""
    exit_code: int = int(ExitCode.TERMINATED)
    asked: Callable[[], bool] | None = None
    """A plain function to ask as well."""
    outlet: Outlet | None = None
    """What the run is shown on: once nobody looks any more, it ends."""
    patience: float = 0.0
    """Seconds for which a further Ctrl-C changes nothing; with any, neither does SIGTERM, ever."""
    requested: float = 0.0
    """Time on :func:`time.monotonic` at which it was asked to end."""

    def request(self, reason: str, exit_code: int) -> None:
        """Ask to end; the first reason stays."""
        if not self.reason:
            self.requested, self.exit_code = time.monotonic(), exit_code
            self.reason = reason  # last: a signal that comes now must find the others set

    def __call__(self) -> bool:
        if not self.reason and self.asked is not None and self.asked():
            self.request("it was asked to stop", ExitCode.TERMINATED)
        if not self.reason and self.outlet is not None and (trouble := self.outlet.trouble()):
            self.request(*trouble)
        if not self.reason and self.deadline is not None and time.monotonic() >= self.deadline:
            self.request("the time limit was reached", ExitCode.RUN_FAILED)
        return bool(self.reason)

    @property
    def overdue(self) -> bool:
        """Whether what was asked to end has had all the patience there is."""
        return bool(self.reason) and time.monotonic() >= self.requested + self.patience

    def waits(self, number: int) -> float:
        """Seconds for which another signal, now that it was asked to end, changes nothing."""
        if number != signal.SIGINT:
            return math.inf if self.patience else 0.0
        return self.requested + self.patience - time.monotonic()


@contextmanager
def stop_on_signals(stopper: Stopper, *, detached: bool) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into requests to stop; put the old handlers back afterwards.

    A second one ends the process at once, but not while the stopper has patience: what the first
    one began (a checkpoint, the closing events) is worth the wait. A detached worker outlives its
    terminal, so it ignores SIGHUP; a run in the foreground stops cleanly with its terminal, unless
    under ``nohup``. Outside the main thread, where Python allows no handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if stopper.reason and (seconds := stopper.waits(number)) > 0:
            if number == signal.SIGINT and not detached:
                _say(f"stopping after a checkpoint; ctrl+c ends it at once in {seconds:.0f} s\n")
            return
        if stopper.reason:
            signal.signal(number, signal.SIG_DFL)
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            signal.raise_signal(number)
        if number == signal.SIGINT:
            stopper.request("interrupted with Ctrl-C", ExitCode.INTERRUPTED)
        else:
            name = signal.Signals(number).name
            what = "the terminal was closed" if name == "SIGHUP" else "asked to stop"
            stopper.request(f"{what} ({name})", ExitCode.TERMINATED)

    handlers: dict[signal.Signals, Any] = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if hasattr(signal, "SIGHUP"):
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        handlers[signal.SIGHUP] = signal.SIG_IGN if detached or ignored else stop
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """Write to stderr past its buffer, in whose code the signal may have come."""
    with suppress(OSError):
        os.write(2, text.encode())
