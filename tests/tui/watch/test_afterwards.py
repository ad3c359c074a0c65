"""What becomes of a watched training: trackers, reports, exports, several processes, a kill."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synergy_tui.app.status import status_of
from synergy_tui.app.timeline import Timeline
from synergy_tui.experiments.experiment import Experiment, find_experiment, list_experiments
from synergy_tui.export import track
from synergy_tui.watch import watch
from tests.places import ROOT
from tests.tui.app.dashboard.test_panels import panel, plot
from tests.tui.commands.conftest import invoke
from tests.tui.commands.test_outlets import wandb_losses
from tests.tui.watch.test_watch import Tiny, losses, tokens


def tensorboard_losses(folder: Path) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for each in (folder / "tensorboard").iterdir():
        read = EventAccumulator(str(each))
        read.Reload()
        found[each.name] = [scalar.value for scalar in read.Scalars("train/loss")]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "read"), [("tensorboard", tensorboard_losses), ("wandb", wandb_losses)]
)
def test_a_tracker_gets_what_the_log_holds(
    tracker: str, read: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    plain = losses(True, track=tracker)
    experiment = find_experiment("last")
    assert read(experiment.path / "exports") == {"model": pytest.approx([plain[2], *plain[5:]])}
    assert not caplog.records


def test_a_tracker_that_fails_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboard")

    def broken(experiment: Experiment, tracker: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(9)"])

    monkeypatch.setattr(track, "start", broken)
    assert losses(True, track="tensorboard") == losses(False)
    assert [record.getMessage() for record in caplog.records] == [
        f"--track tensorboard failed; see {find_experiment('last').log_path}"
    ]
    caplog.clear()

    def absent(experiment: Experiment, tracker: str) -> subprocess.Popen[bytes]:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(track, "start", absent)
    assert losses(True, track="tensorboard") == losses(False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert find_experiment("last").fold().status == "finished"


def test_trackers_that_there_are_not_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="one of tensorboard, wandb, not 'mlflow'"):
        watch(Tiny(), tokens(), track="mlflow")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"synergy-heads\[wandb\]"):
        watch(Tiny(), tokens(), track="wandb")


def test_report_and_export_read_a_watched_training(tmp_path: Path) -> None:
    plain = losses(True, expect=["model.loss < 100"])
    experiment = find_experiment("last")
    state = experiment.fold()
    # A single training has no counterpart, so that there is nothing to decide.
    done = invoke("report", experiment.id, "--json")
    assert done.exit_code == 0, done.stderr
    done = invoke("report", experiment.id, "--output", str(tmp_path / "report.html"))
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "report.md").read_text()
    assert "somebody's own training, watched" in text
    assert experiment.id in text

    files = {name: tmp_path / name for name in ("m.csv", "a.npy", "g.json", "figures", "logs")}
    done = invoke(
        *("export", experiment.id, "--metrics", str(files["m.csv"])),
        *("--attention", str(files["a.npy"]), "--graph", str(files["g.json"])),
        *("--figures", str(files["figures"]), "--tensorboard", str(files["logs"])),
    )
    assert done.exit_code == 0, done.stderr
    with files["m.csv"].open() as file:
        written = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert written[:1] == [plain[2]]
    probe = state.runs["model"].probes[-1]
    assert probe.attention is not None
    kept = experiment.attention(probe.attention)
    exported = np.load(files["a.npy"])
    assert exported.shape[-1] == state.runs["model"].nodes
    assert json.loads(files["g.json"].read_text())["nodes"]
    assert kept
    assert list(files["figures"].iterdir())
    assert list(files["logs"].rglob("events.out.tfevents.*"))


def test_panels_follow_a_watched_training_step_by_step() -> None:
    losses(True)
    state = find_experiment("last").fold()
    for question in (1, 2):  # how clearly, has it learned
        drawn = plot(panel(question, state, "model"))
        assert max(len(curve.x) for curve in drawn.curves) >= 3
        assert not drawn.empty.startswith("nothing is trained")


def test_what_is_said_of_a_training_that_is_silent_or_failed() -> None:
    with suppress(ZeroDivisionError), watch(Tiny(), tokens()) as w:
        w.step(1, loss=1.0)
        w._measuring.drain()
        state = find_experiment("last").fold()
        silent = status_of(state, "running", Timeline(), silent_for=100.0)
        assert silent.advice == "The training lives but has written nothing for 100 s"
        raise ZeroDivisionError("its own")
    failed = status_of(find_experiment("last").fold(), "failed", Timeline())
    assert (failed.word, failed.advice) == ("FAILED", "model: ZeroDivisionError: its own")


def test_what_is_said_of_a_training_that_was_killed(home: Path) -> None:
    """A copy of a log that is being written is one whose process has gone: nobody has its lock."""
    with watch(Tiny(), tokens(), log_every=1) as w:
        w.step(1, loss=2.0)
        w._recording.drain()
        w._measuring.drain()
        assert w.experiment is not None
        killed = home / "2026-01-01-000000-killed"
        shutil.copytree(w.experiment.path, killed)
    experiment = Experiment(killed)
    assert experiment.state() == "dead"
    shown = invoke("show", "killed")
    assert "dead: its process ended without closing the log" in shown.stdout
    assert "stopped" in shown.stdout
    assert "running" not in shown.stdout
    listed = {
        each["id"]: each for each in map(json.loads, invoke("ls", "--json").stdout.splitlines())
    }
    assert listed[killed.name]["state"] == "dead"
    nothing = invoke("report", "killed", "--json")
    assert nothing.exit_code == 2
    assert f"into='{killed.name}'" in nothing.stderr
    assert "resume" not in nothing.stderr
    for command in (["resume", "--no-ui"], ["stop"]):
        refused = invoke(*command, "killed")
        assert refused.exit_code == 2
        assert "your own training" in refused.stderr
    log = experiment.fold()
    log.status = "running"  # what the app reads of the log by itself
    live = status_of(log, experiment.state(), Timeline())
    assert live.word == "STALE"
    assert "resume" not in live.advice
    with watch(Tiny(), tokens(), into=killed.name, start=1, log_every=1) as w:
        w.step(2, loss=1.0)
    assert experiment.state() == "finished"
    assert experiment.fold().runs["model"].losses.tolist() == [2.0, 1.0]
    assert invoke("rm", "--yes", "killed").exit_code == 0
    assert not killed.exists()


SHARED = """
import sys, torch
from torch import distributed, nn
from torch.nn import functional
from synergy_tui.watch import session, watch
from tests.tui.watch.test_watch import LENGTH, Tiny, tokens

session.PROBES_AHEAD = 1000  # none is left out
distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(Tiny())
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(rank)

def update():
    inputs = torch.randint(5, (4, LENGTH))
    loss = functional.cross_entropy(model(inputs).flatten(0, 1), inputs.flatten())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss

if sys.argv[1] == "watched":
    with watch(model, tokens(), every=2, log_every=1, steps=5) as w:
        assert w.active == (rank == 0)
        assert (w.experiment is None) == (rank > 0)
        for step in range(1, 6):
            w.step(step, loss=update())
else:
    for _ in range(5):
        update()
torch.save(model.module.state_dict(), f"{sys.argv[2]}/{sys.argv[1]}-{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_rank_0_of_a_distributed_training_writes_and_the_others_are_silent(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    for how in ("alone", "watched"):
        subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--nproc-per-node=2", str(tmp_path / "shared.py"), how, str(tmp_path)),
            ],
            cwd=ROOT, check=True, timeout=150,
        )  # fmt: skip
    (experiment,) = list_experiments()
    run = experiment.fold().runs["model"]
    assert experiment.state() == "finished"
    assert run.steps.tolist() == [1, 2, 3, 4, 5]
    assert [probe.step for probe in run.probes] == [0, 2, 4, 5]
    read = {path.stem: torch.load(path) for path in tmp_path.glob("*.pt")}
    assert len(read) == 4
    for state in read.values():
        for name, value in read["alone-0"].items():
            assert torch.equal(value, state[name]), name
