"""What long or large computations ask first: is there memory, and does anybody want it stopped?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from synergy_engine.errors import Cancelled, TooLargeError

ALWAYS_FITS = 1 << 24
"""Bytes that are not worth asking for: reading /proc takes longer than a small measure."""

Watcher = Callable[[str, int, int | None], object]

_watcher: ContextVar[Watcher | None] = ContextVar("engine_watcher", default=None)


def available_bytes() -> int:
    """Memory that can be taken without swapping, in bytes; 4 GiB where that is unknown."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 4 << 30


def refuse_if_too_large(needed: int, what: str) -> None:
    """Raise `TooLargeError` when ``needed`` bytes are more than there are.

    >>> refuse_if_too_large(1000, "a small array")
    >>> refuse_if_too_large(10**18, "10^17 edges")
    Traceback (most recent call last):
        ...
    synergy_engine.errors.TooLargeError: 10^17 edges would take 931,322,574.6 GiB; ...
    """
    if needed > ALWAYS_FITS and needed > (available := available_bytes()):
        raise TooLargeError(
            f"{what} would take {needed / 2**30:,.1f} GiB; "
            f"this machine has {available / 2**30:,.1f} GiB available"
        )


def soon(nodes: int) -> int:
    """Steps that settle what can be settled soon: a line needs 2n, so this is a few n."""
    return max(256, 4 * nodes)


@contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Have ``watcher(stage, done, total)`` called while the engine works in this thread.

    Parameters
    ----------
    watcher : callable
        Gets what is being done, how much of it is done, and how much there is (``None`` when
        that cannot be known, as for steps until a certificate closes). Returning ``False`` stops
        the computation; it then raises :class:`~synergy_engine.errors.Cancelled`.

    Examples
    --------
    >>> with watch(lambda stage, done, total: done < 3):
    ...     for step in range(10):
    ...         report("counting", step, 10)
    Traceback (most recent call last):
        ...
    synergy_engine.errors.Cancelled: stopped while counting (3 of 10)
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def report(stage: str, done: int, total: int | None = None) -> None:
    """Report to the watcher of this thread, if there is one, and stop when it returns ``False``."""
    watcher = _watcher.get()
    if watcher is not None and watcher(stage, done, total) is False:
        reached = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        raise Cancelled(f"stopped while {stage} ({reached})")
