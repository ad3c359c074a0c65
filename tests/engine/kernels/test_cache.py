"""Compiled kernels must not outlive the sources they were made of."""

from __future__ import annotations

from pathlib import Path

from synergy_engine.kernels.cache import forget_stale_kernels


def compiled(folder: Path) -> list[Path]:
    """The files that Numba keeps of one kernel: an index, and the machine code it names."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"caller.kernel-1.py311.{end}" for end in ("nbi", "1.nbc")]
    for file in files:
        file.touch()
    return files


def left(files: list[Path]) -> list[Path]:
    return [file for file in files if file.exists()]


def test_a_changed_callee_forgets_its_callers(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text("one")
    callee = tmp_path / "callee.py"
    callee.write_text("two")
    forget_stale_kernels(tmp_path)
    files = compiled(tmp_path / "__pycache__")
    forget_stale_kernels(tmp_path)
    assert left(files) == files
    callee.write_text("other")
    forget_stale_kernels(tmp_path)
    assert not left(files)


def test_kernels_of_unknown_sources_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text("one")
    files = compiled(tmp_path / "__pycache__")
    forget_stale_kernels(tmp_path)
    assert not left(files)


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text("one")
    (tmp_path / "__pycache__").write_text("a file where the folder should be")
    forget_stale_kernels(tmp_path)
    assert (tmp_path / "__pycache__").is_file()


def test_kernels_that_are_kept_elsewhere_are_forgotten_too(tmp_path: Path) -> None:
    sources, elsewhere = tmp_path / "read-only", tmp_path / "cache"
    sources.mkdir()
    elsewhere.mkdir()
    source = sources / "caller.py"
    source.write_text("one")
    forget_stale_kernels(sources, elsewhere)
    files = compiled(elsewhere)
    forget_stale_kernels(sources, elsewhere)
    assert left(files) == files
    source.write_text("other")
    forget_stale_kernels(sources, elsewhere)
    assert not left(files)
    assert [path.name for path in sources.iterdir()] == ["caller.py"]
