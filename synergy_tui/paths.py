"""Where Synergy keeps things, and how it writes them: private modes, whole files or none."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from synergy_tui.errors import UserError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


def home(out: str | Path | None = None) -> Path:
    """Return the folder that experiments live in; it need not exist yet.

    Parameters
    ----------
    out
        What ``--out`` gave; else the environment's ``SYNERGY_HOME``, else the platform's user data
        folder.

    Raises
    ------
    UserError
        No folder can be told, because the user has no home.
    """
    if out is not None:
        return expand(out).absolute()
    chosen = os.environ.get("SYNERGY_HOME")
    if chosen:
        return expand(chosen).absolute()
    import platformdirs

    try:
        folder = platformdirs.user_data_path("synergy", appauthor=False)
    except (RuntimeError, KeyError) as error:
        raise UserError(
            "There is no home directory to keep experiments in.", hint=_ELSEWHERE
        ) from error
    if not folder.is_absolute() or "~" in folder.parts:
        raise UserError("There is no home directory to keep experiments in.", hint=_ELSEWHERE)
    return folder


_ELSEWHERE = "Name a folder with --out DIR or the environment variable SYNERGY_HOME."


def make_private(folder: Path) -> Path:
    """Make ``folder`` and its missing parents, readable by their owner only.

    Raises
    ------
    UserError
        It cannot be made or written.
    """
    missing: list[Path] = []
    step = folder
    try:
        while not step.exists():
            missing.append(step)
            step = step.parent
        for each in reversed(missing):
            each.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        if not folder.is_dir():
            raise NotADirectoryError(20, "Not a directory", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
    except OSError as error:
        raise UserError(
            f"Experiments cannot be kept in {folder}: {error.strerror or error}.", hint=_ELSEWHERE
        ) from error
    return folder


def expand(path: str | Path) -> Path:
    """Return ``path`` with a leading ``~`` replaced; as it is where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def require_file(path: str | Path) -> None:
    """Make sure that ``path`` is an ordinary file, before anything opens it.

    A pipe would be waited for, and a device read, without end.

    Raises
    ------
    UserError
        It is not there, or something else.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "a pipe or device"
        raise UserError(f"{path} is {what}, not a file.")


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file aside and rename it into place, so that readers see all of it or none."""
    data = content.encode() if isinstance(content, str) else content
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:  # mkstemp has made it 0600
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
