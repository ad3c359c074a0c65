"""Entries of a home that lie: links that lead away, pipes, devices, forged workers, later versions.

Each is listed as damaged and can be removed; it stops nothing else, hangs nothing, and nothing is
written, deleted or read through it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import psutil
import pytest
from click.testing import Result

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.worker import Worker
from tests.end_to_end.conftest import Shell
from tests.tui.commands.conftest import SCENARIO

Call = Callable[..., Result]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes, devices and links")


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, _: Path) -> None:
    path.mkdir()


def device(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_file(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "precious.txt")


def link_to_folder(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def dangling(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "not-there")


def link_to_itself(path: Path, _: Path) -> None:
    path.symlink_to(path.name)


def text(content: str) -> Callable[[Path, Path], None]:
    return lambda path, _: Path.write_text(path, content) and None


FILES = ("events.jsonl", "scenario.toml", "worker.json", ".lock", "worker.log", ".reserve")
NOT_FILES = (pipe, directory, device, link_to_file, dangling, link_to_itself)
FOLDERS = ("attention", "checkpoints", "exports")
NOT_FOLDERS = (pipe, link_to_folder, link_to_file, text("a file"))
PROCESSES = [
    json.dumps({"pid": pid, "created": 1.0, "host": "x"})
    for pid in (-1, 0, 2**31, 2**70, 1.5, True, "1", None)
] + ["", "[]", "{", '{"pid": 1}', "null"]
LIES: list[tuple[str, Callable[[Path, Path], None]]] = [
    *((name, lie) for name in FILES for lie in NOT_FILES),
    *((name, lie) for name in FOLDERS for lie in NOT_FOLDERS),
    *(("worker.json", text(record)) for record in PROCESSES),
]
LATER = '{"v":7,"t":0.0,"kind":"experiment_started","id":"x","scenario":"x","runs":[]}\n'


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is not ours, with a file worth keeping."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    (folder / "one-00000010.safetensors").write_text("precious")
    return folder


def contents(folder: Path) -> dict[str, tuple[str, float]]:
    return {each.name: (each.read_text(), each.stat().st_mtime) for each in folder.iterdir()}


def plant(
    home: Path, lies: list[tuple[str, Callable[[Path, Path], None]]], outside: Path
) -> list[str]:
    """Make an experiment for every lie; return their names."""
    names = []
    for number, (name, lie) in enumerate(lies):
        path = home / f"lie-{number:03d}"
        path.mkdir(parents=True)
        (path / "scenario.toml").write_text(SCENARIO)
        started = {"v": 1, "t": 0.0, "kind": "experiment_started", "id": path.name}
        log = orjson.dumps({**started, "scenario": "gate", "runs": ["one"]}) + b"\n"
        (path / "events.jsonl").write_bytes(log)
        (path / name).unlink(missing_ok=True)
        lie(path / name, outside)
        names.append(path.name)
    return names


COMMANDS = (
    ["show"],
    ["show", "--json"],
    ["compare"],
    ["attach"],
    ["replay"],
    ["stop", "--wait", "0"],
    ["resume", "--no-ui"],
    ["export", "--metrics", "-"],
    ["export", "--attention", "-.npy"],
    ["report"],
)


def test_no_entry_that_lies_stops_anything_else(
    call: Call, finished: Experiment, home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(outside.parent)
    before = contents(outside)
    names = plant(home, LIES, outside)
    listed = {
        each["id"]: each for each in map(json.loads, call("ls", "--json").stdout.splitlines())
    }
    assert listed[finished.id]["state"] == "finished"
    for name, (file, _) in zip(names, LIES, strict=True):
        assert (listed[name]["state"], listed[name]["problem"][: len(file)]) == ("damaged", file)
    assert call("ls").exit_code == 0
    assert call("show", "last").exit_code == 0, "the last that is sound"
    for name in names:
        for command, *options in COMMANDS:
            result = call(command, name, *options)
            assert result.exit_code == 2, (name, command, result.stderr)
            assert "is damaged: " in result.stderr, (name, command, result.stderr)
            assert f"synergy rm {name}" in result.stderr
    assert call("rm", "--yes", *names).exit_code == 0
    assert [path.name for path in home.iterdir()] == [finished.id]
    assert contents(outside) == before


def test_the_picker_shows_entries_that_lie(
    home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the picker reads, without a terminal: everything that may hang or raise is in here."""
    from synergy_tui.app.screens import picker as screens
    from synergy_tui.app.screens.picker import PickerScreen

    monkeypatch.setattr(screens, "get_current_worker", lambda: SimpleNamespace(is_cancelled=False))

    names = plant(home, LIES, outside)
    shown: list[Any] = []

    class App:
        def call_from_thread(self, show: Any, *found: Any) -> None:
            shown[:] = found  # of several batches, the last has all

    picker = PickerScreen(home)
    type(picker).app = property(lambda self: App())  # type: ignore[assignment,method-assign]
    try:
        picker._look()
    finally:
        del type(picker).app
    _, found, problem = shown
    assert problem == ""
    assert sorted(each["id"] for each in found) == names
    assert {each["state"] for each in found} == {"damaged"}


def test_a_worker_started_on_an_entry_that_lies_writes_nothing(
    home: Path, outside: Path, shell: Shell
) -> None:
    before = contents(outside)
    lies = [lie for lie in LIES if lie[1] in (link_to_file, link_to_folder, pipe)]
    for name in plant(home, lies, outside):
        from synergy_tui.running.runner import run_experiment
        from synergy_tui.running.worker import launch

        for begin in (run_experiment, launch):
            with pytest.raises(UserError, match="is damaged"):
                begin(Experiment(home / name))
    assert contents(outside) == before


def test_checkpoints_are_neither_read_nor_written_through_links(
    tmp_path: Path, outside: Path
) -> None:
    from synergy_trainer.checkpoint import CheckpointFolder, Saved

    folder = CheckpointFolder(tmp_path)
    folder.path.mkdir()
    os.mkfifo(folder.file("one", 20))
    folder.file("one", 30).symlink_to(outside / "precious.txt")
    (folder.path / ".one-00000040.partial").symlink_to(outside / "precious.txt")
    os.mkfifo(folder.path / "one.failed.json")
    before = contents(outside)
    assert folder.steps("one") == []
    assert folder.failure("one") is None
    folder.write("one", 40, Saved({}, {}, {}))
    folder.prune("one")
    assert folder.steps("one") == [40]
    assert contents(outside) == before


def test_attention_that_is_a_pipe_or_leads_away_is_refused(
    finished: Experiment, outside: Path
) -> None:
    for number, lie in enumerate((pipe, link_to_file, device, directory, dangling)):
        name = f"attention/lie{number}.safetensors"
        lie(finished.path / name, outside)
        with pytest.raises(UserError):
            finished.attention(name)
    for name in ("attention/\0", "attention/" + "x" * 5000, "attention/one\ud800"):
        with pytest.raises(UserError):
            finished.attention(name)


@pytest.fixture
def decoy() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user's that has nothing to do with us."""
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def forge(folder: Path, pid: int) -> None:
    """Name a process as the worker in every detail that can be looked up."""
    process = psutil.Process(pid)
    me = Worker.this_process()
    record = {"pid": pid, "created": process.create_time(), "host": me.host}
    if me.uptime is not None:
        record["uptime"] = process.create_time() - psutil.boot_time()
    (folder / "worker.json").write_text(json.dumps(record))


def test_a_process_that_only_a_file_calls_the_worker_is_never_signalled(
    call: Call, finished: Experiment, home: Path, decoy: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    worker = Worker(decoy.pid, psutil.Process(decoy.pid).create_time(), Worker.this_process().host)
    assert worker.alive
    forge(finished.path, decoy.pid)
    assert finished.state() == "finished"
    assert call("stop", "last").exit_code == 2
    assert not worker.stop(finished.path)
    sweep = home / "sweep"
    shutil.copytree(finished.path, sweep)
    (sweep / "events.jsonl").unlink()
    (sweep / "scenario.toml").rename(sweep / "sweep.toml")
    (sweep / "plan.json").write_text('{"points": []}')
    refused = call("sweep", "--stop", sweep)
    assert (refused.exit_code, "not being run" in refused.stderr) == (2, True)
    assert call("rm", "--yes", finished.id).exit_code == 0, "the lie does not protect it"
    with pytest.raises(subprocess.TimeoutExpired):
        decoy.wait(0.2)


def test_another_experiments_worker_is_not_signalled(
    call: Call, finished: Experiment, make: Callable[..., Experiment]
) -> None:
    other = make("2026-11-24-000000-other")
    with other.lock():
        assert other.state() == "running"
        forge(finished.path, os.getpid())
        assert finished.state() == "finished"
        assert call("stop", finished.id).exit_code == 2


def test_a_log_of_a_later_version_is_refused_in_words(
    call: Call, finished: Experiment, make: Callable[..., Experiment]
) -> None:
    later = make("2026-11-25-000000-later")
    with later.events_path.open("a") as log:
        log.write(LATER)
    [_, record] = map(json.loads, call("ls", "--json").stdout.splitlines())
    assert (record["state"], "later version" in record["problem"]) == ("damaged", True)
    for command, *options in (["show"], ["compare"], ["export", "--metrics", "-"],
                              ["resume", "--no-ui"], ["replay"], ["attach"]):  # fmt: skip
        result = call(command, later.id, *options)
        assert result.exit_code == 2, (command, result.stderr)
        assert "later version of Synergy (events of version 7" in result.stderr, command
    assert call("rm", "--yes", later.id).exit_code == 0


def test_a_plan_whose_points_lead_out_of_the_sweep_is_refused(tmp_path: Path) -> None:
    from synergy_tui.sweep.directory import Sweep

    point = {"group": "g", "seed": 1, "settings": {}, "columns": {}}
    for name in ("../../elsewhere", "/etc", "..", "", "a/b", 5):
        (tmp_path / "plan.json").write_text(json.dumps({"points": [{**point, "name": name}]}))
        with pytest.raises(UserError, match="is not a name"):
            _ = Sweep(tmp_path).points


def test_a_sweep_with_links_is_damaged(tmp_path: Path, outside: Path) -> None:
    from synergy_tui.sweep.directory import find_sweep

    for number, name in enumerate(
        ("points", "sweep.jsonl", "sweep.log", "plan.json", "worker.json")
    ):
        sweep = tmp_path / f"sweep{number}"
        sweep.mkdir()
        for file in ("sweep.toml", "plan.json"):
            (sweep / file).touch()
        (sweep / name).unlink(missing_ok=True)
        link_to_folder(sweep / name, outside)
        with pytest.raises(UserError, match=f"is damaged: {name} is a link"):
            find_sweep(str(sweep))


def test_a_damaged_sweep_is_listed_as_damaged_and_only_removed(
    call: Call, finished: Experiment, home: Path, outside: Path
) -> None:
    lies: list[tuple[str, Callable[[Path, Path], None]]] = [
        *((name, lie) for name in ("plan.json", "sweep.toml", "sweep.jsonl", "sweep.log", ".lock")
          for lie in NOT_FILES),
        *(("points", lie) for lie in NOT_FOLDERS),
        ("points/one", link_to_folder),
        *(("plan.json", text(content))
          for content in ("", "[]", "{}", '{"points": [{"name": ".."}]}')),
    ]  # fmt: skip
    before = contents(outside)
    for number, (name, lie) in enumerate(lies):
        path = home / f"sweep-{number:03d}"
        (path / "points").mkdir(parents=True)
        for file in ("sweep.toml", "sweep.jsonl"):
            (path / file).touch()
        (path / "plan.json").write_text('{"points": [{"name": "one"}]}')
        if name == "points":
            (path / name).rmdir()
        else:
            (path / name).unlink(missing_ok=True)
        lie(path / name, outside)
    listed = {
        each["id"]: each for each in map(json.loads, call("ls", "--json").stdout.splitlines())
    }
    assert listed[finished.id]["state"] == "finished"
    for number, (name, _) in enumerate(lies):
        identity = f"sweep-{number:03d}"
        found = listed[identity]
        assert (found["kind"], found["state"]) == ("sweep", "damaged"), (name, found)
        assert found["problem"].startswith(Path(name).name), found
        for command, *options in (["show"], ["attach"], ["replay"], ["stop", "--wait", "0"],
                                  ["resume", "--no-ui"], ["sweep"], ["report"]):  # fmt: skip
            result = call(command, identity, *options)
            assert result.exit_code == 2, (name, command, result.stderr)
            assert "is damaged: " in result.stderr, (name, command, result.stderr)
    names = [f"sweep-{number:03d}" for number in range(len(lies))]
    assert call("rm", "--yes", *names).exit_code == 0
    assert [path.name for path in home.iterdir()] == [finished.id]
    assert contents(outside) == before
