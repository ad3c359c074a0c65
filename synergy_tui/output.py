"""Writes the files that a person asked for by name: reports, exports, scenarios, JUnit."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from synergy_tui.errors import UserError


def write_output(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path``: all of it, or nothing and the file as it was before.

    Devices and pipes (``/dev/stdout``) are written straight. New files get the permissions that the
    user's umask says, unlike experiments, which are private.

    Raises
    ------
    UserError
        The file cannot be written: it says which one and why.
    """
    data = content.encode() if isinstance(content, str) else content

    def write(target: Path) -> None:
        target.write_bytes(data)

    write_output_with(path, write)


def write_output_with(path: Path, write: Callable[[Path], object]) -> None:
    """As :func:`write_output`, for libraries that write files themselves.

    Parameters
    ----------
    path
        Where the file shall be.
    write
        Called with the path to write to: a neighbour of ``path`` with the same suffix, which is
        renamed once it is complete.
    """
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            if path.is_dir():
                raise IsADirectoryError(21, "Is a directory")
            write(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".synergy-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        aside = Path(name)
        try:
            write(aside)
            aside.chmod(_mode(path))
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error


def _mode(path: Path) -> int:
    """Return the permissions the file has, or would get if it were created plainly."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
