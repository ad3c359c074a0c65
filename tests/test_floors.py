"""The floor plan: imports point down, never up and never in a circle; light commands stay light.

Every import statement counts, also those inside functions and under ``TYPE_CHECKING``. A name
taken from a package's face (``__init__.pyi``) counts as an import of the file that it comes from.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from synergy_tui import cli
from tests.places import ROOT

PACKAGES = {"synergy_engine": "engine", "synergy_trainer": "trainer", "synergy_tui": "."}

# A line is a floor, the ground floor first. A name is a room (a folder and all that is in it) or
# one file; the longest name that fits decides. Rooms on one floor do not import each other.
FLOORS = {
    "synergy_engine": """
        arrays errors
        kernels limits
        validation
        sparse
        reach
        system
        reordering operators topologies graphio
        measures
        analysis
    """,
    "synergy_trainer": """
        errors events draws
        tasks checkpoint
        settings data
        checks attend
        model device
        published
        cohort
        loop
    """,
    "synergy_tui": """
        errors words claims
        console drawing files login streams
        machine scenario
        experiments
        running
        sweep.plan
        sweep.directory sweep.estimate
        sweep.executors
        sweep
        schemas analyze export report.statistics
        watch
        report
        app.past
        app.alphabet
        app.themes app.keys app.clipboard app.terminal app.timeline app.pace app.tail app.desk
        app.status app.keymap app.alerts app.widgets
        app.session
        app.screens
        app.inspector app.stepper
        app.dashboard
        app.sidebyside
        app
        commands
        cli
        start
        __main__
    """,
}
OUTSIDE = {
    "synergy_engine": {"numpy", "numba", "scipy", "networkx", "lazy_loader"},
    "synergy_trainer": {"torch", "numpy", "numba", "triton", "safetensors", "lazy_loader"},
}
NUMBA_ONLY_IN = ("engine/synergy_engine/kernels/", "trainer/synergy_trainer/attend/lane_kernels.py")
HEAVY = ("torch", "numba", "textual", "scipy", "networkx", "matplotlib")


@dataclass(frozen=True)
class Import:
    source: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{place(self.source)}:{self.line} imports {self.target}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the three packages, by its dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in sorted((ROOT / folder / package).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


def place(module: str) -> str:
    return modules()[module].relative_to(ROOT).as_posix()


def package_of(module: str) -> str:
    return module.partition(".")[0]


@cache
def face(package: str) -> dict[str, str]:
    """Name → module that it comes from, of everything a lazy package hands out."""
    stub = modules()[package].with_suffix(".pyi")
    if not stub.is_file():
        return {}
    return {
        alias.name: f"{package}.{node.module}"
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def meant(module: str, name: str) -> str:
    """The module that ``from module import name`` is about."""
    if f"{module}.{name}" in modules():
        return f"{module}.{name}"
    return face(module).get(name, module) if module in modules() else module


@cache
def imports() -> list[Import]:
    found = []
    for module, file in modules().items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                targets = {meant(node.module or "", alias.name) for alias in node.names}
            else:
                continue
            found += [Import(module, node.lineno, target) for target in sorted(targets)]
    return found


def inside() -> list[Import]:
    """The imports whose two ends lie in one package."""
    known = modules()
    return [
        each
        for each in imports()
        if package_of(each.source) == package_of(each.target) and each.target in known
    ]


@cache
def rooms(package: str) -> dict[str, int]:
    """Room → floor."""
    floors = FLOORS[package].strip().splitlines()
    return {
        f"{package}.{name}": floor for floor, line in enumerate(floors) for name in line.split()
    }


def room(module: str) -> str | None:
    """The room of a module; None for the face of a whole package, which is in none."""
    fitting = [name for name in rooms(package_of(module)) if f"{module}.".startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


def folder_of(module: str) -> str:
    """The folder that a module lies in; a file at the top of a package is a room by itself."""
    parent = module.rpartition(".")[0]
    if parent in PACKAGES or modules()[module].name == "__init__.py":
        return module
    return parent


def on_circles(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows whose end leads back to their start."""
    following = defaultdict(set)
    for start, end in arrows:
        following[start].add(end)

    def leads_to(place: str) -> set[str]:
        reached, waiting = set(), [place]
        while waiting:
            new = following[waiting.pop()] - reached
            reached |= new
            waiting += new
        return reached

    back = {end: leads_to(end) for _, end in arrows}
    return {(start, end) for start, end in arrows if start in back[end]}


def test_no_circle_among_files() -> None:
    circles = on_circles({(each.source, each.target) for each in inside()})
    found = [str(each) for each in inside() if (each.source, each.target) in circles]
    assert not found, "files import each other in a circle:\n" + "\n".join(found)


def test_no_circle_among_folders() -> None:
    arrows = {each: (folder_of(each.source), folder_of(each.target)) for each in inside()}
    # A folder may use the rooms inside it, and these the loose files beside them.
    arrows = {
        each: ends for each, ends in arrows.items() if not f"{ends[1]}.".startswith(f"{ends[0]}.")
    }
    circles = on_circles(set(arrows.values()))
    found = [str(each) for each, ends in arrows.items() if ends in circles]
    assert not found, "folders import each other in a circle:\n" + "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_stands_on_a_floor(package: str) -> None:
    loose = [place(name) for name in modules() if package_of(name) == package and not room(name)]
    assert loose == [place(package)], f"FLOORS gives a file no floor: {loose}"
    gone = set(rooms(package)) - set(modules())
    assert not gone, f"FLOORS names what is gone: {sorted(gone)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_to_the_same_room_or_down(package: str) -> None:
    floors = rooms(package)
    found = []
    for each in inside():
        here, there = room(each.source), room(each.target)
        if package_of(each.source) != package or here is None or here == there:
            continue
        if each.target == package and face(package):
            found.append(f"{each}, its own package's face: import from the file instead")
        elif there and floors[there] >= floors[here]:
            where = "above" if floors[there] > floors[here] else "on one floor with"
            found.append(f"{each}, but {there} is {where} {here}")
    assert not found, "imports that do not point down (FLOORS):\n" + "\n".join(found)


@pytest.mark.parametrize("package", OUTSIDE)
def test_libraries_import_only_what_the_design_allows(package: str) -> None:
    allowed = OUTSIDE[package] | set(sys.stdlib_module_names) | {package}
    found = [
        f"{each}: {package} may import {', '.join(sorted(OUTSIDE[package]))} and itself"
        for each in imports()
        if package_of(each.source) == package and package_of(each.target) not in allowed
    ]
    found += [
        f"{each}: Numba belongs in {' and '.join(NUMBA_ONLY_IN)}"
        for each in imports()
        if package_of(each.source) == package
        and package_of(each.target) == "numba"
        and not place(each.source).startswith(NUMBA_ONLY_IN)
    ]
    assert not found, "\n".join(found)


def test_every_folder_says_over_its_door_what_it_is() -> None:
    folders = {file.parent for file in modules().values()}
    for folder in sorted(folders):
        door = folder / "__init__.py"
        name = door.relative_to(ROOT).as_posix()
        assert door.is_file(), f"{name} is missing"
        docstring = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8"))) or ""
        assert re.match(r"[A-Z].*\w+ .*\w+[^.]*\.(\s|$)", docstring, re.DOTALL), (
            f"{name} does not begin with a sentence that says what the room is: {docstring!r}"
        )


LIGHT = [
    ["validate", "scenarios/example2.toml"],
    ["ls", "--json"],
    ["ls"],
    ["init", "-", "--task", "copy"],
    ["init", "-", "--topology", "star"],
    ["schema", "scenario"],
    ["completion", "bash"],
]
RUN_ALL = """
import sys
from synergy_tui.cli import main
for arguments in {commands!r}:
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, f"synergy {{' '.join(arguments)}} exits with {{stop.code}}"
    loaded = [name for name in {heavy!r} if name in sys.modules]
    assert not loaded, f"synergy {{' '.join(arguments)}} imports {{', '.join(loaded)}}"
"""


@pytest.mark.parametrize(
    "commands",
    [[["--help"], *([name, "--help"] for name in cli.COMMANDS)], LIGHT],
    ids=["help", "light commands"],
)
def test_light_commands_import_nothing_heavy(commands: list[list[str]], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL.format(commands=commands, heavy=HEAVY)],
        cwd=ROOT,
        env={"SYNERGY_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
