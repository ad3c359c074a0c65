"""Files are written whole or not at all, wherever the shell sends them."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from synergy_tui.errors import UserError
from synergy_tui.files import (
    bytes_in,
    clear_leftovers,
    make_whole,
    remove_whole,
    require_writable,
    write_output,
    write_output_with,
)


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
    (tmp_path / "elsewhere").mkdir()
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
    require_writable(tmp_path / "report.xml")
    with pytest.raises(UserError, match="there is no folder") as caught:
        require_writable(tmp_path / "a new" / "report.xml")
    assert f"mkdir -p '{tmp_path / 'a new'}'" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "report.xml"):
        with pytest.raises(UserError, match="cannot be written"):
            require_writable(place)


def fill(folder: Path) -> None:
    (folder / "scenario.toml").write_text("whole")


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        fill(folder)
        assert folder.name.startswith("."), "not under its name before it is whole"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_whole([tmp_path / "one"], interrupted)
    assert list(tmp_path.iterdir()) == []
    made = [make_whole([tmp_path / "one", tmp_path / "two"], fill) for _ in range(2)]
    assert made == [tmp_path / "one", tmp_path / "two"]
    assert sorted(tmp_path.rglob("*.toml")) == [each / "scenario.toml" for each in made]
    with pytest.raises(UserError, match="exists already"):
        make_whole([tmp_path / "one"], fill)


def test_leftovers_go_but_not_what_is_being_made(tmp_path: Path) -> None:
    names = [".making-old", ".making-new", ".making-busy", ".removing-a", "kept", ".mine"]
    for name in names:
        (tmp_path / name / "points").mkdir(parents=True)
        (tmp_path / name / "points" / "file").touch()
    for name in (".making-old", ".making-busy"):
        for path in (tmp_path / name / "points", tmp_path / name):
            os.utime(path, (1, 1))
    os.utime(tmp_path / ".making-busy" / "points")  # a sweep of many points takes its time
    clear_leftovers(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".making-busy", ".making-new", ".mine", "kept",
    ]  # fmt: skip
    clear_leftovers(tmp_path / "none")


@pytest.mark.parametrize("name", [".removing-one", ".making-one"])
def test_a_link_or_pipe_in_place_of_leftovers_goes_and_nothing_behind_it(
    tmp_path: Path, name: str
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside, root):
        folder.mkdir()
    (outside / "precious").touch()
    for make in (
        lambda path: path.symlink_to(outside),
        lambda path: path.symlink_to(tmp_path / "nowhere"),
        os.mkfifo,
    ):
        make(root / name)
        os.utime(root / name, (1, 1), follow_symlinks=False)
        clear_leftovers(root)
        assert list(root.iterdir()) == []
        make(root / ".removing-one")
        (root / "one").mkdir()
        remove_whole(root / "one")
        assert list(root.iterdir()) == []
    assert (outside / "precious").exists()


def test_two_that_remove_the_same_both_succeed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def beaten(folder: Path, **_: object) -> None:
        remove(folder)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(shutil, "rmtree", beaten)
    (tmp_path / "one").mkdir()
    (tmp_path / ".removing-one").mkdir()
    remove_whole(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "out").write_bytes(bytes(1000))
    (tmp_path / "in" / "a").write_bytes(bytes(10))
    (tmp_path / "in" / "deep" / "b").write_bytes(bytes(200))
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    link = (tmp_path / "in" / "link").lstat().st_size
    assert bytes_in(tmp_path / "in") == 210 + link
    assert bytes_in(tmp_path / "none") == 0
