"""Hosts that are really two, on one machine: network namespaces with addresses of their own.

Each host is a namespace on a common bridge, and what it runs sees a folder of its own as ``/mnt``
(home, temporary files, Ray's folder) and a host name of its own. A host's cable can be pulled and
put back: frames are then dropped in silence, as by a switch, not refused. Needs Linux and root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import PYTHONPATH

OWN = "/mnt"
_INSIDE = (
    'mount --make-rprivate / && mount --bind "$1" /mnt && hostname "$2" && shift 2 && '
    'ip link set lo up && cd /mnt && exec "$@"'
)


def run(*command: str) -> None:
    """Run a command of the system; its error output is part of the exception."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class Host:
    """A namespace with an address, a folder and a name of its own."""

    def __init__(self, bridge: str, number: int, folder: Path) -> None:
        self.name = f"host{number}"
        self.address = f"10.77.0.{number}"
        self.space = f"{bridge}h{number}"
        self.folder = folder / self.name
        self._bridge, self._port = bridge, f"p{number}"
        for each in ("home", "tmp"):
            (self.folder / each).mkdir(parents=True)
        run("ip", "netns", "add", self.space)
        run("ip", "-n", bridge, "link", "add", self._port, "type", "veth", "peer", "name", "eth0",
            "netns", self.space)  # fmt: skip
        run("ip", "-n", bridge, "link", "set", self._port, "master", "br0", "up")
        run("ip", "-n", self.space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.space, "link", "set", "eth0", "up")

    def start(self, *command: str, log: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command on the host; ``log`` is a file of its folder."""
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ},
            "HOME": f"{OWN}/home",
            "TMPDIR": f"{OWN}/tmp",
            "PYTHONPATH": PYTHONPATH,
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        wrapped = ("ip", "netns", "exec", self.space, "unshare", "--mount", "--uts", "sh", "-c",
                   _INSIDE, "sh", str(self.folder), self.name, *command)  # fmt: skip
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                wrapped, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )

    def python(self, *arguments: str, log: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start Python on the host."""
        return self.start(sys.executable, *arguments, log=log, **variables)

    def inside(self, path: Path) -> str:
        """What the host calls a path of its folder."""
        return f"{OWN}/{path.relative_to(self.folder)}"

    def pull_cable(self) -> None:
        run("ip", "-n", self._bridge, "link", "set", self._port, "nomaster")

    def put_cable_back(self) -> None:
        run("ip", "-n", self._bridge, "link", "set", self._port, "master", "br0")

    def die(self) -> None:
        """Lose power: nothing says goodbye, and everything that ran has gone."""
        with contextlib.suppress(OSError):
            self.pull_cable()
        self.kill()

    def kill(self) -> None:
        """Kill what runs here; what is started meanwhile is killed too."""
        for _ in range(20):
            listed = subprocess.run(
                ["ip", "netns", "pids", self.space], capture_output=True, text=True, check=False
            )
            if not (pids := listed.stdout.split()):
                return
            for pid in map(int, pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def network(folder: Path, count: int) -> Iterator[list[Host]]:
    """Hosts on a bridge of their own; skips the test where that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and ip (iproute2)")
    bridge = f"syn{uuid.uuid4().hex[:6]}"
    with contextlib.ExitStack() as undo:
        try:
            run("ip", "netns", "add", bridge)
            undo.callback(run, "ip", "netns", "del", bridge)
            run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
            run("ip", "-n", bridge, "link", "set", "br0", "up")
            hosts: list[Host] = []
            for number in range(1, count + 1):
                hosts.append(Host(bridge, number, folder))
                undo.callback(_remove, hosts[-1])
            run("unshare", "--mount", "--uts", "true")
        except OSError as error:
            pytest.skip(f"network namespaces are not allowed here: {error}")
        yield hosts


def _remove(host: Host) -> None:
    host.kill()
    run("ip", "netns", "del", host.space)


def text(folder: Path) -> str:
    """What a host has logged, for messages of tests."""
    logs = sorted(folder.glob("*.log"))
    return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)
