"""The README and its sisters: short, their links lead somewhere, and their examples work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from synergy_tui.cli import synergy
from synergy_tui.scenario import load_scenario
from tests.places import ROOT

README = ROOT / "README.md"
PAGES = [
    README,
    *(
        page
        for folder in ("engine", "trainer", "synergy_tui", "scenarios", "tests")
        for page in sorted((ROOT / folder).rglob("*.md"))
        if page.stem.isupper()
    ),
]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_is_read_in_one_sitting() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert len(text) <= 16_000


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {page.parent / link for link in re.findall(r"\]\(([^):#]+)\)", text)}
    folders = r"(?:engine|trainer|synergy_tui|tests|scenarios)"
    named = {
        ROOT / path for path in re.findall(rf"\b({folders}/[\w/.-]+\.(?:py|toml|md|sh))", text)
    }
    missing = sorted(str(path) for path in links | named if not path.exists())
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_a_page_are_understood(page: Path) -> None:
    for line in "".join(blocks(page, "sh") + blocks(page, "yaml")).splitlines():
        typed = re.search(r"(?:^|run: |&& )synergy (\S+)([^#&|]*)", line)
        if typed is None:
            continue
        command = synergy.get_command(click.Context(synergy), typed[1])
        assert command is not None, line
        command.make_context(typed[1], shlex.split(typed[2]))


def test_every_word_that_a_page_selects_tests_by_selects_some() -> None:
    text = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    commands = [shlex.split(each) for each in re.findall(r"pytest ([^`]*-k [^`]+)`", text)]
    assert commands
    for command in commands:
        files = [ROOT / each for each in command if each.endswith(".py")]
        tests = " ".join(file.read_text(encoding="utf-8") for file in files)
        names = re.findall(r"def (test_\w+)", tests)
        for word in re.split(r" or | and ", command[command.index("-k") + 1]):
            assert any(word in name for name in names), (word, command)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scenarios_and_python_in_a_page_are_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")
    for block in blocks(page, "toml"):
        if "[[runs]]" in block:
            (tmp_path / "scenario.toml").write_text(block, encoding="utf-8")
            assert load_scenario(tmp_path / "scenario.toml").runs


@pytest.mark.slow
def test_the_notebook_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(README, "python")
    exec(block, {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("one 0 ")
    assert shown[-1].startswith("eight 60 ")
