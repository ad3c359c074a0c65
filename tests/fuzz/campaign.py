"""Feeds damaged files to a reader: those that lead to something new are damaged further."""

from __future__ import annotations

import contextlib
import hashlib
import re
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from synergy_engine import limits
from tests.fuzz.mutate import mutate
from tests.fuzz.readers.reader import Reader

PATIENCE = 20.0
"""Seconds of processor time after which reading a file counts as hanging."""
MEMORY = 1 << 30
"""Bytes that the engine finds available: what claims more must be refused, not allocated."""
MOST_KEPT = 400
LONGEST = 20_000
"""Characters of a message."""


class Hung(BaseException):
    """Reading took longer than `PATIENCE`."""


@dataclass
class Tally:
    """What came of a number of inputs."""

    reader: str
    inputs: int
    values: int  # read
    outcomes: int  # different from one another
    failures: int
    slowest: float  # seconds
    bytes_more: int  # resident at the highest, beyond what there was before
    new_failures: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.reader:<24} {self.inputs:>5} inputs, {self.values:>5} read, "
            f"{self.outcomes:>4} outcomes, slowest {self.slowest:.2f} s, "
            f"{self.bytes_more / 2**20:.0f} MiB more, {self.failures} failures"
        )


def fuzz(reader: Reader, seed: str, count: int, keep: Path | None = None) -> Tally:
    """Feed ``count`` damaged files to a reader; the same ``seed`` gives the same files.

    The first failure of each kind is written to the folder ``keep``, or raised without one.
    """
    rng = Random(f"{reader.name}:{seed}")
    corpus = list(reader.files())
    originals, seen, failed = len(corpus), set(), set()
    tally = Tally(reader.name, 0, 0, 0, 0, 0.0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, bounded():
        path = reader.prepare(Path(folder))
        for _ in range(count):
            data = mutate(rng.choice(corpus), reader.suffix, corpus[:originals], rng)
            tally.inputs += 1
            path.write_bytes(data)
            started = time.process_time()
            try:
                outcome = outcome_of(reader, path, rng)
            except (Exception, Hung) as error:
                tally.failures += 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"
                if keep is None:
                    _write(Path(tempfile.gettempdir()), reader, kind, data)
                    raise
                if kind not in failed:
                    failed.add(kind)
                    tally.new_failures += _write(keep, reader, kind, data)
                continue
            finally:
                tally.slowest = max(tally.slowest, time.process_time() - started)
            tally.values += outcome.startswith("read")
            if outcome not in seen:
                seen.add(outcome)
                if len(corpus) < originals + MOST_KEPT:
                    corpus.append(data)
    tally.outcomes = len(seen)
    tally.bytes_more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return tally


def outcome_of(reader: Reader, path: Path, rng: Random) -> str:
    """What reading the file came to, without what differs from file to file."""
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        return f"read {reader.read(path, rng)}"
    except reader.errors as error:
        text = str(error)
        if not text.strip() or len(text) > LONGEST:
            raise RuntimeError(f"a message of {len(text):,} characters") from error
        plain = re.sub(r"'[^']*'|\"[^\"]*\"|[\d.,]+", "#", text.replace(str(path.parent), ""))
        return f"{type(error).__name__} {plain[:120]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Interrupt what hangs, and let the engine believe in a small machine."""

    def interrupt(*_: object) -> None:
        raise Hung(f"more than {PATIENCE:g} s of processor time")

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        with (
            mock.patch.object(limits, "available_bytes", return_value=MEMORY),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", RuntimeWarning)
            warnings.filterwarnings("ignore", "Duplicate name|Detected pickle protocol")
            yield
    finally:
        signal.signal(signal.SIGPROF, before)


def _write(folder: Path, reader: Reader, kind: str, data: bytes) -> bool:
    """Keep an input that failed, with its traceback, unless one of its kind is there."""
    if list(folder.glob(f"{reader.name}-{kind}-*")):
        return False
    name = f"{reader.name}-{kind}-{hashlib.sha256(data).hexdigest()[:8]}"
    (folder / f"{name}{reader.suffix}").write_bytes(data)
    (folder / f"{name}.trace").write_text(traceback.format_exc())
    return True
