"""Experiment directories: made, found, locked, alive or dead."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from synergy_tui import files as paths
from synergy_tui.errors import UserError
from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import (
    Experiment,
    Worker,
    create_experiment,
    find_experiment,
    list_experiments,
)
from synergy_tui.experiments.summary import summary
from synergy_tui.scenario import parse_scenario
from synergy_tui.sweep.entries import find_entry
from tests.recordings import SCENARIOS, copy_recording, recording

SCENARIO = parse_scenario(SCENARIOS["example2"], name="example2", origin="test")


def test_it_is_private_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNERGY_HOME", str(tmp_path / "new" / "home"))  # made with its parents
    before = os.umask(0)
    try:
        experiment = create_experiment(SCENARIO)
    finally:
        os.umask(before)
    assert stat.S_IMODE(experiment.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE(experiment.scenario_path.stat().st_mode) == 0o600
    assert experiment.scenario() == SCENARIO
    assert experiment.state() == "new"
    assert experiment.id.endswith("-example2")


def test_two_in_one_second_have_different_names(tmp_path: Path) -> None:
    names = {create_experiment(SCENARIO, tmp_path).id for _ in range(3)}
    assert len(names) == 3


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    create_experiment(SCENARIO, tmp_path, identity="mine")
    with pytest.raises(UserError, match="exists already"):
        create_experiment(SCENARIO, tmp_path, identity="mine")


def test_home_is_chosen_by_option_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNERGY_HOME", "/somewhere")
    assert paths.home() == Path("/somewhere")
    assert paths.home("/else") == Path("/else")
    monkeypatch.delenv("SYNERGY_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert paths.home().name == "synergy"


def test_no_home_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNERGY_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: Path("~/.local/share/x"))
    with pytest.raises(UserError) as caught:
        paths.home()
    assert "SYNERGY_HOME" in (caught.value.hint or "")


@pytest.mark.parametrize("place", ["file", "below a file", "read-only"])
def test_a_home_that_cannot_be_written(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    folder = {"file": file, "below a file": file / "x", "read-only": tmp_path}[place]
    if place == "read-only":  # the superuser may write everywhere, so the answer is made up
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be kept") as caught:
        create_experiment(SCENARIO, folder)
    assert "--out" in (caught.value.hint or "")


def test_names_are_found_by_what_is_unique(tmp_path: Path) -> None:
    for name in ("2026-01-01-a", "2026-01-02-a", "2026-01-02-b"):
        create_experiment(SCENARIO, tmp_path, identity=name)
    assert find_experiment("2026-01-01", tmp_path).id == "2026-01-01-a"
    assert find_experiment("-b", tmp_path).id == "2026-01-02-b"
    assert find_experiment("2026-01-02-a", tmp_path).id == "2026-01-02-a"
    assert find_experiment(str(tmp_path / "2026-01-01-a")).id == "2026-01-01-a"
    with pytest.raises(UserError, match="could mean 2026-01-02-a, 2026-01-02-b"):
        find_experiment("2026-01-02", tmp_path)
    with pytest.raises(UserError) as caught:
        find_experiment("2026-01-01-x", tmp_path)
    assert "Did you mean" in (caught.value.hint or "")
    with pytest.raises(UserError, match="not an experiment"):
        find_experiment(str(tmp_path))


def test_last_is_the_newest(tmp_path: Path) -> None:
    for name, started in (("a", "2026-01-02T00:00:00+00:00"), ("b", "2026-01-01T00:00:00+00:00")):
        experiment = create_experiment(SCENARIO, tmp_path, identity=name)
        with EventWriter(experiment.events_path) as writer:
            writer.write("experiment_started", id=name, scenario="s", runs=[], started=started)
    assert find_experiment("last", tmp_path).id == "a"


def test_of_those_made_within_a_second_last_is_the_one_made_last(tmp_path: Path) -> None:
    for name in ("a", "c", "b"):
        experiment = create_experiment(SCENARIO, tmp_path, identity=name)
        with EventWriter(experiment.events_path) as writer:
            writer.write("experiment_started", id=name, scenario="s", runs=[],
                         started="2026-01-02T00:00:00+00:00")  # fmt: skip
    assert find_experiment("last", tmp_path).id == "b"
    assert find_entry("last", tmp_path).id == "b"


def test_other_folders_are_not_listed(tmp_path: Path) -> None:
    assert list_experiments(tmp_path / "none") == []
    (tmp_path / "notes").mkdir()
    create_experiment(SCENARIO, tmp_path, identity="one")
    assert [each.id for each in list_experiments(tmp_path)] == ["one"]


@pytest.mark.parametrize(
    ("name", "state"), [("sort", "finished"), ("four", "finished"), ("failed", "failed")]
)
def test_the_log_tells_how_it_ended(name: str, state: str) -> None:
    experiment = Experiment(recording(name))
    assert experiment.state() == state
    found = summary(experiment)
    assert (found["id"], found["scenario"], found["state"]) == (name, name, state)
    assert found["verdict"]


def test_without_a_closing_word_and_without_a_worker_it_is_dead(tmp_path: Path) -> None:
    experiment = Experiment(copy_recording("sort", tmp_path))
    lines = experiment.events_path.read_bytes().splitlines(keepends=True)
    experiment.events_path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    assert experiment.state() == "dead"


def test_a_resumed_experiment_has_not_ended(tmp_path: Path) -> None:
    experiment = Experiment(copy_recording("sort", tmp_path))
    with EventWriter(experiment.events_path) as writer:
        writer.write("run_resumed", run="single-head", step=40)
    assert experiment.state() == "dead"


def record_worker(experiment: Experiment, **fields: object) -> None:
    me = Worker.this_process()
    record = {"pid": me.pid, "created": me.created, "host": me.host, **fields}
    (experiment.path / "worker.json").write_text(json.dumps(record))


def test_a_living_worker_means_running(tmp_path: Path) -> None:
    experiment = create_experiment(SCENARIO, tmp_path)
    with experiment.lock():
        assert experiment.state() == "running"
    record_worker(experiment)
    assert experiment.state() == "dead", "it lives, but does not have the lock"


def test_another_process_with_the_same_id_is_not_the_worker(tmp_path: Path) -> None:
    experiment = create_experiment(SCENARIO, tmp_path)
    record_worker(experiment, created=Worker.this_process().created - 3600)
    assert experiment.state() == "dead"


def test_a_process_that_is_gone_or_a_zombie_is_not_alive(tmp_path: Path) -> None:
    import psutil

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = Worker(child.pid, psutil.Process(child.pid).create_time(), Worker.this_process().host)
    assert worker.alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but not yet waited for
    assert not worker.alive
    child.communicate()
    assert not worker.alive


def test_a_worker_elsewhere_is_believed_while_it_writes(tmp_path: Path) -> None:
    experiment = Experiment(copy_recording("sort", tmp_path))
    lines = experiment.events_path.read_bytes().splitlines(keepends=True)
    experiment.events_path.write_bytes(b"".join(lines[:-1]))
    record_worker(experiment, host="another-machine", pid=1)
    assert experiment.state() == "running"
    os.utime(experiment.events_path, (1, 1))
    assert experiment.state() == "dead"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
def test_a_damaged_worker_file_is_no_worker(tmp_path: Path, content: bytes) -> None:
    experiment = create_experiment(SCENARIO, tmp_path)
    (experiment.path / "worker.json").write_bytes(content)
    assert experiment.worker() is None


def hold(path: str, held: object, release: object) -> None:
    with Experiment(path).lock():
        held.set()  # type: ignore[attr-defined]
        release.wait(30)  # type: ignore[attr-defined]


def test_the_second_writer_is_told(tmp_path: Path) -> None:
    experiment = create_experiment(SCENARIO, tmp_path)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(experiment.path), held, release))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(UserError, match=f"written by process {other.pid}"), experiment.lock():
            pass
    finally:
        release.set()
        other.join()
    with experiment.lock():
        assert experiment.state() == "running"


def test_an_attention_file_outside_is_refused(tmp_path: Path) -> None:
    experiment = create_experiment(SCENARIO, tmp_path)
    with pytest.raises(UserError, match="outside"):
        experiment.attention("../../etc/passwd")
    with pytest.raises(UserError, match="was not kept"):
        experiment.attention("attention/none.safetensors")
    (experiment.path / "attention").mkdir()
    (experiment.path / "attention" / "torn.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be read"):
        experiment.attention("attention/torn.safetensors")


def test_a_first_event_of_another_kind_says_nothing_of_scenario_and_runs(tmp_path: Path) -> None:
    experiment = create_experiment(SCENARIO, tmp_path)
    line = b'{"v": 1, "t": 0, "kind": "of_later", "scenario": "other", "runs": 7}\n'
    experiment.events_path.write_bytes(line)
    assert summary(experiment)["scenario"] == experiment.scenario_name == "example2"
    assert not experiment.watched


def test_attention_is_read_back() -> None:
    experiment = Experiment(recording("sort"))
    probe = experiment.fold().runs["multi-head"].probe
    assert probe is not None
    assert probe.attention is not None
    tensors = experiment.attention(probe.attention)
    assert tensors["attention"].shape == (1, 1, 4, 13, 13)
    assert tensors["head_weights"].shape == (1, 4)


def test_a_file_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    paths.write_whole(target, "old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="space"):
        paths.write_whole(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
