"""What earlier versions wrote still opens, replays and resumes.

``tests/data/recordings`` and ``tests/data/interrupted`` were written at commit 929a29b, before the
packages were renamed; many other tests replay the former.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.running.runner import run_experiment
from tests.places import DATA


def losses(experiment: Experiment) -> dict[tuple[str, int], float]:
    """The loss of every step in the log, which has each step once."""
    lines = experiment.events_path.read_bytes().splitlines()
    steps = [event for event in map(orjson.loads, lines) if event["kind"] == "train_step"]
    found = {(event["run"], event["step"]): event["loss"] for event in steps}
    assert len(found) == len(steps)
    return found


def test_a_training_interrupted_before_the_move_resumes(tmp_path: Path) -> None:
    """It continues, and says that its dropout masks are no longer those of the version before.

    Without dropout, a resume ends with the same bits (tests/trainer/test_checkpoint.py).
    """
    folder = shutil.copytree(DATA / "interrupted", tmp_path / "2026-11-27-221619-interrupted")
    interrupted = Experiment(Path(folder))
    assert interrupted.state() == "stopped"
    assert run_experiment(interrupted, device="cpu", threads=1) == 0
    log = [orjson.loads(line) for line in interrupted.events_path.read_bytes().splitlines()]
    warned = [event["message"] for event in log if event["kind"] == "warning"]
    assert len(warned) == 2
    assert all("other dropout masks" in message for message in warned)

    undisturbed = create_experiment(interrupted.scenario(), tmp_path / "again")
    assert run_experiment(undisturbed, device="cpu", threads=1) == 0
    assert losses(interrupted) == pytest.approx(losses(undisturbed), rel=0.1)
