"""doctor never crashes, whatever the machine lacks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synergy_tui.cli import synergy

Call = Callable[..., Result]
NAMES = "synergy processor memory torch gpu numba disk terminal logout colour extras".split()  # noqa: SIM905


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


def test_signs_have_colour_where_it_is_wanted_and_no_controls_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    runner = CliRunner()
    assert runner.invoke(synergy, ["doctor"]).stdout.startswith("✓ synergy ")
    assert runner.invoke(synergy, ["doctor"], color=True).stdout.startswith(
        "\x1b[32m✓\x1b[0m synergy "
    )
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in runner.invoke(synergy, ["doctor"], color=True).stdout
