"""Completion scripts are there, and complete commands and experiments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.places import PYTHONPATH

Call = Callable[..., Result]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(shell: str, call: Call, tmp_path: Path) -> None:
    result = call("completion", shell)
    assert result.exit_code == 0
    assert "_SYNERGY_COMPLETE" in result.stdout
    program = shutil.which(shell)
    if program:
        script = tmp_path / "script"
        script.write_text(result.stdout, encoding="utf-8")
        subprocess.run([program, "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("program", "word", "completed"),
    [("synergy", "doct", "doctor"), ("synergy-tui", "--asc", "--ascii")],
)
def test_the_script_asks_the_program_that_it_is_for(
    program: str, word: str, completed: str, call: Call
) -> None:
    script = call("completion", "bash", "--program", program).stdout
    assert re.search(rf"complete .* {program}\n", script)
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    assert f"{variable}=bash_complete" in script
    entry = "tui" if program == "synergy-tui" else "main"
    code = f"import sys; from synergy_tui.start import {entry}; sys.exit({entry}())"
    asked = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ, variable: "bash_complete", "COMP_CWORD": "1",
            "COMP_WORDS": f"{program} {word}", "PYTHONPATH": PYTHONPATH,
        },
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.split() == [f"plain,{completed}"]


def test_completion_knows_commands_and_experiments(
    home: Path, finished: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.shell_completion import BashComplete

    from synergy_tui.cli import synergy

    complete = BashComplete(synergy, {}, "synergy", "_SYNERGY_COMPLETE")
    assert "doctor" in [each.value for each in complete.get_completions([], "do")]
    names = [each.value for each in complete.get_completions(["show"], "2026")]
    assert names == ["2026-11-23-154312-gate"]
