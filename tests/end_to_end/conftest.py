"""The real commands, in processes of their own, with a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synergy_tui.experiments.experiment import Experiment, list_experiments
from tests.tui.commands.conftest import call, finished, home, make
from tests.waiting import wait_for

__all__ = ["call", "finished", "home", "make"]  # fixtures, as the tests of the commands have them

SYNERGY = str(Path(sys.executable).with_name("synergy"))

TINY = """\
title = "Tiny"
seed = 3

[train]
task = "copy"
length = 6
vocabulary = 4
steps = {steps}
batch = 4
embed = 8
mlp = 8
layers = 1
probe_every = 0
probe_inputs = 2
checkpoint_every = 250
log_every = 1

[[runs]]
name = "one"
heads = 1

[[runs]]
name = "two"
heads = 2

[[expect]]
that = "one.parameters == two.parameters"
"""


class Shell:
    """Runs ``synergy`` as a person would."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.folder = folder
        self.home = home or folder / "home"
        self.environment = {
            **os.environ, "SYNERGY_HOME": str(self.home), "OMP_NUM_THREADS": "1", "COLUMNS": "120",
        }  # fmt: skip
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [SYNERGY, *map(str, arguments)],
            text=True, encoding="utf-8", env=self.environment, cwd=self.folder, **pipes | options,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def scenario(self, steps: int = 40) -> str:
        """Write the tiny scenario and return its path."""
        path = self.folder / f"tiny{steps}.toml"
        path.write_text(TINY.format(steps=steps))
        return str(path)

    def experiment(self) -> Experiment:
        """Return the only experiment in the home, once there is one."""
        wait_for(lambda: bool(list_experiments(self.home)))
        return list_experiments(self.home)[0]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    opened = Shell(tmp_path)
    yield opened
    for process in opened.started:
        if process.poll() is None:
            process.kill()
            process.communicate()
