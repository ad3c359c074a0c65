"""A pool of workers, one of which dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from synergy_tui.errors import ExitCode
from synergy_tui.sweep.driver import run_sweep
from synergy_tui.sweep.executors.executor import Backend
from synergy_tui.sweep.executors.pool import PoolExecutor
from tests.tui.conftest import make, run_here
from tests.tui.sweep.conftest import log_of, trained


@pytest.mark.slow
def test_a_pool_survives_the_death_of_a_worker_and_finishes_from_checkpoints(
    tmp_path: Path,
) -> None:
    sweep = make(trained(400), tmp_path)
    pool = PoolExecutor(Backend("pool", 1, device="cpu"), sweep.log_path)
    first = sweep.points[0].name

    def kill_once() -> None:
        experiment = sweep.experiment(first)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if len(list(experiment.checkpoints.glob("*.safetensors"))) >= 2:
                os.kill(pool._workers[0].process.pid, signal.SIGKILL)
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill_once)
    killer.start()
    with sweep.lock():
        code = run_sweep(sweep, pool)
    killer.join()
    assert code is ExitCode.OK, sweep.log_path.read_text()
    ended = [event for event in log_of(sweep) if event["kind"] == "point_ended"]
    assert any(event["state"] == "lost" for event in ended)
    assert set(sweep.states().values()) == {"finished"}
    for point in sweep.points:
        for run in sweep.experiment(point.name).fold().runs.values():
            assert run.steps.tolist() == list(range(1, 401))
    assert run_here(sweep) is ExitCode.OK
    assert [e["kind"] for e in log_of(sweep)[-2:]] == ["sweep_started", "sweep_finished"]
