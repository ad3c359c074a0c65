"""The real app in a pseudo-terminal: what it sends, what it costs, how soon it answers."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.places import PYTHONPATH

_CODE = """
import sys
from synergy_tui.app.app import open_app
from synergy_tui.experiments.experiment import Experiment
sys.exit(open_app(Experiment(sys.argv[1])))
"""


class Terminal:
    """A pseudo-terminal of ``size`` (columns, rows) with the app on an experiment's directory.

    ``arguments`` of ``synergy`` may open it, instead of a call.
    """

    def __init__(
        self, experiment: Path, size: tuple[int, int] = (120, 40), *arguments: str
    ) -> None:
        self.experiment = experiment
        self.command = ["-m", "synergy_tui", *arguments] if arguments else ["-c", _CODE]
        self.size = size
        self.received = bytearray()

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *self.size[::-1], 0, 0))
        environment = {
            **os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor",
            "PYTHONPATH": PYTHONPATH,
        }  # fmt: skip
        environment.pop("NO_COLOR", None)
        self._started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *self.command, str(self.experiment)],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.usage = psutil.Process(self.process.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read(self, seconds: float) -> bytes:
        """What arrives within ``seconds``."""
        end, got = time.perf_counter() + seconds, bytearray()
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                got += os.read(self._master, 65536)
        self.received += got
        return bytes(got)

    def wait_for(self, text: str, seconds: float = 30.0) -> float:
        """Seconds until ``text`` arrives; TimeoutError when it does not."""
        begun, got, sought = time.perf_counter(), bytearray(), text.encode()
        while time.perf_counter() - begun < seconds:
            if select.select([self._master], [], [], 0.2)[0]:
                got += os.read(self._master, 65536)
                if sought in got:
                    self.received += got
                    return time.perf_counter() - begun
        raise TimeoutError(f"{text!r} did not come; got {bytes(got[-2000:])!r}")

    def press(self, keys: str) -> None:
        """Type ``keys``."""
        os.write(self._master, keys.encode())

    @property
    def since_start(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._started
