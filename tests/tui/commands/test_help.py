"""Every command's help: complete, with examples that the command line understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from synergy_tui.cli import COMMANDS, synergy
from synergy_tui.commands.helptext import Examples
from synergy_tui.errors import ExitCode

Call = Callable[..., Result]


def command_of(name: str) -> Examples:
    found = synergy.get_command(click.Context(synergy), name)  # type: ignore[attr-defined]
    assert isinstance(found, Examples)
    return found


def examples() -> list[str]:
    """Every call of ``synergy`` in the examples of every command, pipelines taken apart."""
    found = []
    for name in COMMANDS:
        for line in command_of(name).examples.splitlines():
            typed = re.sub(r"\s+#.*", "", line)
            found += [part.strip() for part in typed.split(" | ") if part.strip()[:8] == "synergy "]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_a_line_for_every_option_and_examples(name: str, call: Call) -> None:
    result = call(name, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"synergy {name}" in result.stdout.partition("Examples:")[2]
    for option in command_of(name).params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts[0]}"
            assert option.opts[0] in result.stdout


@pytest.mark.parametrize("name", ["run", "resume"])
def test_what_runs_tells_its_exit_codes(name: str, call: Call) -> None:
    shown = call(name, "--help").stdout
    for code in ExitCode:
        assert re.search(rf"^  {int(code)} +\S", shown, re.MULTILINE)


@pytest.mark.parametrize("line", examples())
def test_examples_are_understood(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])[1:]
    command = command_of(words[0])
    context = command.make_context(words[0], words[1:])
    assert context.command is command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, call: Call) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0, result.stderr
    assert "Examples:" in result.stdout
    assert f"synergy {command}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
