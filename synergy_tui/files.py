"""Where Synergy keeps files, and how it writes them: private modes, whole files or none."""

from __future__ import annotations

import contextlib
import datetime
import errno
import itertools
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from synergy_tui.errors import ExitCode, UserError

MAKING = ".making-"
REMOVING = ".removing-"
# Longer than writing one file of a folder that is being made takes.
MAKING_SECONDS = 600.0
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
STDOUT = Path("-")
# Of files that are small: nobody may make us read the whole of a disk.
LARGEST_READ = 64 * 2**20
# Links to whatever the shell opened, which may well be an ordinary file.
_DESCRIPTORS = ("/dev/stdout", "/dev/stderr", "/dev/fd", "/proc")
_ELSEWHERE = "Name a folder with --out DIR or the environment variable SYNERGY_HOME."


def home(out: str | Path | None = None) -> Path:
    """Return the folder of the experiments; it need not exist yet.

    ``out`` is what ``--out`` gave; else the environment's ``SYNERGY_HOME``, else the platform's
    user data folder.
    """
    if out is not None:
        return expand(out).absolute()
    chosen = os.environ.get("SYNERGY_HOME")
    if chosen:
        return expand(chosen).absolute()
    import platformdirs

    with contextlib.suppress(RuntimeError, KeyError):
        folder = platformdirs.user_data_path("synergy", appauthor=False)
        if folder.is_absolute() and "~" not in folder.parts:
            return folder
    raise UserError("There is no home directory to keep experiments in.", hint=_ELSEWHERE)


def reference(path: Path) -> str:
    """What a command can be given to find a directory: its name where it lies in `home`, else its
    path, quoted for the shell.
    """
    with contextlib.suppress(UserError):
        if path.parent == home():
            return path.name
    return shlex.quote(str(path))


def require_parent(path: Path) -> None:
    """Make sure that ``path``, which a command line names, lies in a folder that exists.

    Only its last part is ever made: a mistyped path does not become a tree of folders.
    """
    parent = path.parent
    if not parent.exists():
        raise UserError(
            f"{path} cannot be made: there is no folder {parent}.",
            hint=f"Make it with `mkdir -p {shlex.quote(str(parent))}` if that is the place.",
        )


def make_folder(folder: Path) -> None:
    """Make a folder that a command line names, unless it is there."""
    require_parent(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror or error}.") from error


def make_private(folder: Path) -> Path:
    """Make ``folder`` and its missing parents, readable by their owner only."""
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


def make_home(out: str | Path | None) -> Path:
    """Make the folder of the experiments; see `home`, and `require_parent` where ``out`` is given.

    What the environment or the platform names is made with its parents, as on a new machine.
    """
    folder = home(out)
    if out is not None:
        require_parent(folder)
    return make_private(folder)


def make_whole(candidates: Iterable[Path], fill: Callable[[Path], object]) -> Path:
    """Make the first of some private folders that does not exist yet, with what ``fill`` writes.

    It is filled aside and then renamed: a process that is killed leaves nothing under its name,
    and what it does leave, `clear_leftovers` finds.
    """
    for path in candidates:
        aside = path.with_name(MAKING + path.name)
        try:
            aside.mkdir(mode=DIRECTORY_MODE)
        except FileExistsError:
            taken = path
            continue
        except OSError as error:
            raise UserError(f"{path} cannot be made: {error.strerror or error}.") from error
        try:
            if not os.path.lexists(path):
                fill(aside)
                aside.rename(path)
                return path
            taken = path
        except OSError as error:
            raise UserError(
                f"{path} cannot be written: {error.strerror or error}.",
                hint="Free some space, or choose another folder with --out DIR.",
                exit_code=ExitCode.RUN_FAILED,
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    raise UserError(f"{taken} exists already.", hint="Choose another name.")


def remove_whole(folder: Path) -> None:
    """Remove a folder, set aside first, so that no half of it is ever found under its name."""
    aside = folder.with_name(REMOVING + folder.name)
    _remove(aside)  # of a process that was killed
    folder.rename(aside)
    _remove(aside)


def clear_leftovers(root: Path) -> None:
    """Remove what processes that were killed have left half made or half removed in ``root``."""
    for path in [*root.glob(f"{REMOVING}*"), *root.glob(f"{MAKING}*")]:
        with contextlib.suppress(OSError):
            inside = path.iterdir() if path.is_dir() and not path.is_symlink() else ()
            newest = max(each.lstat().st_mtime for each in (path, *inside))
            if path.name.startswith(REMOVING) or time.time() - newest > MAKING_SECONDS:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder, or what stands in its place; others may be removing it at the same time."""
    while os.path.lexists(path):
        with contextlib.suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def bytes_in(folder: Path) -> int:
    """Return the size of all files in a folder; links are not followed."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += bytes_in(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def stamped(root: Path, name: str) -> Iterator[Path]:
    """Folders of ``root`` called after date, time and ``name``, numbered from the second on."""
    slug = re.sub(r"[^\w-]+", "_", name)
    stem = f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}-{slug}"
    yield root / stem
    for count in itertools.count(2):
        yield root / f"{stem}-{count}"


def expand(path: str | Path) -> Path:
    """Return ``path`` with a leading ``~`` replaced; as it is where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def open_own(path: Path, flags: int) -> int:
    """Return the descriptor of a file in a folder of ours, made private where ``flags`` make it.

    An `OSError` says that it is a link, which may lead anywhere, or not an ordinary file: opening a
    pipe may wait, and reading a device may run, without end.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, FILE_MODE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not an ordinary file", str(path))
    return descriptor


def read_own(path: Path, most: int = LARGEST_READ) -> bytes:
    """Return what a file in a folder of ours contains; see `open_own`."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"Larger than {most:,} bytes", str(path))
    return data


def damage(folder: Path, files: Iterable[str], folders: Iterable[str] = ()) -> str:
    """Say what in ``folder`` is not what its name promises, or nothing; it may be absent.

    Links count: what is written or read through one may lie anywhere.
    """
    for names, is_right, right in (
        (files, stat.S_ISREG, "a file"),
        (folders, stat.S_ISDIR, "a directory"),
    ):
        for name in names:
            try:
                mode = (folder / name).lstat().st_mode
            except FileNotFoundError:
                continue
            except OSError as error:
                return f"{name} cannot be read ({error.strerror or error})"
            if not is_right(mode):
                return f"{name} is {_kind(mode)}, not {right}"
    return ""


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISREG(mode):
        return "a file"
    return "a directory" if stat.S_ISDIR(mode) else "a pipe or device"


def read_text(path: Path) -> str:
    """Return the text of an ordinary file; a `UserError` says that it is something else."""
    require_file(path)
    with path.open("rb") as file:
        data = file.read(LARGEST_READ + 1)
    if len(data) > LARGEST_READ:
        raise UserError(f"{path} is larger than {LARGEST_READ:,} bytes.")
    return data.decode()


def require_file(path: str | Path) -> None:
    """Make sure that ``path`` is an ordinary file, before anything opens it.

    Opening a pipe may wait, and reading a device may run, without end.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is {_kind(mode)}, not a file.")


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file aside and rename it into place, so that readers see all of it or none."""
    data = content.encode() if isinstance(content, str) else content
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    # mkstemp has made it 0600.
    with _renamed(Path(aside), path), os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _renamed(aside: Path, path: Path) -> Iterator[None]:
    """Rename ``aside`` to ``path`` at the end; remove it when anything goes wrong."""
    try:
        yield
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_output(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path``: all of it, or nothing and the file as it was before.

    ``-`` is stdout. Devices and pipes are appended to, and so is what ``/dev/stdout`` leads to,
    wherever the shell has sent it. Of a link, the file that it names is written. New files get the
    permissions of the user's umask, unlike experiments, which are private.
    """
    data = content.encode() if isinstance(content, str) else content
    write_output_with(path, lambda target: target.write_bytes(data))


def write_output_with(path: Path, write: Callable[[Path], object]) -> None:
    """As :func:`write_output`, for libraries that write files themselves.

    ``write`` gets the path to write to: a neighbour of ``path`` with the same suffix, which is
    renamed once it is complete.
    """
    try:
        if is_stream(path):
            _append(path, write)
            return
        aside = _make_aside(path)
        with _renamed(aside, path.resolve()):
            write(aside)
            aside.chmod(_mode(path))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error


def require_writable(path: Path) -> None:
    """Make sure that :func:`write_output` will find a place for ``path``, before long work."""
    if is_stream(path):
        return
    try:
        _make_aside(path).unlink()
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error


def is_stream(path: Path) -> bool:
    """Whether ``path`` is a descriptor, device or pipe, which no rename may replace."""
    if path == STDOUT:
        return True
    descriptor = any(path.absolute().is_relative_to(place) for place in _DESCRIPTORS)
    return path.exists() and (descriptor or not (path.is_file() or path.is_dir()))


def _make_aside(path: Path) -> Path:
    """Return a new empty neighbour of the file that ``path`` names, with the same suffix."""
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory")
    folder = path.resolve().parent
    require_parent(folder / path.name)
    handle, name = tempfile.mkstemp(prefix=".synergy-", suffix=path.suffix, dir=folder)
    os.close(handle)
    return Path(name)


def _append(path: Path, write: Callable[[Path], object]) -> None:
    """Write aside, since not every library can write to a pipe, and pass all of it on."""
    with tempfile.TemporaryDirectory(prefix="synergy-") as folder:
        aside = Path(folder, path.name)
        write(aside)
        with aside.open("rb") as source:
            if path == STDOUT:
                shutil.copyfileobj(source, sys.stdout.buffer)
                sys.stdout.buffer.flush()
                return
            with path.open("ab") as target:
                shutil.copyfileobj(source, target)


def _mode(path: Path) -> int:
    """Return the permissions the file has, or would get if it were created plainly."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
