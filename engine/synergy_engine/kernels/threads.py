"""Plain threads over kernels that release the GIL.

Numba's own threading layers are not used: `workqueue` aborts the process when two threads call
it, `omp` breaks forked children, and both choose at import time. A Python thread that calls a
`nogil` kernel on a range of independent systems has none of that, hears Ctrl-C between chunks,
and, because every range is computed by the same serial code, gives the same bits whatever the
number of threads.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable
from itertools import pairwise
from queue import SimpleQueue
from threading import RLock
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.arrayobj import make_array

from synergy_engine.errors import whole_number
from synergy_engine.kernels.lanes import intrinsic

GLANCES = 200_000
"""How often to look at a helper before sleeping until it ends: for some 50 µs."""

_threads: int | None = None
_calls: SimpleQueue = SimpleQueue()
_helping: list[int] = []
"""The helpers' thread ids. One that an interrupt left out helps nevertheless."""


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
    global _threads
    _threads = None if count is None else whole_number("threads", count, 1)


def _help(calls: SimpleQueue) -> None:
    while True:
        gate, ended, take_too = calls.get()
        if gate.acquire(blocking=False):  # otherwise, its caller no longer needs help
            take_too()
            gate.release()
            ended[0] = 1
        del take_too  # it holds its caller's arrays


@intrinsic
def _glance(typing: Any, flag: Any) -> Any:
    """The first entry of an array of int64, as other threads last wrote it."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        data = make_array(sig.args[0])(ctx, b, args[0]).data
        return b.load_atomic(data, "acquire", 8)

    return types.int64(flag), generate


@njit(cache=True, nogil=True)
def _watch(flag, glances):
    """Wait until ``flag`` is set, but not for longer than so many glances."""
    for _ in range(glances):
        if _glance(flag) != 0:
            return


def _forget_helpers() -> None:
    """In a forked child, where the helpers do not exist."""
    global _calls
    _calls = SimpleQueue()
    _helping.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


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
    ranges = list(pairwise(edges))[::-1]

    def take() -> None:
        while ranges:
            try:
                low, high = ranges.pop()  # atomic, also without the interpreter's lock
            except IndexError:  # another thread has taken the last one
                return
            task(low, high)

    # Ctrl-C can arrive between any two calls, also inside those of `concurrent.futures` and
    # `threading.Thread`, which then forget a thread or keep a lock. So only single calls into C
    # hand over work and wait for it: a helper works while it holds its gate, and once the caller
    # has the gate, that helper does nothing or has not come.
    gates = [(RLock(), np.zeros(1, dtype=np.int64)) for _ in range(workers - 1)]
    errors: list[BaseException] = []

    def take_too() -> None:
        try:
            take()
        except BaseException as error:
            errors.append(error)

    def close() -> None:
        ranges.clear()
        for gate, ended in gates:
            # Helpers mostly end soon after, and being woken would take longer.
            if not gate.acquire(blocking=False):
                _watch(ended, GLANCES)
                gate.acquire()  # for good; may be repeated

    try:
        while len(_helping) < len(gates):
            _helping.append(_thread.start_new_thread(_help, (_calls,)))
        for gate, ended in gates:
            _calls.put((gate, ended, take_too))
        take()
        close()
    finally:
        close()  # Ctrl-C can arrive in the first, too
    try:
        if errors:
            raise errors[0]
    finally:
        errors.clear()  # an error holds this frame, and what it names
