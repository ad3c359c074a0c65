"""A sweep over hosts that share no folder: the cable pulled, a host lost, the driver killed.

``pytest tests/tui/sweep/executors/test_two_hosts.py -s`` prints what happened when.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synergy_tui.experiments.events import EventReader
from synergy_tui.scenario import load_scenario
from synergy_tui.sweep.directory import Sweep, create_sweep
from synergy_tui.sweep.plan import expand
from tests.hosts import OWN, Host, network, text
from tests.places import PYTHONPATH
from tests.tui.sweep.conftest import trained
from tests.waiting import wait_for

pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS, PROBES, SAVES = 1200, 100, 50
SCENARIO = trained(
    STEPS, probe_every=PROBES, checkpoint_every=SAVES, sweep="seeds = 3\nattempts = 4"
)
PORT = "6379"
# A host that is not heard of for about ten seconds is lost, instead of for half a minute.
IMPATIENT = {
    "RAY_DISABLE_MEMORY_MONITOR": "1",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
BEGUN = time.monotonic()


def say(what: str) -> None:
    print(f"{time.monotonic() - BEGUN:7.1f} s  {what}", flush=True)


class Cluster:
    """A Ray head on the first host, and workers on the others."""

    def __init__(self, hosts: list[Host], **variables: str) -> None:
        self.hosts = hosts
        self.head = hosts[0]
        self.variables = {"RAY_AUTH_MODE": "disabled", **IMPATIENT, **variables}
        self.address = f"{self.head.address}:{PORT}"

    def start(self, host: Host, **variables: str) -> subprocess.Popen[bytes]:
        """Start Ray on a host, in the foreground of a process of its own."""
        own = ("--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false")
        joined = (f"--address={self.address}", "--num-cpus=1")
        return host.python(
            "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats",
            f"--node-ip-address={host.address}", f"--temp-dir={OWN}/ray",
            f"--object-store-memory={80 * 2**20}", *(own if host is self.head else joined),
            log="ray.log", **{**self.variables, **variables},
        )  # fmt: skip

    def start_all(self) -> None:
        for host in self.hosts:
            self.start(host)
            wait_for(lambda host=host: "Ray runtime started" in text(host.folder), "Ray to start")
            say(f"Ray runs on {host.name} ({host.address})")

    def drive(self, sweep: Sweep) -> subprocess.Popen[bytes]:
        """Start the driver of a sweep on the head's host."""
        return self.head.python(
            "-m", "synergy_tui.sweep.worker", self.head.inside(sweep.path), "--executor=ray",
            "--workers=0", f"--ray={self.address}", "--device=cpu", log="driver.log",
            **self.variables,
        )  # fmt: skip

    def logs(self) -> str:
        return "\n".join(f"==== {host.name}\n{text(host.folder)}" for host in self.hosts)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    with network(tmp_path, 3) as made:
        yield made


@pytest.fixture
def sweep(hosts: list[Host]) -> Sweep:
    file = hosts[0].folder / "lose.toml"
    file.write_text(SCENARIO)
    scenario = load_scenario(file)
    return create_sweep(scenario, expand(scenario), hosts[0].folder / "home")


def events(sweep: Sweep, point: str) -> list[dict[str, Any]]:
    return list(EventReader(sweep.experiment(point).events_path).read_all())


def progress(sweep: Sweep) -> dict[str, int]:
    """Point → newest step, of those that have a checkpoint and are not done."""
    found = {}
    for point in sweep.points:
        log = events(sweep, point.name)
        kinds = {event["kind"] for event in log}
        if "checkpoint" in kinds and "experiment_finished" not in kinds:
            found[point.name] = max(e["step"] for e in log if e["kind"] == "train_step")
    return found


def both_busy(sweep: Sweep) -> bool:
    return len(progress(sweep)) >= 2


def lost(sweep: Sweep) -> list[dict[str, Any]]:
    return [
        event
        for event in EventReader(sweep.events_path).read_all()
        if event["kind"] == "point_ended" and event["state"] == "lost"
    ]


def assert_complete(sweep: Sweep) -> None:
    """Every event of every point is there, once; and every file that one names."""
    assert set(sweep.states().values()) == {"finished"}
    for point in sweep.points:
        log = events(sweep, point.name)
        counted = Counter((event["kind"], event.get("run"), event.get("step")) for event in log)
        expected = {
            (kind, run, step)
            for run in point.columns
            for kind, first, every in (
                ("train_step", 1, 1), ("probe", 0, PROBES), ("checkpoint", SAVES, SAVES),
            )
            for step in range(first, STEPS + 1, every)
        }  # fmt: skip
        found = {key for key in counted if key[0] in ("train_step", "probe", "checkpoint")}
        assert found == expected, point.name
        assert {counted[key] for key in expected} == {1}, point.name
        assert all(counted["run_finished", run, STEPS] == 1 for run in point.columns)
        assert [event["t"] for event in log] == sorted(event["t"] for event in log)
        for event in log:
            if event["kind"] == "probe":
                assert (sweep.experiment(point.name).path / event["attention"]).is_file()


def finish(cluster: Cluster, sweep: Sweep, driver: subprocess.Popen[bytes]) -> None:
    assert driver.wait(timeout=300) == 0, cluster.logs()
    assert_complete(sweep)
    retold = Counter(e["attempt"] for p in sweep.points for e in events(sweep, p.name))
    say(f"done: lost {[each['point'] for each in lost(sweep)]}, events by attempt {dict(retold)}")


def test_a_cable_that_is_pulled_and_put_back(hosts: list[Host], sweep: Sweep) -> None:
    cluster = Cluster(hosts)
    cluster.start_all()
    driver = cluster.drive(sweep)
    wait_for(lambda: both_busy(sweep), "both hosts to train")
    say(f"cable of host3 pulled, at {progress(sweep)}")
    hosts[2].pull_cable()
    time.sleep(3)
    hosts[2].put_cable_back()
    say(f"put back after 3 s, at {progress(sweep)}")
    before = progress(sweep)
    wait_for(
        lambda: all(progress(sweep).get(name, STEPS) > step for name, step in before.items()),
        "both to train again",
    )
    assert not lost(sweep), "three seconds are no loss"
    hosts[2].pull_cable()
    say(f"pulled again, at {progress(sweep)}")
    wait_for(lambda: lost(sweep), "the point to be given up")
    say(f"given up: {lost(sweep)[0]['reason']}")
    hosts[2].put_cable_back()
    say("put back")
    finish(cluster, sweep, driver)


def test_a_host_that_is_lost_for_good(hosts: list[Host], sweep: Sweep) -> None:
    cluster = Cluster(hosts)
    cluster.start_all()
    driver = cluster.drive(sweep)
    wait_for(lambda: both_busy(sweep), "both hosts to train")
    say(f"host3 loses power, at {progress(sweep)}")
    hosts[2].die()
    wait_for(lambda: lost(sweep), "the point to be given up")
    say(f"given up: {lost(sweep)[0]['reason']}")
    finish(cluster, sweep, driver)
    resumed = [e for e in events(sweep, lost(sweep)[0]["point"]) if e["kind"] == "run_resumed"]
    assert resumed, "the point began again from its start"


def test_workers_without_a_shared_home(hosts: list[Host], sweep: Sweep) -> None:
    """The cluster's token is asked of every host, and so are the driver's versions."""
    cluster = Cluster(hosts, RAY_AUTH_MODE="token")
    token = "5" * 64
    _give_token(hosts[0], token)
    cluster.start(hosts[0])
    wait_for(lambda: "Ray runtime started" in text(hosts[0].folder), "Ray to start")
    assert cluster.start(hosts[1]).wait(timeout=60) != 0
    assert "no authentication token was found" in text(hosts[1].folder)
    (hosts[1].folder / "lose.toml").write_text(SCENARIO)
    arguments = ("-m", "synergy_tui", "sweep", "--no-ui", "--ray", cluster.address, "lose.toml")
    for content in ("", "0" * 64):
        if content:
            _give_token(hosts[1], content)
        log = hosts[1].folder / f"refused{len(content)}.log"
        refused = hosts[1].python(*arguments, log=log.name, **cluster.variables)
        assert refused.wait(timeout=90) == 2
        said = log.read_text()
        say(f"without the token: {said.splitlines()[-1]}")
        assert "~/.ray/auth_token" in said
        assert "Traceback" not in said
    # With the token, but another Synergy, host2 refuses the points; host3 runs them.
    older = hosts[1].folder / "older" / "synergy_heads-0.0.1.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: synergy-heads\nVersion: 0.0.1\n")
    _give_token(hosts[1], token)
    cluster.start(hosts[1], PYTHONPATH=f"{OWN}/older{os.pathsep}{PYTHONPATH}")
    wait_for(lambda: "Ray runtime started" in text(hosts[1].folder), "host2 to join")
    driver = cluster.drive(sweep)
    assert driver.wait(timeout=90) == 3
    ended = [e for e in EventReader(sweep.events_path).read_all() if e["kind"] == "point_ended"]
    say(f"another version: {ended[0]['reason']}")
    assert all("host host2 has synergy-heads 0.0.1 instead of" in e["reason"] for e in ended)
    hosts[1].die()
    _give_token(hosts[2], token)
    cluster.start(hosts[2])
    wait_for(lambda: "Ray runtime started" in text(hosts[2].folder), "host3 to join")
    finish(cluster, sweep, cluster.drive(sweep))


def _give_token(host: Host, content: str) -> None:
    folder = host.folder / "home/.ray"
    folder.mkdir(exist_ok=True)
    (folder / "auth_token").write_text(content)


def test_a_driver_that_is_killed_and_resumed(hosts: list[Host], sweep: Sweep) -> None:
    cluster = Cluster(hosts)
    cluster.start_all()
    driver = cluster.drive(sweep)
    wait_for(lambda: both_busy(sweep), "both hosts to train")
    say(f"driver killed, at {progress(sweep)}")
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    resumed = cluster.drive(sweep)
    finish(cluster, sweep, resumed)
    assert any(
        e["kind"] == "run_resumed" and e["checkpoint_step"] > 0
        for point in sweep.points
        for e in events(sweep, point.name)
    )
