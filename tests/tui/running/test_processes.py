"""Workers as processes: their session, who is taken for one, and which signals reach it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.worker import Worker
from synergy_tui.running.signals import Stopper, stop_on_signals
from synergy_tui.running.worker import start_detached, stop
from tests.recordings import copy_recording


def test_a_worker_leads_a_session_of_its_own(tmp_path: Path) -> None:
    """So neither a closed terminal nor its Ctrl-C reaches the worker."""
    log = tmp_path / "worker.log"
    code = "import os; print(os.getsid(0) == os.getpid() == os.getpgrp())"
    worker = start_detached("timeit", "--number=1", "--repeat=1", code, log=log)
    assert worker.wait(timeout=60) == 0
    assert "True" in log.read_text().splitlines()


def experiment_of(tmp_path: Path, worker: Worker, **changes: object) -> Experiment:
    """An experiment that has not ended, whose last worker is ``worker`` but for ``changes``."""
    experiment = Experiment(copy_recording("sort", tmp_path))
    lines = experiment.events_path.read_bytes().splitlines(keepends=True)
    experiment.events_path.write_bytes(b"".join(lines[:-1]))
    record = {"pid": worker.pid, "created": worker.created, "host": worker.host}
    (experiment.path / "worker.json").write_text(
        json.dumps({**record, "uptime": worker.uptime, **changes})
    )
    return experiment


@pytest.mark.parametrize("later", [0.0, 1.0, 3600.0])
def test_a_later_process_with_the_id_of_a_worker_is_another_one(
    later: float, tmp_path: Path
) -> None:
    """By the time since the machine started, where that is known: clocks are set, this is not."""
    me = Worker.this_process()
    if me.uptime is None:
        pytest.skip("processes are known by the time since the machine started on Linux only")
    worker = experiment_of(tmp_path, me, uptime=me.uptime - later).worker()
    assert worker is not None
    assert worker.alive == (later == 0.0)


def test_a_worker_of_another_machine_is_not_signalled(tmp_path: Path) -> None:
    """Its process id means some other process here, which lives on."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = Worker(child.pid, 0.0, "another-machine")
    with pytest.raises(UserError, match="runs on another-machine") as caught:
        stop(experiment_of(tmp_path, worker), wait=0.0)
    assert f"kill -TERM {child.pid}" in (caught.value.hint or "")
    child.communicate(b"\n", timeout=60)
    assert child.returncode == 0, "it was signalled"


def test_a_second_interrupt_ends_at_once_what_does_not_heed_the_first() -> None:
    stopper = Stopper()
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals(stopper, detached=False):
        signal.raise_signal(signal.SIGINT)
        assert stopper()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


TERMINATED_TWICE = """
import os, signal
from synergy_tui.running.signals import Stopper, stop_on_signals
stopper = Stopper()
with stop_on_signals(stopper, detached=True):
    os.kill(os.getpid(), signal.SIGTERM)
    print(stopper(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("lives on", flush=True)
"""


def test_a_second_sigterm_ends_at_once_what_does_not_heed_the_first() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED_TWICE], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n"), done.stderr
