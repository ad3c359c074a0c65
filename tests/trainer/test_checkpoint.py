"""Nothing is lost: kill -9 at any moment, resume, and end with the very same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from synergy_trainer import (
    Checkpoint,
    Probe,
    RunFailed,
    RunFinished,
    RunSettings,
    RunStarted,
    RunStopped,
    TrainerError,
    TrainStep,
    Warned,
    load_published,
    train,
)
from synergy_trainer.checkpoint import CheckpointFolder, DamagedCheckpoint, write_whole
from tests.places import ROOT
from tests.trainer.runs import PAIR, SMALL, of_kind, same, small, torch_threads, weights

# Trains in a process of its own, which kills itself at a chosen moment.
CHILD = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import synergy_trainer as trainer
from synergy_trainer import checkpoint
from tests.trainer.runs import PAIR, small

directory, moment, resume = sys.argv[1], sys.argv[2], sys.argv[3] == "resume"

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "half-written":
    written = checkpoint.write_whole
    def torn(target, content):
        if target.name == "single-00000020.safetensors":
            target.with_name(f".{target.stem}.partial").write_bytes(content[: len(content) // 2])
            die()
        written(target, content)
    checkpoint.write_whole = torn
if moment == "between":
    replace = checkpoint.Path.replace
    def between(self, target):
        if target.name == "multi-00000020.safetensors":
            die()
        return replace(self, target)
    checkpoint.Path.replace = between
events = trainer.train(
    small(dropout=0.1), PAIR, device="cpu", directory=directory, resume=resume
)
for event in events:
    if isinstance(event, trainer.TrainStep) and moment.isdigit() and event.step == int(moment):
        die()
"""


def child(directory: Path, moment: str, resume: str = "start") -> int:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(directory), moment, resume],
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("uninterrupted")
    with torch_threads(1):
        list(train(small(dropout=0.1), PAIR, device="cpu", directory=directory))
        yield directory


RARELY = [pytest.param(moment, marks=pytest.mark.slow) for moment in ("1", "10", "29")]


@pytest.mark.parametrize("moment", ["17", "half-written", "between", *RARELY])
def test_kill_and_resume_ends_with_the_same_bits(
    moment: str, uninterrupted: Path, tmp_path: Path
) -> None:
    assert child(tmp_path, moment) == -signal.SIGKILL
    events = list(train(small(dropout=0.1), PAIR, device="cpu", directory=tmp_path, resume=True))
    assert len(of_kind(events, RunFinished)) == 2
    for run in PAIR:
        assert same(weights(tmp_path, run.name, 30), weights(uninterrupted, run.name, 30))
    assert not list((tmp_path / "checkpoints").glob(".*"))


@pytest.mark.slow
def test_a_run_killed_again_and_again(uninterrupted: Path, tmp_path: Path) -> None:
    for moment, how in (("12", "start"), ("13", "resume"), ("25", "resume")):
        assert child(tmp_path, moment, how) == -signal.SIGKILL
    list(train(small(dropout=0.1), PAIR, device="cpu", directory=tmp_path, resume=True))
    assert same(weights(tmp_path, "multi", 30), weights(uninterrupted, "multi", 30))


@pytest.mark.parametrize("sequences", [0, 20])
def test_what_a_resume_reports(sequences: int, tmp_path: Path) -> None:
    settings = small(sequences=sequences)
    whole = list(train(settings, PAIR, device="cpu"))
    asked = iter(range(100))
    first = train(
        settings, PAIR, device="cpu", directory=tmp_path, should_stop=lambda: next(asked) == 15
    )
    assert [event.step for event in of_kind(first, RunStopped)] == [15, 15]
    second = list(train(settings, PAIR, device="cpu", directory=tmp_path, resume=True))
    assert [event.step for event in of_kind(second, RunStarted)] == [15, 15]
    assert [event.step for event in of_kind(second, Probe)] == [20, 20, 30, 30]
    later = [event for event in of_kind(whole, TrainStep) if event.step > 15]
    for one, other in zip(of_kind(second, TrainStep), later, strict=True):
        assert (one.run, one.step, one.loss) == (other.run, other.step, other.loss)


def test_a_finished_training_has_nothing_left_but_to_go_further(tmp_path: Path) -> None:
    list(train(SMALL, PAIR, device="cpu", directory=tmp_path))
    again = list(train(SMALL, PAIR, device="cpu", directory=tmp_path, resume=True))
    assert [type(event) for event in again] == [RunStarted] * 2 + [RunFinished] * 2
    further = list(train(small(steps=35), PAIR, device="cpu", directory=tmp_path, resume=True))
    assert [event.step for event in of_kind(further, TrainStep)][::2] == [31, 32, 33, 34, 35]


def test_a_damaged_checkpoint_gives_way_to_an_older_one(tmp_path: Path) -> None:
    events = list(train(SMALL, PAIR, device="cpu", directory=tmp_path))
    newest = of_kind(events, Checkpoint)[-1].path
    newest.write_bytes(newest.read_bytes()[:-100])
    again = list(train(SMALL, PAIR, device="cpu", directory=tmp_path, resume=True))
    (warned,) = of_kind(again, Warned)
    assert newest.name in warned.message
    assert warned.message.endswith("trying an older one")
    assert [event.step for event in of_kind(again, RunStarted)] == [20, 20]


def test_a_stack_whose_runs_all_failed_does_not_keep_others_from_resuming(tmp_path: Path) -> None:
    settings = small(steps=14, parameter_difference=None)
    runs = [RunSettings("whole", 8), RunSettings("failed", 1, embed=8)]
    asked = iter(range(100))
    first = train(
        settings, runs, device="cpu", directory=tmp_path, should_stop=lambda: next(asked) == 12
    )
    list(first)
    CheckpointFolder(tmp_path).write_failure("failed", 5, "diverged")
    events = list(train(settings, runs, device="cpu", directory=tmp_path, resume=True))
    assert [event.run for event in of_kind(events, RunFailed)] == ["failed"]
    assert [(event.run, event.step) for event in of_kind(events, RunFinished)] == [("whole", 14)]


def test_other_settings_cannot_resume(tmp_path: Path) -> None:
    list(train(SMALL, PAIR, device="cpu", directory=tmp_path))
    with pytest.raises(TrainerError) as caught:
        list(train(small(batch=8, mlp=24), PAIR, device="cpu", directory=tmp_path, resume=True))
    assert "single: batch is 8, in the checkpoint 4" in caught.value.problems
    assert "single: mlp is 24, in the checkpoint 16" in caught.value.problems
    with pytest.raises(TrainerError, match="already has checkpoints of multi, single"):
        train(SMALL, PAIR, device="cpu", directory=tmp_path)
    with pytest.raises(TrainerError, match="needs the directory"):
        train(SMALL, PAIR, device="cpu", resume=True)


def test_other_dropout_masks_are_warned_about(tmp_path: Path) -> None:
    """As drawn before masks were a function of places."""
    settings = small(dropout=0.1)
    list(train(settings, PAIR, device="cpu", directory=tmp_path))
    folder = CheckpointFolder(tmp_path)
    for run in PAIR:
        saved = folder.read(run.name, 30)
        about = {key: value for key, value in saved.about.items() if key != "masks"}
        folder.write(run.name, 30, replace(saved, about=about))
    further = replace(settings, steps=35)
    events = list(train(further, PAIR, device="cpu", directory=tmp_path, resume=True))
    warned = sorted(event.message for event in of_kind(events, Warned))
    assert [message.split(":")[0] for message in warned] == ["multi", "single"]
    assert "other dropout masks" in warned[0]
    assert len(of_kind(events, RunFinished)) == 2
    again = train(small(dropout=0.1, steps=40), PAIR, device="cpu", directory=tmp_path, resume=True)
    assert not of_kind(again, Warned)


def test_the_newest_two_are_kept_and_describe_themselves(tmp_path: Path) -> None:
    list(train(SMALL, PAIR, device="cpu", directory=tmp_path))
    folder = CheckpointFolder(tmp_path)
    assert folder.steps("multi") == [20, 30]
    about = folder.read("multi", 30).about
    assert (about["run"], about["step"], about["heads"], about["task"]) == ("multi", 30, 8, "sort")
    json.dumps(about)
    assert load_published(folder.file("multi", 30), heads=8).attention([[1, 2, 3]]).shape[2] == 8


def test_names_that_look_like_steps(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in ("a-00000001-00000002", "a-00000003", "a"):
        (tmp_path / "checkpoints" / f"{name}.safetensors").touch()
    assert folder.steps("a-00000001") == [2]
    assert folder.steps("a") == [3]
    with pytest.raises(DamagedCheckpoint):
        folder.read("a", 3)


def test_a_write_that_fails_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
