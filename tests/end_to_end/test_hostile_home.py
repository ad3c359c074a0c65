"""Homes that are read-only, absent or shared; clocks that jump."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from synergy_tui.experiments.events import EventReader, EventWriter
from synergy_tui.experiments.experiment import Experiment, list_experiments
from tests.places import ROOT

Call = Callable[..., Result]
OVERRIDING = (1, 2, 3)  # capabilities by which root passes over file modes
_PR_CAPBSET_DROP = 24


def obey_modes() -> None:
    """In the child: be bound by file modes like anybody else, even as root."""
    if os.geteuid() == 0:
        for capability in OVERRIDING:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def ordinary(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run synergy without the rights that let root write anywhere."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SYNERGY", "XDG"))}
    return subprocess.run(
        [sys.executable, "-m", "synergy_tui", *map(str, arguments)],
        cwd=ROOT,
        env={**environment, **variables},
        preexec_fn=obey_modes,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A folder that cannot be written."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    folder.chmod(0o555)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="drops Linux capabilities")
def test_a_read_only_home(sealed: Path, tmp_path: Path) -> None:
    listed = ordinary("ls", HOME=str(sealed))
    assert (listed.returncode, listed.stdout) == (0, "")
    refused = ordinary("run", "--no-ui", "example2", HOME=str(sealed))
    assert refused.returncode == 2
    assert "--out DIR" in refused.stderr
    elsewhere = ordinary(
        "run", "--no-ui", "-q", "example2", "--out", tmp_path / "o", HOME=str(sealed)
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert list(sealed.iterdir()) == []


def test_no_home_at_all(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(user: int) -> object:
        raise KeyError(user)

    for name in ("HOME", "SYNERGY_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    result = call("ls")
    assert result.exit_code == 2
    assert "SYNERGY_HOME" in result.stderr


def test_kernels_go_to_a_private_folder_where_nothing_can_be_written(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synergy_engine.kernels import cache

    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = cache._private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache._private_folder() == folder
    # Cached kernels are code: a folder that others can write, or a link, is not trusted.
    folder.chmod(0o777)
    assert cache._private_folder() != folder
    folder.rmdir()
    folder.symlink_to(sealed)
    assert cache._private_folder() != folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter; pytest closes its own to them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="becomes another user")
def test_a_read_only_installation_a_user_without_name_and_no_home(open_folder: Path) -> None:
    installed = open_folder / "installed"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("engine/synergy_engine", "trainer/synergy_trainer", "synergy_tui"):
        shutil.copytree(ROOT / package, installed / Path(package).name, ignore=ignored)
    shutil.copytree(ROOT / "scenarios", installed / "scenarios")
    private = open_folder / "tmp"
    private.mkdir()
    private.chmod(0o1777)

    def someone(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", sys.executable,
             *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "TMPDIR": str(private)},
            cwd=private, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    if someone("-c", "import numpy").returncode:
        pytest.skip("this Python is closed to other users")
    done = someone(
        "-m", "synergy_tui", "run", "--no-ui", "-q", "example2", "--out", str(private / "out")
    )
    assert done.returncode == 0, done.stderr
    found = [
        json.loads(line)
        for line in someone("-m", "synergy_tui", "doctor", "--json").stdout.splitlines()
    ]
    [cache] = [each for each in found if each["name"] == "numba"]
    assert Path(cache["data"]["cache"]).parent == private / "engine-kernels-54321"
    assert list(Path(cache["data"]["cache"]).glob("*.nbi")), "the run left its kernels there"
    assert not cache["data"]["cache_lasting"]
    assert "NUMBA_CACHE_DIR" in cache["advice"]
    assert not list(installed.rglob("__pycache__"))


def test_an_experiment_is_its_owners_alone(call: Call, home: Path) -> None:
    assert call("run", "--no-ui", "-q", "example2").exit_code == 0
    [experiment] = list_experiments(home)
    for path in [home, experiment.path, *experiment.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_clock_that_jumps_back_between_resumes(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    for clock in (1000.0, 3.0, 5000.0):  # monotonic clocks restart with the machine
        ticks = iter([clock, clock + 1.0, clock + 2.0, clock + 3.0])
        with EventWriter(log, clock=lambda ticks=ticks: next(ticks)) as writer:
            writer.write("warning", message="one")
            writer.write("warning", message="two")
    times = [event["t"] for event in EventReader(log).read_all()]
    assert times == sorted(times)
    assert times[-1] < 10


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere times of creation do not move")
@pytest.mark.parametrize("jump", [-7200.0, 3600.0])
def test_a_clock_that_jumps_under_a_worker(
    call: Call, finished: Experiment, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    booted = psutil.boot_time()  # what the kernel says moves with the clock
    with finished.lock():
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + jump)
        assert finished.state() == "running"
        assert call("rm", "--yes", "last").exit_code == 2
    assert finished.state() == "finished"


def test_a_worker_of_an_older_version_is_recognised(finished: Experiment) -> None:
    import json

    with finished.lock():
        file = finished.path / "worker.json"
        record = json.loads(file.read_text())
        del record["uptime"]
        file.write_text(json.dumps(record))
        assert finished.state() == "running"
        file.write_text(json.dumps(record | {"created": record["created"] - 60}))
        assert finished.state() == "finished", "a later process that got the worker's id"


def test_homes_that_nobody_has(call: Call) -> None:
    for arguments in (["ls", "--out", "~nobody-at-all"], ["show", "~nobody-at-all/x"]):
        assert "Traceback" not in call(*arguments).stderr


def test_ages_of_experiments_from_the_future(
    call: Call, finished: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(finished.path, (time.time() + 10**9,) * 2)
    assert call("ls").exit_code == 0
