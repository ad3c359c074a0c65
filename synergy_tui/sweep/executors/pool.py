"""Points on this machine: a few worker processes that live as long as the sweep.

Importing torch takes seconds, so a worker runs many points. It reads what to run from its standard
input, a line for each batch, and answers a line for each point; what libraries print goes to the
sweep's log. SIGTERM makes it checkpoint, answer and end. A worker that dies loses only what it was
running, and the next batch starts another.
"""

from __future__ import annotations

import itertools
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from synergy_tui.errors import ExitCode
from synergy_tui.files import open_own
from synergy_tui.machine import visible_gpus
from synergy_tui.sweep.executors.executor import Backend, Outcome, Task

STOP_SECONDS = 20.0


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    place: int  # among the workers, from 0; who replaces one that died takes its place
    tasks: dict[str, Task] = field(default_factory=dict)
    buffer: bytes = b""


class PoolExecutor:
    """A pool of worker processes, started when there is work for them; ``log`` takes their text."""

    def __init__(self, backend: Backend, log: Path) -> None:
        self._backend = backend
        self._log: IO[bytes] = os.fdopen(
            open_own(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab"
        )
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    @property
    def free(self) -> int:
        """Idle and not yet started workers."""
        return self._backend.workers - sum(bool(worker.tasks) for worker in self._workers)

    def batches(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        """One point each, or ensembles; no larger than what keeps every worker busy."""
        from synergy_tui.sweep.executors.ensemble import batches

        return batches(tasks, self._backend.together, self._backend.workers)

    def submit(self, batch: Sequence[Task]) -> None:
        """Hand a batch to an idle worker, starting one where there is none."""
        worker = next((each for each in self._workers if not each.tasks), None) or self._start()
        worker.tasks = {str(task.path): task for task in batch}
        stdin = worker.process.stdin
        assert stdin is not None
        try:
            stdin.write(orjson.dumps({"paths": list(worker.tasks)}) + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return  # it died while idle: poll finds the end of its output and reports it

    def poll(self, timeout: float) -> list[Outcome]:
        """Wait for answers; the end of a worker's output loses what it was running."""
        outcomes: list[Outcome] = []
        for key, _ in self._selector.select(timeout if self._workers else 0):
            worker: _Worker = key.data
            chunk = os.read(key.fd, 65536)
            if not chunk:
                outcomes += self._bury(worker)
                continue
            *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
            outcomes += [self._outcome(worker, line) for line in lines]
        return outcomes

    def cancel(self) -> None:
        """SIGTERM to every worker: checkpoint and stop."""
        for worker in self._workers:
            worker.process.send_signal(signal.SIGTERM)

    def shutdown(self) -> None:
        """End the workers: idle ones leave when their input closes, busy ones are terminated."""
        for worker in self._workers:
            if worker.process.stdin is not None:
                worker.process.stdin.close()
            if worker.tasks:
                worker.process.terminate()
        for worker in self._workers:
            try:
                worker.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            self._forget(worker)
        self._workers = []
        self._selector.close()
        self._log.close()

    def _start(self) -> _Worker:
        taken = {worker.place for worker in self._workers}
        place = next(place for place in itertools.count() if place not in taken)
        threads = str(self._backend.threads)
        options = self._backend.as_options()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "synergy_tui.sweep.executors.pool_worker", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # A session of its own: Ctrl-C reaches the driver alone, which then stops in order.
            start_new_session=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "NUMBA_NUM_THREADS": threads,
                **self._own_devices(place),
            },
        )
        worker = _Worker(process, place)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        return worker

    def _own_devices(self, place: int) -> dict[str, str]:
        """What hides the GPUs of the others from a worker, so that its first is its own."""
        count, each = self._backend.devices, self._backend.processes
        if not count:
            return {}
        # CUDA counts up to the first name of a GPU that is not there.
        names = (visible_gpus() or [str(index) for index in range(count)])[:count]
        own = dict.fromkeys(names[(place * each + k) % len(names)] for k in range(each))
        return {"CUDA_VISIBLE_DEVICES": ",".join(own)}

    def _outcome(self, worker: _Worker, line: bytes) -> Outcome:
        answer = orjson.loads(line)
        task = worker.tasks.pop(answer["path"])
        return Outcome(task, ExitCode(answer["exit_code"]), answer["reason"])

    def _bury(self, worker: _Worker) -> list[Outcome]:
        status = worker.process.wait()
        self._workers.remove(worker)
        self._forget(worker)
        died = f"signal {-status}" if status < 0 else f"exit code {status}"
        return [Outcome(task, None, f"its worker died ({died})") for task in worker.tasks.values()]

    def _forget(self, worker: _Worker) -> None:
        stdout = worker.process.stdout
        if stdout is not None and not stdout.closed:
            self._selector.unregister(stdout)
            stdout.close()
