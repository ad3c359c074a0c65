"""Imports point one way: engine and trainer know neither each other nor the app."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from synergy_tui.cli import COMMANDS
from tests.places import ROOT

ALLOWED = {
    "engine": {"synergy_engine", "lazy_loader", "numpy", "numba", "scipy", "networkx"},
    "trainer": {"synergy_trainer", "lazy_loader", "torch", "numpy", "safetensors"},
}
OPTIONAL = {
    "trainer/synergy_trainer/attend/lane_kernels.py": {"numba"}
}  # tests/trainer/test_cpu_lanes.py trains without
HEAVY = {"torch", "numba", "textual", "scipy", "networkx", "matplotlib"}


def imported_packages(file: Path) -> set[str]:
    """Top-level names of every import statement, also those inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_libraries_import_only_what_the_design_allows(package: str) -> None:
    standard = set(sys.stdlib_module_names)
    for file in sorted((ROOT / package).rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        extra = imported_packages(file) - ALLOWED[package] - OPTIONAL.get(name, set()) - standard
        assert not extra, f"{name} imports {sorted(extra)}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["validate", "scenarios/example2.toml"],
        ["ls", "--json"],
        ["ls"],
        ["init", "-", "--task", "copy"],
        ["init", "-", "--topology", "star"],
        ["schema", "scenario"],
        ["completion", "bash"],
        *([command, "--help"] for command in COMMANDS),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from synergy_tui.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"heavy = sorted({HEAVY!r} & set(sys.modules))\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"SYNERGY_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
