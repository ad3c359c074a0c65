"""doctor never crashes, whatever the machine lacks; completion and help are there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from synergy_tui import machine as doctor
from synergy_tui.cli import COMMANDS

Call = Callable[..., Result]
NAMES = "synergy processor memory torch gpu numba disk terminal colour extras".split()  # noqa: SIM905


def test_every_probe_answers_in_json(call: Call, home: Path) -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0, result.stdout
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["name"] for each in findings] == NAMES
    assert all(each["state"] in ("ok", "note", "warning") for each in findings)
    by_name = {each["name"]: each["data"] for each in findings}
    assert by_name["disk"]["experiments"] == str(home)
    assert by_name["memory"]["total"] > by_name["memory"]["available"] > 0


@pytest.mark.parametrize("module", ["torch", "numba", "psutil"])
def test_a_library_that_is_absent_is_a_finding(
    module: str, call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = call("doctor")
    assert result.exit_code == 3
    assert "✗" in result.stdout
    assert all(name in result.stdout for name in NAMES)


def test_a_probe_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> doctor.Finding:
        raise RuntimeError("the driver is on holiday")

    monkeypatch.setattr(doctor, "_gpu", broken)
    findings = {each.name: each for each in doctor.examine()}
    assert findings["gpu"].state == "broken"
    assert "the driver is on holiday" in findings["gpu"].text


def test_a_driver_without_a_matching_torch_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(doctor, "_driver", lambda: "580.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    [found] = [each for each in doctor.examine() if each.name == "gpu"]
    assert found.state == "warning"
    assert "CUDA build" in found.advice


@pytest.mark.parametrize(
    ("variables", "name", "says"),
    [
        ({"NO_COLOR": "1"}, "colour", "NO_COLOR"),
        ({"TMUX": "/tmp/x"}, "terminal", "tmux"),
        ({"SYNERGY_HOME": "/dev/null/none"}, "disk", "not writable"),
    ],
)
def test_the_environment_is_told(
    variables: dict[str, str], name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    [found] = [each for each in doctor.examine() if each.name == name]
    assert says in found.text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_sizes_for_people(number: int, text: str) -> None:
    assert doctor.size(number) == text


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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, call: Call) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0, result.stderr
    assert "Examples:" in result.stdout
    assert f"synergy {command}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
