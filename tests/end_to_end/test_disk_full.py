"""A full disk at every kind of write: a clear message, nothing torn, resumable once there is room.

A small tmpfs is the disk where mounting is allowed; elsewhere these tests skip.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from synergy_tui.errors import ExitCode
from synergy_tui.experiments.experiment import list_experiments
from synergy_tui.experiments.state import ExperimentState
from tests.end_to_end.conftest import Shell
from tests.end_to_end.test_kill import SCENARIO, check, same

STEPS = "train.steps=60"


def run(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    return Shell(home.parent, home).run(*arguments)


class Disk:
    """A tmpfs whose size can be changed while it is in use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, kibibytes: int) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,size={kibibytes}k", str(self.path)],
            check=True,
            capture_output=True,
        )

    def fill(self) -> Path:
        """Leave no room at all; return the file that takes it."""
        filler = self.path / "filler"
        filler.write_bytes(bytes(4096))
        self.resize(4)
        return filler


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> ExperimentState:
    """The result of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.toml").write_text(SCENARIO, encoding="utf-8")
    done = run(*("run", "--no-ui", "-q", folder / "small.toml", "--set", STEPS), home=folder)
    assert done.returncode == 0, done.stderr
    return ExperimentState.read(list_experiments(folder)[0].events_path)


# From "not even the scenario fits" to "the last checkpoints do not".
SIZES = [4, 12, 290, 310, 350, 400, 480]


@pytest.mark.parametrize(
    "kibibytes", [pytest.param(size, marks=pytest.mark.slow) for size in SIZES[1:]] + SIZES[:1]
)
def test_a_run_on_a_full_disk(
    kibibytes: int, disk: Disk, scenario: Path, truth: ExperimentState
) -> None:
    disk.resize(kibibytes)
    done = run("run", "--no-ui", scenario, "--set", STEPS, home=disk.path)
    assert done.returncode in (ExitCode.RUN_FAILED, ExitCode.BAD_INPUT), done.stderr
    assert "Traceback" not in done.stderr
    assert any(words in done.stderr.lower() for words in ("space", "disk", "room")), done.stderr
    disk.resize(64 * 1024)
    for experiment in list_experiments(disk.path):
        assert experiment.state() in ("failed", "dead", "new")
        assert run("show", experiment.path, home=disk.path).returncode == 0
        again = run("resume", "--no-ui", "-q", experiment.path, home=disk.path)
        assert again.returncode == 0, again.stderr
        check(experiment)
        same(ExperimentState.read(experiment.events_path), truth)


@pytest.mark.parametrize(
    ("option", "target"),
    [
        ("--metrics", "m.csv"),
        ("--metrics", "m.parquet"),
        ("--attention", "a.safetensors"),
        ("--attention", "a.npz"),
        ("--graph", "g.graphml"),
        ("--figures", "f"),
    ],
)
def test_an_export_to_a_full_disk_leaves_nothing(
    option: str, target: str, disk: Disk, finished: object, call: object
) -> None:
    assert callable(call)
    filler = disk.fill()
    result = call("export", "last", option, disk.path / target)
    assert result.exit_code == 2, result.stderr
    assert "No space left" in result.stderr or "cannot be written" in result.stderr
    assert [each for each in disk.path.rglob("*") if each.is_file()] == [filler]


def test_a_new_scenario_on_a_full_disk_leaves_the_old_one(disk: Disk, call: object) -> None:
    assert callable(call)
    file = disk.path / "mine.toml"
    file.write_text("# mine\n" * 500, encoding="utf-8")
    disk.resize(4)
    result = call("init", file, "--yes", "--force")
    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert file.read_text(encoding="utf-8").startswith("# mine")
