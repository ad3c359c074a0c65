"""Completion scripts are there, and complete commands and experiments."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

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


def test_completion_knows_commands_and_experiments(
    home: Path, finished: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.shell_completion import BashComplete

    from synergy_tui.cli import synergy

    complete = BashComplete(synergy, {}, "synergy", "_SYNERGY_COMPLETE")
    assert "doctor" in [each.value for each in complete.get_completions([], "do")]
    names = [each.value for each in complete.get_completions(["show"], "2026")]
    assert names == ["2026-11-23-154312-gate"]
