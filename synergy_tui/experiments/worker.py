"""The process that writes an experiment: recognised, and asked to stop, but never trusted.

A file names it, and a file can name any process.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synergy_tui.errors import UserError

if TYPE_CHECKING:
    import psutil

LOCK = ".lock"
# What `running.worker` and `sweep.worker` are started as, followed by the directory.
_WORKER_MODULES = ("synergy_tui.running.worker", "synergy_tui.sweep.worker")


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that writes an experiment."""

    pid: int
    created: float
    """Seconds since 1970. A later process with the same id was created at another time, so it is
    not mistaken for the worker."""
    host: str
    uptime: float | None = None
    """Seconds that the machine had been running when the process was created, where that is known:
    setting the clock changes ``created`` as it is reported later, but not this."""
    watched: bool = False
    """Whether it is somebody's own training, which only they may end."""

    @classmethod
    def this_process(cls, *, watched: bool = False) -> Worker:
        import psutil

        process = psutil.Process()
        created, uptime = process.create_time(), _uptime(process)
        return cls(os.getpid(), created, socket.gethostname(), uptime, watched)

    @property
    def here(self) -> bool:
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether the process still runs; ``False`` when that cannot be known from here."""
        if not self.here:
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass  # somebody else's: perhaps a later process with this id
        import psutil

        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            uptime = _uptime(process)
            if self.uptime is not None and uptime is not None:
                return abs(uptime - self.uptime) < 0.1
            return abs(process.create_time() - self.created) < 2.0
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def holds(self, folder: Path) -> bool:
        """Whether the process writes the experiment in ``folder``: has its lock, or is its worker.

        A file can name any process, but only one of ours may be signalled. True for those of other
        users, who alone can look into them and signal them.
        """
        import psutil

        lock = os.path.realpath(folder / LOCK)
        try:
            process = psutil.Process(self.pid)
            if any(file.path == lock for file in process.open_files()):
                return True
            command = process.cmdline()
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            return False
        return str(folder) in command and any(part in command for part in _WORKER_MODULES)

    def stop(self, folder: Path) -> bool:
        """Ask the process to checkpoint and stop; false when it no longer writes ``folder``.

        A `UserError` says that it belongs to another user.
        """
        import psutil

        try:
            process = psutil.Process(self.pid)  # knows should another process get the id meanwhile
            if self.watched or not (self.alive and self.holds(folder)):
                return False
            process.terminate()
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied as error:
            raise UserError(
                f"Process {self.pid} belongs to another user, who has to stop it."
            ) from error
        return True


def _uptime(process: psutil.Process) -> float | None:
    """Return how long the machine had been running when a process was created."""
    if sys.platform != "linux":
        return None  # there the time of creation stays as the clock showed it then
    import psutil

    return process.create_time() - psutil.boot_time()
