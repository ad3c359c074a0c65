"""Signals that end a run cleanly: a checkpoint, a closing event in the log, and an exit code."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from synergy_tui.errors import ExitCode


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

    def request(self, reason: str, exit_code: int) -> None:
        """Ask to end; the first reason stays."""
        if not self.reason:
            self.reason, self.exit_code = reason, exit_code

    def __call__(self) -> bool:
        if not self.reason and self.asked is not None and self.asked():
            self.request("it was asked to stop", ExitCode.TERMINATED)
        if not self.reason and self.deadline is not None and time.monotonic() >= self.deadline:
            self.request("the time limit was reached", ExitCode.RUN_FAILED)
        return bool(self.reason)


@contextmanager
def stop_on_signals(stopper: Stopper, *, detached: bool) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into requests to stop; put the old handlers back afterwards.

    A second one ends the process at once. A detached worker outlives its terminal, so it ignores
    SIGHUP; a run in the foreground stops cleanly with its terminal, unless under ``nohup``.
    Outside the main thread, where Python allows no handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if stopper.reason:
            signal.signal(number, signal.SIG_DFL)
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            signal.raise_signal(number)
        if number == signal.SIGINT:
            stopper.request("interrupted with Ctrl-C", ExitCode.INTERRUPTED)
        else:
            name = signal.Signals(number).name
            stopper.request(f"asked to stop ({name})", ExitCode.TERMINATED)

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
