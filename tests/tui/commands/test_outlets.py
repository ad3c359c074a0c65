"""Where results go beside files: trackers, the summary of a CI job, notebooks."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import synergy_tui
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment, find_experiment
from synergy_tui.export import notebook, track

DESIGNED = """
title = "A line | of <nodes>"
[[runs]]
name = "line"
graph = { topology = "line", nodes = 5 }
"""


@pytest.fixture
def designed(home: Path, tmp_path: Path) -> Path:
    file = tmp_path / "line.toml"
    file.write_text(DESIGNED)
    return file


def test_tensorboard_gets_live_what_the_log_holds(
    finished: Experiment, call: Callable[..., Result]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    count = track.follow(finished, track.TensorBoard(finished), poll=0)
    state, found = finished.fold(), 0
    for name, run in state.runs.items():
        read = EventAccumulator(str(finished.path / "exports" / "tensorboard" / name))
        read.Reload()
        tags = read.Tags()["scalars"]
        found += sum(len(read.Scalars(tag)) for tag in tags)
        loss = read.Scalars("train/loss")
        assert [each.step for each in loss] == run.steps.tolist()
        assert [each.value for each in loss] == pytest.approx(run.losses.tolist())
        assert loss[0].wall_time == pytest.approx(finished.started.timestamp(), abs=60)
        fidelity = read.Scalars("overall/fidelity")
        assert [each.step for each in fidelity] == [probe.step for probe in run.probes]
    assert found == count > 0


def _logged(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB after wandb's own seven bytes."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def wandb_losses(folder: Path) -> dict[str, list[float]]:
    """Run → its losses in the files that wandb keeps for later below a folder."""
    from wandb.proto import wandb_internal_pb2

    losses = {}
    for file in folder.rglob("*.wandb"):
        name, values = "", []
        for data in _logged(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            name = name or record.run.display_name
            for item in record.history.item:
                if "train/loss" in (item.key, *item.nested_key):
                    values.append(float(item.value_json))
        losses[name] = values
    return losses


def test_wandb_writes_offline(finished: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert track.follow(finished, track.WandB(finished), poll=0) > 0
    runs = finished.fold().runs
    assert wandb_losses(finished.path / "exports") == {
        name: pytest.approx(run.losses.tolist()) for name, run in runs.items()
    }


def test_a_tracker_that_fails_harms_nothing(
    designed: Path, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")

    def broken(experiment: Experiment, tracker: str) -> Any:
        (experiment.path / "exports").mkdir()
        (experiment.path / "exports" / "tensorboard").write_text("in the way of its folder")
        return start(experiment, tracker)

    start = track.start
    monkeypatch.setattr(track, "start", broken)
    run = call("run", "--no-ui", "--track", "tensorboard", designed)
    assert run.exit_code == 0
    assert "--track tensorboard failed" in run.stderr
    found = find_experiment("last")
    assert found.fold().status == "finished"
    assert "Traceback" in found.log_path.read_text()


def test_a_tracker_that_is_not_installed_is_refused_before_the_run(
    designed: Path, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    done = call("run", "--no-ui", "--track", "wandb", designed)
    assert done.exit_code == 2
    assert "synergy-heads[wandb]" in done.stderr
    assert not home.exists() or not list(home.iterdir())


def test_a_ci_job_gets_the_scoreboard(
    designed: Path, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert call("run", "--no-ui", designed).exit_code == 0
    lines = summary.read_text().splitlines()
    assert lines[:2] == ["before", r"### A line \| of &lt;nodes&gt;"]
    table = [
        line.strip("| ").split(" | ")
        for line in lines
        if line.startswith("| ") and "---" not in line
    ]
    assert table[0][:3] == ["run", "status", "heads"]
    assert table[1][:3] == ["line", "finished", "1"]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "absent" / "summary.md"))
    done = call("run", "--no-ui", designed)
    assert done.exit_code == 0
    assert "was not written" in done.stderr


@pytest.mark.parametrize("library", ["pandas", "polars", None])
def test_a_notebook_gets_tables(
    finished: Experiment, library: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library is not None:
        pytest.importorskip(library)
    for other in {"pandas", "polars"} - {library}:
        monkeypatch.setitem(__import__("sys").modules, other, None)
    loaded = synergy_tui.load("last")
    table = loaded.metrics
    if library == "pandas":
        records = table.to_dict("records")
    else:
        records = table if library is None else table.to_dicts()
    losses = {
        name: [
            row["loss"]
            for row in records
            if row["run"] == name and row["loss"] is not None and not math.isnan(row["loss"])
        ]
        for name in loaded.state.runs
    }
    assert losses == {name: run.losses.tolist() for name, run in loaded.state.runs.items()}
    assert len(loaded.runs) == 2


def test_a_notebook_shows_an_experiment_and_its_figures(finished: Experiment) -> None:
    loaded = notebook.load(finished.id)
    loaded.state.title = "<script>"
    assert "&lt;script&gt;" in loaded._repr_html_()
    assert loaded._repr_html_().count("<tr>") == 3
    pytest.importorskip("matplotlib")
    assert len(loaded.figure().axes) == 3
    with pytest.raises(UserError, match="did you mean 'heads'"):
        loaded.figure("head")
