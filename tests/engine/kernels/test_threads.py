"""Threads: the same bits whatever their number, safe together, interruptible, forkable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.kernels.threads import _watch, over_ranges
from tests.engine.systems import attention


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    yield
    engine.set_threads(None)


def test_the_same_bits_whatever_the_number_of_threads() -> None:
    a = attention(6, 2, 8, 40, 40)
    seen = []
    for threads in (1, 2, 5):
        engine.set_threads(threads)
        seen.append([layer.as_dict() for layer in engine.analyze_batch(a)])
    assert seen[0] == seen[1] == seen[2]


def test_many_callers_at_once() -> None:
    """Numba's workqueue layer aborts the process here; plain threads do not."""
    engine.set_threads(2)
    a = attention(4, 1, 8, 48, 48)
    truth = [layer.as_dict() for layer in engine.analyze_batch(a)]
    with ThreadPoolExecutor(4) as callers:
        results = list(callers.map(lambda _: engine.analyze_batch(a), range(12)))
    for result in results:
        assert [layer.as_dict() for layer in result] == truth


def test_every_range_is_done_once() -> None:
    engine.set_threads(4)
    done = np.zeros(101, dtype=int)

    def task(low: int, high: int) -> None:
        done[low:high] += 1

    over_ranges(task, 101, 1e9)
    assert done.tolist() == [1] * 101


def test_who_waits_sees_what_another_thread_writes() -> None:
    """The compiled loop reads the flag anew each time, and gives up when it stays unset."""
    flag = np.zeros(1, dtype=np.int64)
    _watch(flag, 10)
    waiting = Thread(target=_watch, args=(flag, 10**15), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    flag[0] = 1
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_in_one_range_ends_the_rest_and_is_raised(stop: type[BaseException]) -> None:
    engine.set_threads(2)
    done = []

    def task(low: int, high: int) -> None:
        if low >= 3:
            raise stop
        done.append(low)

    with pytest.raises(stop):
        over_ranges(task, 1000, 1e9, pieces=1000)
    assert len(done) < 1000
    over_ranges(lambda low, high: done.append(low), 4, 1e9)  # the pool still works


INTERRUPTED = """
import signal, threading, time
import synergy_engine as engine
from synergy_engine.kernels import threads
engine.set_threads(2)
signal.signal(signal.SIGALRM, signal.default_int_handler)
here, elsewhere = threading.get_ident(), []  # interrupts are heard in this thread alone
def task(low, high):
    if threading.get_ident() != here:
        elsewhere.append(low)
    time.sleep(1e-5)
    if threading.get_ident() != here:
        elsewhere.remove(low)
for moment in range(300):
    if moment < 150:
        threads._forget_helpers()  # threads are started again
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + moment % 150))
        while True:
            threads.over_ranges(task, 12, 1e9)
    except KeyboardInterrupt:
        assert not elsewhere, moment
print("all arrived")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_every_interrupt_arrives_nothing_works_on_and_the_process_exits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stdout) == (0, "all arrived\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes_too() -> None:
    code = (
        "import os, numpy as np, synergy_engine as engine\n"
        "engine.set_threads(2)\n"
        "one = np.tril(np.ones((60, 60))) / np.arange(1, 61)[:, None]\n"
        "a = np.broadcast_to(one, (9, 1, 8, 60, 60))\n"
        "engine.analyze_batch(a)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    engine.analyze_batch(a)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.slow
def test_kernels_stay_inside_their_arrays() -> None:
    """The exact tests again with bounds checks compiled in (and a cache of its own)."""
    import tempfile

    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
                *("tests/engine/test_examples.py", "tests/engine/test_system.py"),
                *("tests/engine/analysis", "tests/engine/measures"),
            ],
            env=os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache},
            capture_output=True,
            text=True,
            timeout=900,
        )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_number_of_threads_is_a_number(count: object) -> None:
    with pytest.raises(engine.OptionError, match="threads must be a whole number"):
        engine.set_threads(count)  # type: ignore[arg-type]
