"""Standard output and error: closed by the caller, full, or no longer read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from typing import Any

from synergy_tui.errors import ExitCode

_NAMES = {1: "stdout", 2: "stderr"}


class Outlet(io.FileIO):
    """Standard output or error for text that nothing depends on.

    What cannot be written is dropped and remembered, so that a command ends as it would have ended
    with a reader. Whoever wants to end without one asks :meth:`trouble`.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._name = _NAMES[descriptor]
        self._terminal = self.isatty()  # asked now: one that has gone is not a terminal any more
        self._lost: OSError | None = None
        self._poll = select.poll()
        self._poll.register(descriptor, 0)

    def write(self, data: Any) -> int:
        """Write like a file that is never full and never closed."""
        if self._lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self._lost = error
        return memoryview(data).nbytes

    def trouble(self) -> tuple[str, ExitCode] | None:
        """Why nobody reads this any more, and the exit code of a run that ends because of it.

        A pipe's reader and a terminal are missed as soon as they are gone, without anything being
        written; a terminal is not missed under ``nohup``.
        """
        gone = self._lost is not None and self._lost.errno in (
            errno.EPIPE,
            errno.ECONNRESET,
            errno.EIO if self._terminal else None,
        )
        if self._lost is not None and not gone:
            why = self._lost.strerror or self._lost
            return f"output cannot be written to {self._name}: {why}", ExitCode.RUN_FAILED
        if not gone:
            gone = any(found & (select.POLLERR | select.POLLHUP) for _, found in self._poll.poll(0))
        if not gone or (self._terminal and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN):
            return None
        what = "the terminal" if self._terminal else f"the reader of {self._name}"
        return f"{what} has gone", ExitCode.TERMINATED


def outlet_of(stream: object) -> Outlet | None:
    """Return the outlet behind stderr, or one for stdout; none for a stream put in their place.

    Only who keeps to the outlet forgoes errors: stdout itself still raises them.
    """
    if stream is sys.__stdout__ and stream is not None:
        return Outlet(1)
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, Outlet) else None


def open_streams() -> None:
    """Open what the caller closed (``>&-``), and make stderr an outlet.

    The next file that is opened must not become stdout. Text for people goes to stderr, and that it
    cannot be written is nothing a command fails of.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(Outlet(2)),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
        )


def leave_stdout() -> None:
    """Drop what stdout still buffers: Python would try, and complain, again when it exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
