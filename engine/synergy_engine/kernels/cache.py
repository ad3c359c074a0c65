"""Compiled kernels on disk: where they are kept, and when they are out of date."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import numba


def ensure_cache_folder() -> None:
    """Give Numba a folder to cache in where it would find none and refuse to compile.

    Numba keeps compiled kernels beside their source or in the user's cache folder, unless
    ``NUMBA_CACHE_DIR`` names another. On a read-only installation with a read-only (or no) home,
    this points it to a folder of this user's own in the temporary directory.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or _writable(Path(__file__).parent / "__pycache__"):
        return
    with suppress(RuntimeError):  # there may be no home
        asked = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        if _writable(Path(asked).expanduser() / "numba"):
            return
    numba.config.CACHE_DIR = str(_private_folder())  # type: ignore[attr-defined]


def cache_folder() -> Path:
    """Return where Numba keeps the kernels of this package, which is its own choice."""
    return Path(str(numba.njit(cache=True)(_nothing).stats.cache_path))


def _nothing() -> None:
    """A kernel that is never compiled."""


def forget_stale_kernels(
    folder: Path = Path(__file__).parent, compiled: Path | None = None
) -> None:
    """Forget the kernels compiled of the sources in ``folder`` once any source has changed.

    They are in ``compiled``, by default beside their sources.

    Numba compiles a kernel again when its own file changes, but not when that of a kernel it calls
    does, though the code of the one is part of the other: after an update, results would be those
    of the old source.
    """
    compiled = compiled or folder / "__pycache__"
    digest = hashlib.blake2b()
    with suppress(OSError):
        for source in sorted(folder.glob("*.py")):
            digest.update(source.name.encode() + source.read_bytes())
        stamp = compiled / "kernels.stamp"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        for kept in compiled.glob("*.nb[ic]"):  # indices, and the machine code they name
            kept.unlink(missing_ok=True)
        compiled.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest())


def _writable(folder: Path) -> bool:
    """Whether files can be made in ``folder``, or the folder itself in what exists of it."""
    if not folder.is_absolute():
        return False
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _private_folder() -> Path:
    """A folder in the temporary directory that nobody else can write.

    Cached kernels are code: a folder that another user has made, or could fill, is not used.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"engine-kernels-{user}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and (found.st_uid == user or not hasattr(os, "getuid"))
        if mine and not found.st_mode & 0o022:
            return folder
    return Path(tempfile.mkdtemp(prefix="engine-kernels-"))
