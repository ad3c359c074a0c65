"""Where results are written: files whole or not at all, streams without disturbing them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.files import require_writable, write_output, write_output_with
from tests.tui.commands.conftest import ROOT, shell

Call = Callable[..., Result]
FULL = Path("/dev/full")


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    write_output(file, "old")

    def fails(target: Path) -> None:
        target.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"report\.xml cannot be written: No space left"):
        write_output_with(file, fails)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "report.xml"
    link = tmp_path / "report.xml"
    link.symlink_to(target)
    for text in ("new", "newer"):
        write_output(link, text)
        assert link.is_symlink()
        assert target.read_text() == text


def test_the_umask_is_respected(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_output(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_pipe_gets_all_of_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    write_output(Path(f"/dev/fd/{writing}"), "all of it")
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "all of it"


def test_what_is_redirected_is_appended_to_and_its_name_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("before\n")
    with file.open("a") as out:
        write_output(Path(f"/dev/fd/{out.fileno()}"), "one\n")
        write_output(Path(f"/proc/self/fd/{out.fileno()}"), "two\n")
        assert file.samefile(f"/dev/fd/{out.fileno()}")
    assert file.read_text() == "before\none\ntwo\n"


def test_places_are_looked_at_before_long_work(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "report.xml")
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "report.xml"):
        with pytest.raises(UserError, match="cannot be written"):
            require_writable(place)


def test_a_run_whose_report_could_not_be_written_is_not_begun(call: Call, home: Path) -> None:
    (home.parent / "file").touch()
    result = call("run", "--no-ui", "--junit", home.parent / "file" / "report.xml", "example2")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert not home.exists()


def test_metrics_and_reports_go_to_stdout_as_data_alone(call: Call, finished: Experiment) -> None:
    table = call("export", "last", "--metrics", "-")
    assert (table.exit_code, table.stderr) == (0, "")
    assert table.stdout.startswith("experiment,run,heads")
    report = call("run", "--no-ui", "--quiet", "--junit", "-", "example2")
    assert (report.exit_code, report.stderr) == (0, "")
    assert report.stdout.startswith("<?xml")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["ls"], ["schema", "events"]])
def test_a_full_disk_behind_stdout_is_no_success(
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
def test_a_stream_that_cannot_be_written_ends_the_run_but_not_its_log(home: Path) -> None:
    command = [sys.executable, "-m", "synergy_tui", "run", "--json", "example2"]
    with FULL.open("w") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == ExitCode.RUN_FAILED
    assert "cannot be written out: No space left on device" in done.stderr
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


def test_a_mistake_of_the_program_is_no_failed_expectation(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("synergy_tui.experiments.experiment.list_experiments", broken)
    result = call("ls")
    assert result.exit_code == ExitCode.RUN_FAILED
    assert "ZeroDivisionError: oh" in result.stderr
    assert "mistake of the program" in result.stderr


def test_a_reader_that_has_enough_is_no_failure(finished: Experiment) -> None:
    listing = '"$0" -m synergy_tui schema scenario | head -n 1; exit ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", listing, sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_is_the_command() -> None:
    assert shell("--version").stdout.startswith("synergy, version ")
