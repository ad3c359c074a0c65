"""A real SSH session between two hosts: the client killed, the run continued, a bad line.

``pytest tests/end_to_end/test_ssh.py -s`` prints how long a key takes.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import statistics
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment, list_experiments
from tests.hosts import OWN, Host, network, run
from tests.places import PYTHONPATH, ROOT

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SSHD is None or not shutil.which("ssh"), reason="OpenSSH is not installed"),
]
SCENARIO = """
title = "Long enough to leave"
[train]
task = "sort"
length = 9
vocabulary = 4
steps = 200000
batch = 8
embed = 16
mlp = 16
layers = 1
probe_every = 500
checkpoint_every = 500
log_every = 5
[[runs]]
name = "one"
heads = 1
"""
CONFIG = """
Port 22
HostKey {own}/host_key
AuthorizedKeysFile {own}/client_key.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
SetEnv SYNERGY_HOME={own}/home/synergy PYTHONPATH={path} LANG=C.UTF-8 OMP_NUM_THREADS=1
"""


class Client:
    """``ssh`` in a terminal of 100 by 30 characters."""

    def __init__(self, host: Host, key: Path, address: str, *command: str) -> None:
        self.seen = b""
        ssh = (
            "ip", "netns", "exec", host.space, "ssh", "-tt", "-q", "-i", str(key),
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "IdentitiesOnly=yes", f"root@{address}",
            " ".join((f"cd {OWN} &&", sys.executable, "-m", "synergy_tui", *command)),
        )  # fmt: skip
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execvp(ssh[0], ssh)
        termios.tcsetwinsize(self.terminal, (30, 100))

    def wait_for(self, text: str, seconds: float = 60.0) -> float:
        """Read until a text comes; return the seconds that took."""
        begun = time.monotonic()
        while text.encode() not in self.seen:
            left = begun + seconds - time.monotonic()
            assert left > 0, f"{text!r} never came: {self.seen[-2000:]!r}"
            if select.select([self.terminal], [], [], left)[0]:
                try:
                    self.seen += os.read(self.terminal, 65536)
                except OSError:  # the other side has gone
                    assert text.encode() in self.seen, self.seen[-2000:]
        return time.monotonic() - begun

    def press(self, key: str, text: str) -> float:
        """Press a key; return the seconds until a text appears."""
        while select.select([self.terminal], [], [], 0)[0]:
            os.read(self.terminal, 65536)
        self.seen = b""
        os.write(self.terminal, key.encode())
        return self.wait_for(text)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    with network(tmp_path, 2) as made:
        server = made[1]
        for key in (server.folder / "host_key", server.folder / "client_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        config = server.folder / "sshd_config"
        config.write_text(CONFIG.format(own=OWN, path=PYTHONPATH))
        (server.folder / "scenario.toml").write_text(SCENARIO)
        daemon = (
            f"mount -t tmpfs run /run && mkdir /run/sshd && exec {SSHD} -D -e -f {OWN}/sshd_config"
        )
        server.start("sh", "-c", daemon, log="sshd.log")
        yield made


def connect(hosts: list[Host], address: str, *command: str) -> Client:
    return Client(hosts[0], hosts[1].folder / "client_key", address, *command)


def only(host: Host) -> Experiment:
    [experiment] = list_experiments(host.folder / "home/synergy")
    return experiment


def newest(experiment: Experiment) -> int:
    steps = [e["step"] for e in EventReader(experiment.events_path).read_all() if "step" in e]
    return max(steps, default=0)


@pytest.mark.timeout(400)
def test_a_client_that_is_killed_and_comes_back(hosts: list[Host], tmp_path: Path) -> None:
    server = hosts[1]
    time.sleep(1)  # until sshd listens: connecting again would be another client
    client = connect(hosts, server.address, "run", "scenario.toml")
    client.wait_for("LIVE")
    client.wait_for("step")
    client.kill()
    experiment = only(server)
    before = newest(experiment)
    deadline = time.monotonic() + 60
    while newest(experiment) < before + 50:
        assert time.monotonic() < deadline, "the run did not continue"
        time.sleep(0.2)
    again = connect(hosts, server.address, "attach", "last")
    again.wait_for("LIVE")
    near = latencies(again)
    again.kill()

    relay = subprocess.Popen(
        [sys.executable, "-m", "tests.relay", hosts[0].space, server.space, "0.2", "0.05"],
        stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"ready\n"
        for number, host in enumerate(hosts, 1):
            run("ip", "-n", host.space, "addr", "add", f"10.78.0.{number}/24", "dev", "tap0")
            run("ip", "-n", host.space, "link", "set", "tap0", "up")
        far = connect(hosts, "10.78.0.2", "attach", "last")
        far.wait_for("LIVE", 120)
        slow = latencies(far)
        far.kill()
    finally:
        relay.kill()
        relay.wait()
    for name, taken in (("same switch", near), ("200 ms, 5 % lost", slow)):
        shown = ", ".join(f"{1000 * each:.0f}" for each in sorted(taken))
        print(f"{name}: median {1000 * statistics.median(taken):.0f} ms of {shown}")
    stop = connect(hosts, server.address, "stop", "last")
    os.waitpid(stop.pid, 0)
    assert experiment.ending() is not None
    assert experiment.ending()["reason"] or experiment.ending()["exit_code"] == 143  # type: ignore[index]


def latencies(client: Client) -> list[float]:
    """Seconds from a key to what it shows, ten times: pause and follow in turn."""
    client.press(" ", "PAUSED")
    taken = []
    for _ in range(5):
        time.sleep(0.5)
        taken.append(client.press(" ", "LIVE"))
        time.sleep(0.5)
        taken.append(client.press(" ", "PAUSED"))
    return taken
