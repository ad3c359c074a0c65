"""Where results are written: files whole or not at all, streams without disturbing them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from synergy_tui.commands.execution import watch
from synergy_tui.errors import ExitCode
from synergy_tui.experiments.experiment import Experiment
from tests.places import ROOT

Call = Callable[..., Result]
FULL = Path("/dev/full")


def test_a_run_whose_report_could_not_be_written_is_not_begun(call: Call, home: Path) -> None:
    (home.parent / "file").touch()
    result = call("run", "--no-ui", "--junit", home.parent / "file" / "report.xml", "example2")
    assert result.exit_code == ExitCode.RUN_FAILED
    assert "report.xml cannot be written" in result.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("init", "a.toml"),
        ("export last --metrics", "a.csv"),
        ("export last --attention", "a.npz"),
        ("export last --graph", "a.gml"),
        ("export last --figures", "folder"),
        ("export last --tensorboard", "folder"),
        ("export last --figures first --tensorboard", "folder"),
        ("report last --output", "a.html"),
        ("report last --figure soon --output", "a.svg"),
        ("run --no-ui example2 --junit", "a.xml"),
        ("run --no-ui example2 --out", "home"),
        ("sweep --no-ui sweep_topologies --out", "home"),
    ],
)
def test_a_mistyped_path_does_not_become_a_tree(
    command: str,
    name: str,
    call: Call,
    finished: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.glob("[!.]*"))  # matplotlib has its cache here
    refused = call(*command.split(), f"reslts/{name}")
    junit = "--junit" in command
    assert refused.exit_code == (ExitCode.RUN_FAILED if junit else ExitCode.BAD_INPUT)
    assert "there is no folder " in refused.stderr
    assert "reslts" in refused.stderr
    assert junit or "`mkdir -p " in refused.stderr
    assert set(tmp_path.glob("[!.]*")) == before


def test_a_folder_that_is_named_is_made(call: Call, finished: Experiment, tmp_path: Path) -> None:
    for option in ("--figures", "--tensorboard"):
        folder = tmp_path / option
        assert call("export", "last", f"{option}={folder}").exit_code == 0
        assert any(folder.iterdir())
    assert call("run", "-q", "--no-ui", "example2", "--out", tmp_path / "home").exit_code == 0
    assert len(list((tmp_path / "home").iterdir())) == 1


def test_metrics_and_reports_go_to_stdout_as_data_alone(call: Call, finished: Experiment) -> None:
    table = call("export", "last", "--metrics", "-")
    assert (table.exit_code, table.stderr) == (0, "")
    assert table.stdout.startswith("experiment,run,heads")
    report = call("run", "--no-ui", "--quiet", "--junit", "-", "example2")
    assert (report.exit_code, report.stderr) == (0, "")
    assert report.stdout.startswith("<?xml")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["ls"], ["schema", "events"]])
def test_a_full_disk_behind_stdout_is_not_a_success(
    arguments: list[str], finished: Experiment
) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "synergy_tui", *arguments],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.RUN_FAILED
    assert done.stderr == "synergy: No space left on device.\n"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_report_that_cannot_be_written_after_the_run_is_a_failure(call: Call) -> None:
    result = call("run", "--no-ui", "--junit", FULL, "example2")
    assert result.exit_code == ExitCode.RUN_FAILED
    assert "verdict" in result.stderr, "what was found is shown all the same"
    assert "/dev/full cannot be written: No space left on device" in result.stderr


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_stream_that_cannot_be_written_ends_the_run_but_not_its_log(home: Path) -> None:
    command = [sys.executable, "-m", "synergy_tui", "run", "--json", "example2"]
    with FULL.open("w") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == ExitCode.RUN_FAILED
    assert "cannot be written to stdout: No space left on device" in done.stderr
    [path] = home.iterdir()
    assert Experiment(path).ending() is not None


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_streams_that_the_caller_closed(closed: str, finished: Experiment) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m synergy_tui ls {closed}', sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_mistake_that_cannot_even_be_told_has_its_exit_code(home: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m synergy_tui show none 2>/dev/full', sys.executable],
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == ExitCode.BAD_INPUT


def test_a_bug_is_not_reported_as_a_failed_expectation(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("synergy_tui.sweep.entries.list_entries", broken)
    result = call("ls")
    assert result.exit_code == ExitCode.RUN_FAILED
    assert "ZeroDivisionError: oh" in result.stderr
    assert "bug in Synergy" in result.stderr


def test_a_reader_that_has_enough_is_not_a_failure(finished: Experiment) -> None:
    listing = '"$0" -m synergy_tui schema scenario | head -n 1; exit ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", listing, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (SystemExit(1), "bug in Synergy"),
        (EOFError("a file ended early"), "EOFError: a file ended early"),
        (click.exceptions.Exit(1), ""),
    ],
)
def test_no_library_chooses_the_exit_code(
    call: Call, monkeypatch: pytest.MonkeyPatch, raised: BaseException, message: str
) -> None:
    def leave(*_: object) -> None:
        raise raised

    monkeypatch.setattr("synergy_tui.sweep.entries.list_entries", leave)
    result = call("ls")
    assert result.exit_code == ExitCode.RUN_FAILED
    assert message in result.stderr
    assert "interrupted" not in result.stderr


def test_an_exit_code_that_a_log_made_up_is_a_failure(
    call: Call, monkeypatch: pytest.MonkeyPatch, finished: Experiment
) -> None:
    monkeypatch.setattr("synergy_tui.commands.attach.watch", lambda *_, **__: 77)
    monkeypatch.setattr("synergy_tui.app.terminal.require_terminal", lambda *_: None)
    assert call("attach", "last").exit_code == ExitCode.RUN_FAILED


def test_a_worker_that_died_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, finished: Experiment
) -> None:
    monkeypatch.setattr("synergy_tui.app.app.open_app", lambda *_, **__: 0)
    monkeypatch.setattr(Experiment, "ending", lambda _: None)
    for state, code in (("dead", ExitCode.RUN_FAILED), ("running", ExitCode.OK)):
        monkeypatch.setattr(Experiment, "state", lambda _, state=state: state)
        assert watch(finished) == code


def test_a_completion_that_does_not_exist_is_bad_input(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_SYNERGY_COMPLETE", "nonsense")
    assert call("ls").exit_code == ExitCode.BAD_INPUT


def test_python_m_is_the_command() -> None:
    command = [sys.executable, "-m", "synergy_tui", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("synergy, version ")


@pytest.mark.parametrize("entry", ["main", "tui"])
def test_windows_is_refused_in_a_sentence(
    entry: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from synergy_tui import cli

    monkeypatch.setattr(cli.sys, "platform", "win32")
    monkeypatch.setattr(cli, "open_streams", lambda: pytest.fail("it needs what Windows lacks"))
    with pytest.raises(SystemExit) as left:
        getattr(cli, entry)([])
    assert left.value.code == ExitCode.BAD_INPUT
    [line] = capsys.readouterr().err.splitlines()
    assert "WSL" in line
