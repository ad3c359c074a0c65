"""Watching long computations, and stopping them.

A computation on 10^8 edges takes seconds to minutes. Whoever waits for it opens a
:func:`watch` around any call of the engine; the engine reports between pieces of about
fifty milliseconds, and stops when the watcher says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import Cancelled

Watcher = Callable[[str, int, int | None], object]

_watcher: ContextVar[Watcher | None] = ContextVar("engine_watcher", default=None)


@contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Have ``watcher(stage, done, total)`` called while the engine works in this thread.

    Parameters
    ----------
    watcher : callable
        Gets what is being done, how much of it is done, and how much there is (``None`` when
        that cannot be known, as for steps until a certificate closes). Returning ``False`` stops
        the computation; it then raises :class:`~engine.errors.Cancelled`.

    Examples
    --------
    >>> with watch(lambda stage, done, total: done < 3):
    ...     for step in range(10):
    ...         report("counting", step, 10)
    Traceback (most recent call last):
        ...
    engine.errors.Cancelled: stopped while counting (3 of 10)
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def report(stage: str, done: int, total: int | None = None) -> None:
    """Tell the watcher of this thread, if there is one, and stop when it says so."""
    watcher = _watcher.get()
    if watcher is not None and watcher(stage, done, total) is False:
        reached = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        raise Cancelled(f"stopped while {stage} ({reached})")
