"""The event log: one JSON object per line, appended whole, read incrementally.

Every view of an experiment is a view of this log. A line is written by a single ``write`` on a
descriptor opened for appending, so it survives ``kill -9`` of the worker once the call returns;
it is forced to disk (``fsync``) after the kinds in :data:`SYNCED`, which is what a power cut needs.
Numbers that JSON lacks are the strings ``"inf"``, ``"-inf"`` and ``"nan"``; readers get floats.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from synergy_tui.errors import UserError
from synergy_tui.experiments.shapes import VERSION, Event, fitting
from synergy_tui.files import open_own

SYNCED = frozenset(
    {"checkpoint", "run_finished", "run_failed", "run_stopped", "experiment_finished"}
)

# A line longer than this is not ours: the reader skips it instead of keeping it in memory.
LONGEST_LINE = 64 * 2**20
LARGEST_NUMBER = sys.float_info.max
"""Readers of JSON refuse integers beyond it."""
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
# What people write stays as written, even when it reads like a number.
_TEXT_FIELDS = frozenset(
    {"run", "message", "reason", "that", "because", "id", "scenario", "title", "note", "verdict"}
    | {"name", "task", "device", "path", "attention", "started", "convention"}
)


def plain(value: Any) -> Any:
    """Return ``value`` for JSON: numpy becomes lists, non-finite floats become strings."""
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise ValueError("an event cannot contain an integer that no float can hold")
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars, without importing numpy
        return plain(value.tolist())
    raise TypeError(f"an event cannot contain a {type(value).__name__}")


def revive(value: Any) -> Any:
    """Undo :func:`plain` for the strings that stand for non-finite numbers."""
    if isinstance(value, str):
        return _SPECIAL.get(value, value)
    if isinstance(value, list):
        return [revive(item) for item in value]
    if isinstance(value, dict):
        return {
            key: item if key in _TEXT_FIELDS and isinstance(item, str) else revive(item)
            for key, item in value.items()
        }
    return value


def encode(event: Mapping[str, Any]) -> bytes:
    """Return the event as one line of strict JSON, newline included.

    What is not printable is escaped, so that a terminal can show the line.
    """
    value = plain(event)
    try:
        line = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        if line.isascii() and b"\x7f" not in line:
            return line
        text = line[:-1].decode()
    except TypeError:
        # Integers beyond 64 bits, and halves of surrogate pairs (file names that are not UTF-8).
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not text.isprintable():
        text = "".join(map(_printable, text))
    return text.encode() + b"\n"


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return "�"
    return f"\\u{code:04x}" if code <= 0xFFFF else json.dumps(character)[1:-1]


def _is_event(value: Any) -> bool:
    return type(value) is dict and type(value.get("kind")) is str


def decode(line: bytes) -> Event:
    """Return the event of one line; a `ValueError` says that it is not an object with a kind."""
    event: Event = orjson.loads(line)
    if not _is_event(event):
        raise ValueError("not an event")
    if b'inf"' in line or b'"nan"' in line:
        event = revive(event)
    return event


class EventWriter:
    """Appends events to a log; safe to call from several threads.

    An incomplete last line, left by a process that was killed, is cut off first, so the caller must
    hold the experiment's lock. ``listener`` is called with each event after it is in the log. Event
    times continue from the last one in the log, whatever the wall clock says, so they never
    decrease across resumes.
    """

    def __init__(
        self,
        path: Path,
        listener: Callable[[Event], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._descriptor = open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        self._listener = listener
        self._clock = clock
        self._guard = threading.Lock()
        self._cut_torn_line()
        self._offset = self._last_time() - clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the experiment started, without the time between resumes."""
        return self._clock() + self._offset

    def write(self, kind: str, *, run: str | None = None, **fields: Any) -> Event:
        """Append one event and return it.

        After an `OSError` (a full disk) nothing of the line is left in the log.
        """
        with self._guard:
            event: Event = {"v": VERSION, "t": round(self.elapsed, 4), "kind": kind}
            if run is not None:
                event["run"] = run
            event.update(fields)
            self._append(event)
        if self._listener is not None:
            self._listener(event)
        return event

    def append(self, event: Mapping[str, Any]) -> None:
        """Append an event that was made elsewhere (a worker on another machine), its time kept."""
        with self._guard:
            self._append(event)
        if self._listener is not None:
            self._listener(dict(event))

    def _append(self, event: Mapping[str, Any]) -> None:
        line = encode(event)
        before = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
        except OSError:
            os.ftruncate(self._descriptor, before)
            raise
        if written < len(line):
            # The disk filled up in the middle of the line; half a line must not stay behind.
            os.ftruncate(self._descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if event["kind"] in SYNCED:
            os.fsync(self._descriptor)

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        end = size
        while end > 0:
            start = max(0, end - 65536)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._descriptor, end)

    def _last_time(self) -> float:
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - 2**20)
        for line in reversed(os.pread(self._descriptor, size - start, start).splitlines()):
            try:
                return float(decode(line)["t"])
            except (ValueError, KeyError, TypeError):
                continue
        return 0.0

    def close(self) -> None:
        """Force the log to disk and close it."""
        if self._descriptor >= 0:
            try:
                os.fsync(self._descriptor)
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EventReader:
    """Reads a log that may still be growing, from where it last stopped.

    Only whole lines are consumed: what follows the last newline is looked at again next time, so a
    torn line is never half read. Lines that are not events, or not of the shape that their kind has
    (`shapes`), are skipped and counted. A `UserError` says that the log is of a later version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.offset = 0  # bytes consumed
        self.garbled = 0  # lines skipped
        self._skipping = False

    def read(self, limit_bytes: int = 4 * 2**20) -> list[Event]:
        """Return the next events, out of at most about ``limit_bytes`` of the log.

        An empty list means that there is nothing new (or no log yet).
        """
        try:
            descriptor = open_own(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            chunk = os.pread(descriptor, limit_bytes, self.offset)
            while b"\n" not in chunk and len(chunk) >= limit_bytes:
                if len(chunk) >= LONGEST_LINE:
                    self._skipping = True
                    self.offset += len(chunk)
                    chunk = b""
                more = os.pread(descriptor, limit_bytes, self.offset + len(chunk))
                if not more:
                    break
                chunk += more
        finally:
            os.close(descriptor)
        end = chunk.rfind(b"\n") + 1
        self.offset += end
        return self._parse(chunk[:end])

    def read_all(self) -> Iterator[Event]:
        """Yield every event that is in the log now."""
        before = -1
        while self.offset != before:
            before = self.offset
            yield from self.read()

    def _parse(self, data: bytes) -> list[Event]:
        """Return the events of whole lines, each ended by a newline."""
        if self._skipping and data:
            data = data[data.find(b"\n") + 1 :]
            self._skipping = False
            self.garbled += 1
        if not data:
            return []
        special = b'inf"' in data or b'"nan"' in data
        if not special:
            try:
                # One call for the whole batch, without touching a line: a fifth of the time.
                batch = orjson.loads(b"[" + data[:-1].replace(b"\n", b",") + b"]")
            except ValueError:
                batch = []
            if len(batch) == data.count(b"\n") and all(map(_is_event, batch)):
                events = _accepted(batch, self.path)
                self.garbled += len(batch) - len(events)
                return events
        lines = data[:-1].split(b"\n")
        events = _accepted(list(_decodable(lines)), self.path)
        self.garbled += sum(1 for line in lines if line) - len(events)
        return events


def _accepted(events: list[Event], log: Path) -> list[Event]:
    """Return the events of the right shape; a `UserError` where one is of a later version."""
    kept = fitting(events)
    if len(kept) < len(events):
        for event in events:
            version = event.get("v")
            if type(version) is int and version > VERSION:
                raise UserError(
                    f"{log} was written by a later version of Synergy (events of version "
                    f"{version}; this one reads version {VERSION}).",
                    hint="Read it with that version or a later one: `synergy --version`.",
                )
    return kept


def _decodable(lines: Iterable[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            yield decode(line)
        except ValueError:
            continue


def events_from_end(path: Path, size: int = 64 * 1024) -> Iterator[Event]:
    """Yield the events in the last ``size`` bytes of a log, newest first; none without a log.

    Lines are decoded as they are asked for: most callers need the last few only.
    """
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - size)
            file.seek(start)
            data = file.read(size)
    except FileNotFoundError:
        return
    for line in reversed(data.split(b"\n")[1 if start else 0 : -1]):
        yield from _accepted(list(_decodable([line])), path)


def status_of(exit_code: int | None) -> str:
    """Return the state that a closing exit code means: finished, failed or stopped."""
    if exit_code in (0, 1):
        return "finished"
    return "stopped" if exit_code in (130, 143) else "failed"
