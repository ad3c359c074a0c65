"""Work shared by PyTorch's threads, or by Python's where PyTorch came with another OpenMP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from synergy_trainer.attend import threads
from tests.trainer.runs import torch_threads


@pytest.fixture(params=["openmp", "python"])
def _kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(threads, "_gnu_openmp", lambda: None)
    elif threads._gnu_openmp() is None:
        pytest.skip("this PyTorch has no GNU OpenMP")


@pytest.fixture
def _two_threads() -> Iterator[None]:
    with torch_threads(2):
        yield


def test_this_pytorch_shares_its_threads() -> None:
    """On Linux, its wheels bring libgomp; should they stop, training slows down unnoticed."""
    if "OpenMP" not in torch.__config__.parallel_info() or not torch.__config__.show().count("GCC"):
        pytest.skip("PyTorch was not built by GCC")
    assert threads._gnu_openmp() is not None


@pytest.mark.usefixtures("_kind", "_two_threads")
@pytest.mark.parametrize("count", [0, 1, 2, 11, 100])
def test_every_number_once(count: int) -> None:
    found: list[int] = []
    threads.over_ranges(lambda first, last: found.extend(range(first, last)), count)
    assert sorted(found) == list(range(count))


@pytest.mark.usefixtures("_kind", "_two_threads")
def test_two_threads_at_once() -> None:
    met = threading.Barrier(2, timeout=20)
    names: set[int] = set()

    def work(first: int, last: int) -> None:
        if first == 0 or not names:
            met.wait()
        names.add(threading.get_ident())

    threads.over_ranges(work, 2)
    assert len(names) == 2
    assert threading.get_ident() in names


@pytest.mark.usefixtures("_kind", "_two_threads")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_arrives(error: type[BaseException]) -> None:
    def work(first: int, last: int) -> None:
        if first:
            raise error(str(first))

    with pytest.raises(error):
        threads.over_ranges(work, 2)
    found: list[int] = []
    threads.over_ranges(lambda first, last: found.append(first), 2)  # and the next work is done
    assert sorted(found) == [0, 1]


@pytest.mark.usefixtures("_two_threads")
def test_little_work_is_done_here() -> None:
    found: list[tuple[int, int, int]] = []

    def work(first: int, last: int) -> None:
        found.append((first, last, threading.get_ident()))

    threads.over_ranges(work, 9, threaded=False)
    assert found == [(0, 9, threading.get_ident())]


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell without job control starts `make test &` with SIGINT ignored; Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_kind", "_two_threads", "_interruptible")
def test_every_interrupt_arrives_and_nothing_works_on() -> None:
    """At whatever moment of a call it comes; what ctypes calls could not raise it."""
    here, arrived = threading.get_ident(), 0
    elsewhere: list[int] = []  # interrupts are heard in this thread alone

    def work(first: int, last: int) -> None:
        if threading.get_ident() != here:
            elsewhere.append(first)
        time.sleep(1e-5)
        if threading.get_ident() != here:
            elsewhere.remove(first)

    for moment in range(60):
        timer = threading.Timer(1e-4 * (moment % 20), signal.pthread_kill, (here, signal.SIGINT))
        try:
            timer.start()
            while True:
                threads.over_ranges(work, 12)
        except KeyboardInterrupt:
            arrived += 1
        assert not elsewhere
    assert arrived == 60
    openmp = threads._gnu_openmp()
    assert openmp is None or not openmp.omp_get_level()  # every start has had its end


INTERRUPTED = """
import signal, time, torch
from synergy_trainer.attend import threads
torch.set_num_threads(2)
threads._gnu_openmp = lambda: None
signal.signal(signal.SIGALRM, signal.default_int_handler)
for moment in range(100):
    threads._forget_helpers()
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + moment))
        while True:
            threads.over_ranges(lambda first, last: time.sleep(1e-5), 12)
    except KeyboardInterrupt:
        pass
print("all arrived")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_a_process_interrupted_as_its_threads_start_exits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stdout) == (0, "all arrived\n"), done.stderr


ALONE = """
import torch
from synergy_trainer.attend import threads
torch.set_num_threads(2)
found = []
threads.over_ranges(lambda first, last: found.extend(range(first, last)), 50)
assert sorted(found) == list(range(50)), found
"""


def test_a_team_that_is_refused_its_second_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
