"""Files are written whole or not at all, wherever the shell sends them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from synergy_tui.errors import UserError
from synergy_tui.files import require_writable, write_output, write_output_with


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
