"""What a power cut cannot take: which files are forced to disk, and before what."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synergy_tui.experiments.events import Event, encode
from synergy_tui.running.signals import Stopper
from tests.tui.running.test_runner import TINY, execute, make

MILESTONES = {"checkpoint", "run_finished", "run_failed", "run_stopped", "experiment_finished"}


@pytest.fixture
def after_sync(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Has a function called with each descriptor that was forced to disk."""

    def install(look: Callable[[int], None]) -> None:
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            sync(descriptor)
            look(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return install


def inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


@pytest.mark.parametrize("ends", ["finished", "failed", "stopped"])
def test_milestones_are_on_disk_before_anybody_hears_of_them(
    ends: str, tmp_path: Path, after_sync: Callable[[Callable[[int], None]], None]
) -> None:
    rate = {"learning_rate": 1e30} if ends == "failed" else {}
    runs = [{"name": "one", "heads": 1}, {"name": "two", "heads": 2, **rate}]
    experiment = make(tmp_path, {**TINY, "runs": runs})
    safe, missing, heard = 0, [], set()
    stopper = Stopper()

    def look(descriptor: int) -> None:
        nonlocal safe
        if (status := os.fstat(descriptor)).st_ino == inode(experiment.events_path):
            safe = status.st_size

    def listen(event: Event) -> None:
        heard.add(event["kind"])
        if event["kind"] in MILESTONES:
            if encode(event) not in experiment.events_path.read_bytes()[:safe]:
                missing.append(event)
            if ends == "stopped":
                stopper.request("enough", 143)

    after_sync(look)
    expected = {"finished": 0, "failed": 3, "stopped": 143}[ends]
    assert execute(experiment, listener=listen, should_stop=stopper) == expected
    assert missing == []
    assert heard >= {"checkpoint", f"run_{ends}", "experiment_finished"}


def test_a_checkpoint_is_on_disk_before_the_log_names_it(
    tmp_path: Path, after_sync: Callable[[Callable[[int], None]], None]
) -> None:
    """Its content, and the folder's entry of its final name."""
    experiment = make(tmp_path)
    contents: set[tuple[int, int]] = set()
    entries: set[str] = set()
    found: list[tuple[bool, bool]] = []

    def look(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode):
            contents.add((status.st_ino, status.st_size))
        elif status.st_ino == inode(experiment.checkpoints):
            entries.update(os.listdir(descriptor))

    def listen(event: dict[str, Any]) -> None:
        if event["kind"] == "checkpoint":
            path = experiment.path / event["path"]
            status = path.stat()
            found.append(((status.st_ino, status.st_size) in contents, path.name in entries))

    after_sync(look)
    assert execute(experiment, listener=listen) == 0
    assert found == [(True, True)] * 6
