"""One point trained by two processes is the point trained by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.events import EventReader
from synergy_tui.running.signals import Stopper
from synergy_tui.sweep.driver import run_sweep
from synergy_tui.sweep.executors.data_parallel import run_parallel
from synergy_tui.sweep.executors.executor import Backend, choose
from synergy_tui.sweep.executors.pool import PoolExecutor
from tests.tui.conftest import make, run_here
from tests.tui.sweep.conftest import trained


def scenario(steps: int) -> str:
    return trained(steps, checkpoint_every=20, sweep="data_parallel = 2")


@pytest.mark.slow
def test_two_processes_follow_the_loss_of_one_with_the_joint_batch(tmp_path: Path) -> None:
    one = make(scenario(60), tmp_path / "one")
    two = make(scenario(60), tmp_path / "two")
    assert run_here(one) is ExitCode.OK
    pool = PoolExecutor(Backend("pool", 1, device="cpu", processes=2), two.log_path)
    with two.lock():
        assert run_sweep(two, pool) is ExitCode.OK, two.log_path.read_text()
    alone, shared = (sweep.experiment("s0").fold() for sweep in (one, two))
    for run in ("heads-1", "heads-2"):
        assert shared.runs[run].steps.tolist() == list(range(1, 61))
        np.testing.assert_allclose(shared.runs[run].losses, alone.runs[run].losses, rtol=1e-4)
        first, last = shared.runs[run].losses[[0, -1]]
        assert last < 0.9 * first
        probes = [alone.runs[run].probe, shared.runs[run].probe]
        fidelities = [probe.overall["fidelity"]["minimax"] for probe in probes if probe]
        assert fidelities[0] == pytest.approx(fidelities[1], rel=1e-3)


@pytest.mark.slow
def test_processes_that_share_a_point_stop_with_a_checkpoint_and_go_on(tmp_path: Path) -> None:
    sweep = make(scenario(2000), tmp_path)
    experiment = sweep.experiment("s0")

    class Seen(Stopper):
        def __call__(self) -> bool:
            events = EventReader(experiment.events_path).read_all()
            if any(event["kind"] == "checkpoint" for event in events):
                self.request("seen enough", int(ExitCode.TERMINATED))
            return super().__call__()

    assert run_parallel(experiment, 2, device="cpu", threads=1, stopper=Seen()) == 143
    assert experiment.state() == "stopped"
    stopped_at = experiment.fold().runs["heads-1"].step
    assert 20 <= stopped_at < 2000


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    sweep = make(scenario(10).replace("batch = 8", "batch = 9"), tmp_path)
    with pytest.raises(UserError, match="a batch of 9 cannot be shared by 2 processes"):
        run_parallel(sweep.experiment("s0"), 2, device="cpu", threads=1, stopper=Stopper())


def test_sharing_a_point_needs_the_pool(tmp_path: Path) -> None:
    sweep = make(scenario(10), tmp_path)
    assert choose(sweep.scenario(), [], device="cpu", workers=1).processes == 2
    with pytest.raises(UserError, match="data_parallel = 2 needs the executor pool"):
        choose(sweep.scenario(), [], device="cpu", executor="ensemble")
