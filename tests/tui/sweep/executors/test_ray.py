"""A sweep on a real cluster of several raylets, one of which is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synergy_tui.experiments.events import EventReader
from synergy_tui.scenario import load_scenario
from synergy_tui.sweep.directory import Sweep, create_sweep
from synergy_tui.sweep.plan import expand
from tests.tui.sweep.conftest import trained
from tests.waiting import wait_for

pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STEPS = 2000  # long enough that a node can be killed half way, however fast the processor
STORE = 80 * 2**20
SCENARIO = trained(STEPS, probe_every=50, checkpoint_every=25, sweep="seeds = 3\nattempts = 3")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": STORE,
            "include_dashboard": False,
        },
    )
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    file = tmp_path / "lose.toml"
    file.write_text(SCENARIO)
    scenario = load_scenario(file)
    return create_sweep(scenario, expand(scenario), tmp_path / "out")


def drive(sweep: Sweep, *how: str) -> subprocess.Popen[bytes]:
    """Run a sweep by what ``how`` names, up to two points as one ensemble."""
    with sweep.log_path.open("ab") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "synergy_tui.sweep.worker", str(sweep.path)),
                *("--device=cpu", "--together=2", *how),
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def on(cluster: Any) -> tuple[str, ...]:
    return "--executor=ray", "--workers=0", f"--ray={cluster.address}"


def events(sweep: Sweep, point: str) -> list[dict[str, Any]]:
    return list(EventReader(sweep.experiment(point).events_path).read_all())


def half_way(sweep: Sweep) -> list[str]:
    """Points that have a checkpoint and are far from the end."""
    found = []
    for point in sweep.points:
        log = events(sweep, point.name)
        steps = [event["step"] for event in log if event["kind"] == "train_step"]
        if any(event["kind"] == "checkpoint" for event in log) and max(steps) < STEPS // 2:
            found.append(point.name)
    return found


def assert_complete(sweep: Sweep) -> None:
    """Every event of every point is there, once."""
    for point in sweep.points:
        log = events(sweep, point.name)
        counted = Counter((event["kind"], event.get("run"), event.get("step")) for event in log)
        for run in point.columns:
            for step in range(1, STEPS + 1):
                assert counted["train_step", run, step] == 1, (point.name, run, step)
            for step in range(0, STEPS + 1, 50):
                assert counted["probe", run, step] == 1, (point.name, run, step)
            for step in range(25, STEPS + 1, 25):
                assert counted["checkpoint", run, step] == 1, (point.name, run, step)
            assert counted["run_finished", run, STEPS] == 1
        times = [event["t"] for event in log]
        assert times == sorted(times), point.name
        for event in log:
            if event["kind"] == "probe":
                assert (sweep.experiment(point.name).path / event["attention"]).is_file()


def test_a_killed_node_loses_no_event_and_doubles_none(cluster: Any, sweep: Sweep) -> None:
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    driver = drive(sweep, *on(cluster))
    try:
        # One node has an ensemble of two points, the other the third: whichever dies, one is lost.
        wait_for(lambda: len(half_way(sweep)) == 3, "all points half way")
        cluster.remove_node(nodes[1], allow_graceful=False)
        assert driver.wait(timeout=240) == 0, sweep.log_path.read_text()
    finally:
        driver.kill()
        driver.wait()
    log = list(EventReader(sweep.events_path).read_all())
    lost = [event for event in log if event["kind"] == "point_ended" and event["state"] == "lost"]
    assert lost, "no point was lost: the test did not test anything"
    assert all(event["again"] for event in lost)
    assert set(sweep.states().values()) == {"finished"}
    assert_complete(sweep)
    retold = {event["attempt"] for event in events(sweep, lost[0]["point"])}
    assert retold == {1, 2}
    resumed = [e for e in events(sweep, lost[0]["point"]) if e["kind"] == "run_resumed"]
    assert resumed, "the second attempt began again from the start"
    assert all(event["checkpoint_step"] >= 25 for event in resumed)


def test_a_stopped_sweep_continues_where_it_was(cluster: Any, sweep: Sweep) -> None:
    cluster.add_node(num_cpus=2, object_store_memory=STORE)
    driver = drive(sweep, *on(cluster))
    try:
        wait_for(lambda: half_way(sweep), "a point half way")
        driver.terminate()
        assert driver.wait(timeout=60) == 143, sweep.log_path.read_text()
    finally:
        driver.kill()
        driver.wait()
    before = {name: state for name, state in sweep.states().items() if state == "finished"}
    assert "stopped" in sweep.states().values()
    again = drive(sweep, *on(cluster))
    try:
        assert again.wait(timeout=240) == 0, sweep.log_path.read_text()
    finally:
        again.kill()
        again.wait()
    assert_complete(sweep)
    started = [
        event["point"]
        for event in EventReader(sweep.events_path).read_all()
        if event["kind"] == "point_started"
    ]
    assert all(started.count(name) == 1 for name in before)


def test_points_that_train_together_have_the_bits_of_a_pool(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=2, object_store_memory=STORE)
    text = SCENARIO.replace(f"steps = {STEPS}", "steps = 60").replace("seeds = 3", "seeds = 4")
    file = tmp_path / "same.toml"
    file.write_text(text)
    scenario = load_scenario(file)
    found = []
    for name, how in (("pool", ("--executor=ensemble", "--workers=2")), ("ray", on(cluster))):
        made = create_sweep(scenario, expand(scenario), tmp_path / name)
        driver = drive(made, *how)
        assert driver.wait(timeout=240) == 0, made.log_path.read_text()
        found.append(
            {
                path.relative_to(made.path): path.read_bytes()
                for path in made.path.glob("points/*/*/*.safetensors")
            }
        )
    pool, ray = found
    assert len(pool) == 4 * 2 * (3 + 2)  # points, runs, probes and checkpoints
    assert pool.keys() == ray.keys()
    assert [name for name in pool if pool[name] != ray[name]] == []
