"""Reading text of bounded size, and writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from synergy_engine.errors import GraphFileError
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.sparse import MAX_NODES

MEMORY_PER_BYTE = 12
"""What a byte of a text file may take once parsed (measured on edge lists of short names)."""


def size_of(path: Path) -> int:
    """Size of a file in bytes; `GraphFileError` where there is none, or it may not be read."""
    try:
        if not path.is_file():
            raise GraphFileError(f"{path}: there is no such file")
        return path.stat().st_size
    except OSError as error:
        raise GraphFileError(f"{path}: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file, refused when it would not fit in memory once parsed."""
    refuse_if_too_large(MEMORY_PER_BYTE * size_of(path), f"{path}, read")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GraphFileError(f"{path}: not UTF-8 text (byte {error.start:,})") from None
    except OSError as error:
        raise GraphFileError(f"{path}: {error.strerror or error}") from None


@contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path`` that takes its place at the end: the old one, or the whole new one."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as out:
                yield out
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GraphFileError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, as `written_aside` does."""
    with written_aside(path) as out:
        for line in lines:
            try:
                out.write(line.encode("utf-8"))
            except UnicodeEncodeError as error:
                raise GraphFileError(f"{path}: the name {error.object!r} is not text") from None


def check_shape(path: Path, rows: int, columns: int) -> None:
    """Refuse matrices that are not square, or whose nodes would not fit into memory."""
    if rows != columns:
        raise GraphFileError(f"{path}: the matrix is not square ({rows:,} × {columns:,})")
    if not 1 <= rows <= MAX_NODES:
        raise GraphFileError(f"{path}: a graph has 1 to {MAX_NODES:,} nodes, not {rows:,}")
    refuse_if_too_large(40 * rows, f"{path}: a graph of {rows:,} nodes")
