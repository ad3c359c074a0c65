"""The sweep command: what it prints, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from click.testing import Result

from synergy_tui.report.evidence import gather
from synergy_tui.sweep.directory import Sweep
from tests.tui.conftest import DESIGNED, make

Call = Callable[..., Result]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenarios/example2.toml"], "has no [sweep] table"),
        (["nothing"], "nothing"),
        (["{sweep}", "--set", "sweep.seeds=9"], "has begun"),
    ],
)
def test_mistakes_exit_2(
    arguments: list[str], message: str, call: Call, designed_sweep: Sweep, home: Path
) -> None:
    result = call(
        "sweep", *(each.replace("{sweep}", str(designed_sweep.path)) for each in arguments)
    )
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_device_that_is_not_here_is_refused_before_a_sweep_is_made(
    call: Call, tmp_path: Path
) -> None:
    result = call("sweep", "sweep_heads", "--no-ui", "--device", "cuda:99", "--out", tmp_path)
    assert result.exit_code == 2
    assert "cuda:99" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_what_it_costs_and_makes_nothing(call: Call, tmp_path: Path) -> None:
    result = call("sweep", "scenarios/sweep_heads.toml", "--dry-run", "--out", tmp_path)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 24
    assert "24 points, 96 runs to go: about" in result.stderr
    assert "GiB" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_watching_a_sweep_runs_nothing(
    call: Call, designed_sweep: Sweep, home: Path, tmp_path: Path
) -> None:
    new = make(DESIGNED, tmp_path / "new")
    for options in (["--json"], ["--no-ui"]):
        watched = call("sweep", new.path, "--watch", *options)
        assert (watched.exit_code, watched.stdout) == (0, "")
    assert set(new.states().values()) == {"new"}
    ended = call("sweep", designed_sweep.path, "--watch", "--no-ui")
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert f"synergy report {designed_sweep.reference}" in ended.stderr


def test_a_narrowed_sweep_says_what_it_leaves_out(call: Call, home: Path) -> None:
    command = ("sweep", "sweep_heads", "--dry-run", "--set", 'sweep.tasks=["sort"]')
    shown = call(*command)
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 8)
    assert shown.stderr.startswith("--set cuts tasks copy, tasks offset_sum; left out")
    assert call(*command, "--set", "sweep.tasks=sort").exit_code == 2


def test_a_sweep_from_the_shell_streams_json_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(DESIGNED)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "synergy_tui",
            "sweep",
            "--json",
            "--out",
            str(tmp_path / "out"),
            "--set",
            "sweep.seeds=1",
            file,
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = [orjson.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "sweep_started"
    assert kinds[-1] == "sweep_finished"
    assert kinds.count("point_ended") == 2
    assert b"2 points, 4 runs to go" in done.stderr
    (source,) = gather(["last"], tmp_path / "out").sources
    assert source.command == f"synergy sweep {file} --set sweep.seeds=1"
