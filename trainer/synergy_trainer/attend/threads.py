"""Work in the threads that PyTorch computes in.

After each operation, a thread of GNU's OpenMP watches for the next one for milliseconds before it
sleeps. Threads of our own would have to share the cores with those watchers: on two cores, they
would get a half to three quarters of the time. So what is to run beside PyTorch's operations is
handed to its own team, which takes it up at once. That team is reached through libgomp's
`GOMP_parallel_start` and `GOMP_parallel_end`, between which the caller does its own share: what
compilers made of `#pragma omp parallel` for many years. Where PyTorch came with another OpenMP,
Python threads do the work.

Numba's own parallel loops are not used. Over GNU's OpenMP they are as fast, but only where Numba
finds the very library that PyTorch loaded, and they abort a forked child; over Numba's `workqueue`,
a step of the paper's sizes took a seventh longer, and two threads that train abort the process.
"""

from __future__ import annotations

import _thread
import ctypes
import os
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import RLock
from typing import Any

import torch

PIECES = 2
"""Per thread: a slow core then does one while a fast one does three. More would only pass the
interpreter's lock back and forth."""


def over_ranges(work: Callable[[int, int], object], count: int, threaded: bool = True) -> None:
    """Call `work(first, last)` on ranges that cover 0..count-1, in as many threads as PyTorch uses.

    What `work` computes of one number may not depend on the range, and it may not call this. It
    should release the interpreter's lock; in other threads, it finds neither the caller's `no_grad`
    nor NumPy's error state. Threads pay from a tenth of a millisecond of work on.

    Returns, or raises the first exception of any call, when no thread works any more; other ranges
    may have been computed nevertheless.
    """
    threads = torch.get_num_threads()
    if threads == 1 or count < 2 or not threaded:
        work(0, count)
        return
    pieces = min(count, PIECES * threads)
    edges = [count * piece // pieces for piece in range(pieces + 1)]
    ranges = list(pairwise(edges))[::-1]
    errors: list[BaseException] = []

    def take() -> None:
        while ranges:
            try:
                first, last = ranges.pop()  # atomic, also without the interpreter's lock
            except IndexError:  # another thread has taken the last one
                return
            work(first, last)

    def take_too(_: int | None = None) -> None:
        try:
            take()
        except BaseException as error:
            errors.append(error)

    openmp = _gnu_openmp()
    if openmp is None:
        _beside_python(take, take_too, threads, ranges)
    else:
        _beside_openmp(openmp, take, take_too, threads)
    try:
        if errors:
            raise errors[0]
    finally:
        errors.clear()  # an error holds this frame, and what it names


def _beside_openmp(
    openmp: Any, take: Callable[[], None], take_too: Callable[[], None], threads: int
) -> None:
    level, body = openmp.omp_get_level(), _Body(take_too)
    try:
        openmp.GOMP_parallel_start(body, None, threads)
        take()
        openmp.GOMP_parallel_end()
    finally:
        # Ctrl-C can arrive on either side of the start and of the end; the level shows which.
        if openmp.omp_get_level() > level:
            openmp.GOMP_parallel_end()


def _beside_python(
    take: Callable[[], None],
    take_too: Callable[[], None],
    threads: int,
    ranges: list[tuple[int, int]],
) -> None:
    """`take` here and `take_too` in helpers; whatever is raised, none of them works afterwards.

    Ctrl-C can arrive between any two calls, also inside those of `concurrent.futures` and
    `threading.Thread`, which then forget a thread or keep a lock. So only single calls into C hand
    over work and wait for it: a helper works while it holds its gate, and once the caller has the
    gate, that helper does nothing or has not come.
    """
    gates = [RLock() for _ in range(threads - 1)]

    def close() -> None:
        ranges.clear()
        for gate in gates:
            gate.acquire()  # for good; may be repeated

    try:
        while len(_helping) < len(gates):
            _helping.append(_thread.start_new_thread(_help, (_calls,)))
        for gate in gates:
            _calls.put((gate, take_too))
        take()
        close()
    finally:
        close()  # Ctrl-C can arrive in the first, too


def _help(calls: SimpleQueue) -> None:
    while True:
        gate, take_too = calls.get()
        if gate.acquire(blocking=False):  # otherwise, its caller no longer needs help
            take_too()
            gate.release()
        del take_too  # it holds its caller's arrays


_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _gnu_openmp() -> Any:
    """GNU's OpenMP as PyTorch has loaded it; None if it has another."""
    shipped = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    for name in (*shipped, "libgomp.so.1"):
        try:
            library = ctypes.CDLL(str(name), mode=os.RTLD_NOLOAD)
            library.GOMP_parallel_start.argtypes = (_Body, ctypes.c_void_p, ctypes.c_uint)
            library.GOMP_parallel_start.restype = None
            library.GOMP_parallel_end.restype = None
            library.omp_get_level.restype = ctypes.c_int
        except (OSError, AttributeError):  # not loaded; not Linux; another library of that name
            continue
        return library
    return None


_calls: SimpleQueue = SimpleQueue()
_helping: list[int] = []
"""The helpers' thread ids. One that an interrupt left out helps nevertheless."""


def _forget_helpers() -> None:
    """In a forked child, where the helpers do not exist."""
    global _calls
    _calls = SimpleQueue()
    _helping.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)
