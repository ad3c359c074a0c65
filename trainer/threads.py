"""Compiled code in the threads that PyTorch computes in.

After each of its operations, a thread of GNU's OpenMP watches for the next one for milliseconds
before it sleeps. Threads of one's own would have to share the cores with those watchers: on two
cores, they would get a half to three quarters of the time. So what is to run beside PyTorch's
operations is handed to its own team, which takes it up at once. That team is reached through
libgomp's `GOMP_parallel`, the call that compilers make of `#pragma omp parallel`. Where PyTorch
came with another OpenMP, threads of Python's do the work.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch

_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


# Pieces a thread: what else runs on one's core then holds up but a part of what it would have done.
PIECES = 6


def over_ranges(work: Callable[[int, int], object], count: int, threaded: bool = True) -> None:
    """Call `work(first, last)` on ranges that cover 0..count-1, in as many threads as PyTorch uses.

    Args:
        work: what it computes of one number may not depend on the range; it should release the
            interpreter's lock.
        count: of numbers.
        threaded: whether there is enough to do for it to pay; below a tenth of a millisecond it
            does not.

    Raises:
        BaseException: the first that any call raised; other ranges may be computed nevertheless.
    """
    threads = torch.get_num_threads()
    if threads == 1 or count == 1 or not threaded:
        work(0, count)
        return
    pieces = min(count, PIECES * threads)
    edges = [count * piece // pieces for piece in range(pieces + 1)]
    ranges = iter(list(pairwise(edges)))  # threads may share a list's iterator
    errors: list[BaseException] = []

    def take(_: int | None = None) -> None:
        try:
            for first, last in ranges:
                work(first, last)
        except BaseException as error:
            errors.append(error)

    if (parallel := _gnu_openmp()) is not None:
        parallel(_Body(take), None, threads, 0)
    else:
        helping = [_helpers(threads - 1).submit(take) for _ in range(threads - 1)]
        take()
        for helper in helping:
            helper.result()
    if errors:
        raise errors[0]


@cache
def _gnu_openmp() -> Any:
    """libgomp's `GOMP_parallel`, if PyTorch has loaded that library."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        parallel = library.GOMP_parallel
    except (OSError, AttributeError):  # not loaded; not Linux; another library of that name
        return None
    parallel.argtypes = (_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel


@cache
def _helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="trainer")
