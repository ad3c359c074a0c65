"""How soon light commands answer, as a person at a shell waits for them: whole processes.

``python -m pytest tests/benchmarks/test_bench_cli.py -o addopts="" --benchmark-only``
Python's own start-up is measured beside them. The target is 0.3 s each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.places import ROOT

COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "--help": ["--help"],
    "ls": ["ls"],
    "validate": ["validate", str(ROOT / "scenarios" / "diverse_heads.toml")],
    "show": ["show", "last"],
}


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize("name", COMMANDS)
def test_start_up(name: str, benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    for index in range(20):
        shutil.copytree(ROOT / "tests/data/recordings/sort", tmp_path / f"experiment-{index}")
    command = COMMANDS[name]
    if name != "python alone":
        command = [sys.executable, "-m", "synergy_tui", *command]
    environment = {**os.environ, "SYNERGY_HOME": str(tmp_path)}

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)

    benchmark.pedantic(run, rounds=7, warmup_rounds=1)
