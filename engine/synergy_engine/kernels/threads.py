"""Plain threads over kernels that release the GIL.

Numba's own threading layers are not used: `workqueue` aborts the process when two threads call
it, `omp` breaks forked children, and both choose at import time. A Python thread that calls a
`nogil` kernel on a range of independent systems has none of that, hears Ctrl-C between chunks,
and, because every range is computed by the same serial code, gives the same bits whatever the
number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from synergy_engine.errors import whole_number

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_threads: int | None = None


def threads() -> int:
    """How many threads the engine uses: `set_threads`, else $NUMBA_NUM_THREADS, else the cores."""
    if _threads is not None:
        return _threads
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        return os.cpu_count() or 1


def set_threads(count: int | None) -> None:
    """Use ``count`` threads from now on; ``None`` returns to the default.

    The default is ``$NUMBA_NUM_THREADS``, else the cores this process may use. Results have the
    same bits whatever the number. `OptionError` when it is not a whole number of at least 1.
    """
    global _threads, _pool
    if count is not None:
        count = whole_number("threads", count, 1)
    with _lock:
        _threads, _pool = count, None


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(threads(), thread_name_prefix="engine")
        return _pool


def _forget_pool() -> None:
    """Drop what a forked child inherits: a pool whose threads do not exist there."""
    global _pool, _lock
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def over_ranges(
    task: Callable[[int, int], object], count: int, work: float, *, pieces: int | None = None
) -> None:
    """Call ``task(low, high)`` on ranges that cover ``0..count-1``, in threads when it pays.

    ``work`` is the rough number of multiplications of all systems together: below about a quarter
    of a million (a tenth of a millisecond), handing work to a thread costs more than doing it.
    ``pieces`` is how many ranges to cut; by default a few more than threads, so that one slow
    system does not hold everything up, but none of less than two million multiplications: handing
    over a range costs microseconds.
    """
    # The work first: asking how many threads there may be takes microseconds.
    workers = 1 if work < 250_000 else min(threads(), count)
    if workers < 2:
        task(0, count)
        return
    pieces = min(count, pieces or max(workers, min(8 * workers, int(work / 2_000_000))))
    edges = [count * k // pieces for k in range(pieces + 1)]
    ranges = iter(list(pairwise(edges)))  # next() on a list iterator is atomic

    def take() -> None:
        for low, high in ranges:
            task(low, high)

    helpers = [_shared_pool().submit(take) for _ in range(workers - 1)]
    try:
        take()
    finally:
        # After an error or Ctrl-C no thread starts another range; those under way must end before
        # the caller's arrays may go.
        for _ in ranges:
            pass
        errors = [helper.exception() for helper in helpers if not helper.cancel()]
    for error in errors:
        if error is not None:
            raise error
