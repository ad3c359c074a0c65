"""What is installed: the wheel's contents, and commands that work from anybody's folder.

A folder of machine-learning code often holds an ``engine.py`` or a ``trainer.py``. Here every such
file raises when it is imported, and stands first on the path.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.places import ROOT

THEIRS = ("engine", "trainer", "operators", "stack", "words", "files", "errors", "model", "app",
          "scenario", "sweep", "report", "data", "settings")  # fmt: skip

DESIGNED = """
[[runs]]
name = "three"
nodes = 3
[[runs.heads]]
edges = [[0, 1], [1, 2]]
[[runs.heads]]
edges = [[0, 2], [1, 2]]
[[expect]]
that = "three.fidelity > 0"
"""
TRAINED = """
[train]
task = "copy"
length = 6
vocabulary = 4
steps = 4
batch = 4
embed = 8
mlp = 8
layers = 1
probe_inputs = 2
"""
RUNS = """
[[runs]]
name = "two"
heads = 2
"""
SWEEP = """
[sweep]
seeds = 2
heads = [1, 2]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture
def site(wheel: Path, tmp_path: Path) -> Path:
    """A folder of installed packages that holds the wheel's and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


class Folder:
    """Somebody's folder, in which commands are called."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        for name in THEIRS:
            (path / f"{name}.py").write_text(f"raise RuntimeError('{name}.py is not yours')\n")
        (path / "designed.toml").write_text(DESIGNED)
        (path / "trained.toml").write_text(TRAINED + RUNS)
        (path / "sweep.toml").write_text(TRAINED + SWEEP)
        self.path = path
        self.first_on_path = [path]

    def call(self, *words: str, code: int = 0) -> str:
        """Call a command and return what it printed; ``python`` and ``synergy`` are ours."""
        program = str(Path(sys.executable).with_name(words[0]))
        done = subprocess.run(
            [program, *words[1:]],
            cwd=self.path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, self.first_on_path)),
                "SYNERGY_HOME": str(self.path / "home"),
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def sweep(self, *options: str) -> None:
        """Run the sweep; both of its points must finish."""
        self.call("synergy", "sweep", "--no-ui", "sweep.toml", "--device", "cpu", *options)
        assert len(list((self.path / "home").rglob("checkpoints"))) == 2


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "theirs")


def test_the_wheel_holds_the_three_packages_and_what_they_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    packages = {"synergy_engine", "synergy_trainer", "synergy_tui"}
    tops = {name.partition("/")[0] for name in held}
    assert {top for top in tops if not top.endswith(".dist-info")} == packages
    assert len(tops) == len(packages) + 1

    wanted = {f"synergy_tui/scenarios/{file.name}" for file in (ROOT / "scenarios").glob("*.toml")}
    for folder in (ROOT / "engine", ROOT / "trainer", ROOT):
        for package in packages:
            wanted |= {
                file.relative_to(folder).as_posix()
                for file in (folder / package).rglob("*")
                if file.suffix in {".py", ".pyi", ".tcss", ".j2"} or file.match("*.schema.json")
            }
    for suffix in (".toml", ".pyi", ".tcss", ".j2", ".schema.json"):
        assert any(name.endswith(suffix) for name in wanted)
    assert not wanted - held
    assert not {name for name in held if "/tests/" in name or "__pycache__" in name}


def test_what_the_wheel_installs_finds_its_own_files(site: Path, folder: Folder) -> None:
    folder.first_on_path.append(site)
    where = folder.call("python", "-c", "import synergy_tui; print(synergy_tui.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    assert "valid" in folder.call("synergy", "validate", "example2")
    schema = folder.call("synergy", "schema", "scenario", "--path").strip()
    assert Path(schema).is_relative_to(site)


def test_commands_work_beside_files_of_their_names(folder: Folder) -> None:
    assert "engine.py is not yours" in folder.call("python", "-c", "import engine", code=1)
    assert "Commands:" in folder.call("synergy", "--help")
    assert "Commands:" in folder.call("python", "-m", "synergy_tui", "--help")
    assert "valid" in folder.call("synergy", "validate", "designed.toml", "trained.toml")
    folder.call("synergy", "run", "--no-ui", "designed.toml")
    assert "designed" in folder.call("synergy", "ls")


@pytest.mark.slow
def test_training_works_beside_files_of_its_names(folder: Folder) -> None:
    folder.call("synergy", "run", "--no-ui", "trained.toml")
    assert "trained" in folder.call("synergy", "show", "last")


@pytest.mark.slow
def test_a_notebook_works_beside_files_of_its_names(folder: Folder) -> None:
    line = (
        "import synergy_engine as engine, synergy_trainer as trainer; "
        "print(engine.topology('sliding_window', 8, window=2)); "
        "settings = trainer.TrainSettings(task='copy', length=6, steps=1, batch=2, embed=8, mlp=8);"
        "print(len(list(trainer.train(settings, [trainer.RunSettings('one', heads=1)]))), 'events')"
    )
    assert "events" in folder.call("python", "-c", line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [["--executor=ensemble"], ["--executor=pool"], ["--set", "sweep.data_parallel=2"]],
    ids=["ensemble", "pool", "data parallel"],
)
def test_a_sweep_works_beside_files_of_its_names(folder: Folder, options: list[str]) -> None:
    folder.sweep(*options, "--workers=1")


@pytest.mark.slow
def test_ray_works_beside_files_of_its_names(folder: Folder) -> None:
    pytest.importorskip("ray")
    folder.sweep("--ray=local")


@pytest.mark.slow
def test_what_the_wheel_installs_runs(site: Path, folder: Folder) -> None:
    folder.first_on_path.append(site)
    assert "5/12" in folder.call("synergy", "run", "--no-ui", "example2")
