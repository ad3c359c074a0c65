"""The report command: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from synergy_tui.sweep.directory import Sweep


def test_the_report_command(
    call: Callable[..., Result], designed_sweep: Sweep, tmp_path: Path
) -> None:
    file = tmp_path / "out.html"
    result = call("report", designed_sweep.path, "-o", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        str(file), str(tmp_path / "out.md"), str(tmp_path / "out-figures"),
    ]  # fmt: skip
    assert "bounds: " in result.stderr


def test_nothing_to_report_on_exits_2(call: Callable[..., Result], home: Path) -> None:
    result = call("report", "nothing")
    assert result.exit_code == 2
    assert "no experiment or sweep" in result.stderr


def test_json_is_one_object_a_line(call: Callable[..., Result], designed_sweep: Sweep) -> None:
    result = call("report", designed_sweep.path, "--json")
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert ("bounds", "supported") in {(each["claim"], each["verdict"]) for each in records}
    assert not (Path.cwd() / "report.html").exists()
