"""Points on a Ray cluster: one task per point, its events streamed to the driver.

Ray never retries a task here (``max_retries=0``): a retried stream that resumes from a checkpoint
silently loses what its first life had sent. A lost worker is an outcome, and the sweep's driver
submits the point again with what has arrived so far.

This module shares its name with Ray, so its folder must never be on ``sys.path``: Ray adds to its
workers' paths the folder of the script that the driver runs, here that of ``sweep/worker.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from synergy_tui.errors import ExitCode, UserError, require
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.machine import usable_cores
from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.sweep.estimate import cost
from synergy_tui.sweep.executors.executor import Backend, Outcome, Task
from synergy_tui.sweep.executors.mirror import Mirror
from synergy_tui.sweep.executors.remote import Packet, luggage, run_point

# Packets that may wait for the driver; then the worker waits.
AHEAD = 16
LOCAL_OBJECT_STORE = 100 * 2**20


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore our handlers of SIGTERM and Ctrl-C, which Ray replaces by ones that just die."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class RayExecutor:
    """Runs points as tasks of a Ray cluster.

    ``backend.ray`` is ``local`` (a cluster of this machine alone, ended with the sweep), ``auto``
    (the one that ``RAY_ADDRESS`` or a head on this machine names) or an address.
    """

    def __init__(self, table: SweepTable, backend: Backend) -> None:
        self._ray = require("ray", "ray")
        self._backend = backend
        self._table = table
        self._running: dict[Any, tuple[Task, Mirror]] = {}
        self._ended: list[Outcome] = []
        self._connect(backend.ray or "auto")
        self._run = self._ray.remote(run_point)

    @property
    def free(self) -> int:
        """Room for further points: what the cluster has now, nodes that joined included."""
        return self._limit() - len(self._running)

    def batches(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        """Every point on its own: the cluster decides where each one runs."""
        return [[task] for task in tasks]

    def submit(self, batch: Sequence[Task]) -> None:
        """Submit points, one task each."""
        for task in batch:
            experiment = Experiment(task.path)
            mirror = Mirror(experiment, task.attempt)
            stream = self._run.options(
                num_returns="streaming",
                max_retries=0,
                name=task.point,
                _generator_backpressure_num_objects=AHEAD,
                **self._needs(experiment),
            ).remote(
                experiment.id, luggage(experiment), self._backend.device, self._backend.threads
            )
            self._running[stream] = (task, mirror)

    def poll(self, timeout: float) -> list[Outcome]:
        """Write what has arrived, and return what has ended."""
        if self._running:
            streams = list(self._running)
            ready, _ = self._ray.wait(streams, num_returns=1, timeout=timeout, fetch_local=False)
            if ready:
                # One look at the others too: a busy point must not starve them.
                ready, _ = self._ray.wait(
                    streams, num_returns=len(streams), timeout=0, fetch_local=False
                )
            for stream in ready:
                self._receive(stream)
        ended, self._ended = self._ended, []
        return ended

    def cancel(self) -> None:
        """End all tasks; their points resume from the newest checkpoints that have arrived."""
        for stream, (task, mirror) in list(self._running.items()):
            self._ray.cancel(stream, force=False)
            mirror.close(stopped="the sweep was stopped")
            self._ended.append(Outcome(task, ExitCode.TERMINATED, "the sweep was stopped"))
        self._running.clear()

    def shutdown(self) -> None:
        """Leave the cluster; one that was made for this sweep ends."""
        if self._running:
            self.cancel()
        self._ray.shutdown()

    def _connect(self, where: str) -> None:
        # Without this, Ray empties CUDA_VISIBLE_DEVICES of tasks that ask for no GPU and warns.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"log_to_driver": False, "namespace": "synergy"}
        if where == "local":
            options |= {
                "num_cpus": self._backend.workers * self._backend.threads or usable_cores(),
                "include_dashboard": False,
                "object_store_memory": LOCAL_OBJECT_STORE,
            }
        else:
            options["address"] = where
        try:
            with _signals_kept():
                self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"There is no Ray cluster at '{where}': {str(error).splitlines()[0]}",
                hint="Start one with `ray start --head`, or use --ray local.",
            ) from error

    def _limit(self) -> int:
        if self._backend.workers:
            return self._backend.workers
        resources = self._ray.cluster_resources()
        limit = int(resources.get("CPU", 0) // self._backend.threads)
        if share := self._gpus:
            limit = min(limit, int(resources.get("GPU", 0) / share + 1e-9))
        return max(1, limit)

    def _needs(self, experiment: Experiment) -> dict[str, Any]:
        """Resources that Ray sets aside for a point."""
        estimated = cost(experiment.scenario()).memory
        memory = self._table.memory_per_point
        needs: dict[str, Any] = {
            "num_cpus": self._backend.threads,
            "memory": int(memory * 2**30) if memory else estimated,
        }
        if share := self._gpus:
            needs["num_gpus"] = share
        return needs

    @property
    def _gpus(self) -> float:
        """Share of a GPU for each point; Ray hides the other GPUs from it."""
        given = self._table.gpus_per_point
        return float(self._backend.device == "cuda") if given is None else given

    def _receive(self, stream: Any) -> None:
        task, mirror = self._running[stream]
        try:
            packet: Packet = self._ray.get(next(stream))
        except StopIteration:
            self._lose(stream, "its stream ended early")
            return
        except self._ray.exceptions.RayTaskError as error:
            mirror.close()
            del self._running[stream]
            reason = f"{type(error.cause).__name__}: {error.cause}"
            self._ended.append(Outcome(task, ExitCode.RUN_FAILED, reason))
            return
        except self._ray.exceptions.RayError as error:
            self._lose(stream, str(error).splitlines()[0])
            return
        mirror.take(packet)
        if packet.exit_code is not None:
            mirror.close()
            del self._running[stream]
            self._ended.append(Outcome(task, ExitCode(packet.exit_code), packet.reason))

    def _lose(self, stream: Any, reason: str) -> None:
        task, mirror = self._running.pop(stream)
        mirror.close()
        self._ended.append(Outcome(task, None, f"its worker was lost ({reason})"))
