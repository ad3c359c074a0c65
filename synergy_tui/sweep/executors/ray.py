"""Points on a Ray cluster: one task per batch, its events streamed to the driver.

Ray never retries a task here (``max_retries=0``): a retried stream that resumes from a checkpoint
silently loses what its first life had sent. A lost worker is an outcome of each of its points, and
the sweep's driver submits them again with what has arrived so far.

This module shares its name with Ray, so its folder must never be on ``sys.path``: Ray adds to its
workers' paths the folder of the script that the driver runs, here that of ``sweep/worker.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synergy_tui.errors import ExitCode, UserError, require
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.machine import usable_cores
from synergy_tui.running.recorder import versions
from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.sweep.estimate import PROCESS_BYTES, cost
from synergy_tui.sweep.executors.executor import Backend, Outcome, Task
from synergy_tui.sweep.executors.mirror import Mirror
from synergy_tui.sweep.executors.remote import Packet, luggage, run_points

# Packets that may wait for the driver; then the worker waits.
AHEAD = 16
LOCAL_OBJECT_STORE = 100 * 2**20
# How often the cluster is asked which hosts are left.
HOSTS_SECONDS = 5.0


@dataclass
class _Running:
    points: dict[str, tuple[Task, Mirror]]  # those that have not ended, by their experiments' ids
    node: str = ""  # where they run, once that is known


def _run_on_node(*arguments: Any) -> Iterator[Packet]:
    """Run points, and say first on which node."""
    import ray

    yield Packet(node=ray.get_runtime_context().get_node_id())
    yield from run_points(*arguments)


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
    """Runs batches of points as tasks of a Ray cluster; a batch trains as one ensemble.

    ``backend.ray`` is ``local`` (a cluster of this machine alone, ended with the sweep), ``auto``
    (the one that ``RAY_ADDRESS`` or a head on this machine names) or an address.
    """

    def __init__(self, table: SweepTable, backend: Backend) -> None:
        self._ray = require("ray", "ray")
        self._backend = backend
        self._table = table
        self._running: dict[Any, _Running] = {}
        self._looked = 0.0
        self._ended: list[Outcome] = []
        self._connect(backend.ray or "auto")
        self._run = self._ray.remote(_run_on_node)

    @property
    def free(self) -> int:
        """Room for further batches: what the cluster has now, nodes that joined included."""
        return self._limit() - len(self._running)

    def batches(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        """Ensembles, no larger than what keeps busy what the cluster has now."""
        from synergy_tui.sweep.executors.ensemble import batches

        return batches(tasks, self._together, self._limit())

    def submit(self, batch: Sequence[Task]) -> None:
        """Submit a batch as one task."""
        experiments = [Experiment(task.path) for task in batch]
        points = {
            experiment.id: (task, Mirror(experiment, task.attempt))
            for task, experiment in zip(batch, experiments, strict=True)
        }
        stream = self._run.options(
            num_returns="streaming",
            max_retries=0,
            name=batch[0].point,
            _generator_backpressure_num_objects=AHEAD,
            **self._needs(experiments),
        ).remote(
            {experiment.id: luggage(experiment) for experiment in experiments},
            self._backend.device,
            self._backend.threads,
            versions(),
        )
        self._running[stream] = _Running(points)

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
            self._give_up_dead_hosts()
        ended, self._ended = self._ended, []
        return ended

    def cancel(self) -> None:
        """End all tasks; their points resume from the newest checkpoints that have arrived."""
        reason = "the sweep was stopped"
        for stream, running in self._running.items():
            self._ray.cancel(stream, force=False)
            for name in list(running.points):
                self._end(running, name, ExitCode.TERMINATED, reason, stopped=reason)
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
        except self._ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0].split(". ")[0]
            raise UserError(
                f"The Ray cluster at '{where}' refuses this host: {reason}.",
                hint="Copy ~/.ray/auth_token from the head to every host, or set "
                "RAY_AUTH_MODE=disabled on all of them in a network that you trust.",
            ) from error
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"There is no Ray cluster at '{where}' that admits this host: "
                f"{str(error).splitlines()[0].rstrip('.')}.",
                hint="Start one with `ray start --head`, or use --ray local; one with a token "
                "needs the same in ~/.ray/auth_token here.",
            ) from error

    def _limit(self) -> int:
        if self._backend.workers:
            return self._backend.workers
        resources = self._ray.cluster_resources()
        limit = resources.get("CPU", 0) // self._backend.threads
        if share := self._gpus(self._together):
            limit = min(limit, resources.get("GPU", 0) / share + 1e-9)
        return max(1, int(limit))

    @property
    def _together(self) -> int:
        """Points at most in a batch: no more than share a GPU where the table says how many do."""
        together, given = self._backend.together, self._table.gpus_per_point
        return max(1, int(min(together, 1 / given + 1e-9))) if given else together

    def _needs(self, experiments: Sequence[Experiment]) -> dict[str, Any]:
        """Resources that Ray sets aside for a batch."""
        memory = self._table.memory_per_point
        costs = [cost(experiment.scenario()).memory for experiment in experiments]
        estimated = sum(costs) - PROCESS_BYTES * (len(costs) - 1)
        needs: dict[str, Any] = {
            "num_cpus": self._backend.threads,
            "memory": int(memory * 2**30) * len(costs) if memory else estimated,
        }
        if share := self._gpus(len(costs)):
            needs["num_gpus"] = share
        return needs

    def _gpus(self, points: int) -> float:
        """Share of a GPU for a batch; Ray hides the other GPUs from it."""
        given = self._table.gpus_per_point
        return float(self._backend.device == "cuda") if given is None else given * points

    def _receive(self, stream: Any) -> None:
        running = self._running[stream]
        try:
            packet: Packet = self._ray.get(next(stream))
        except StopIteration:
            self._lose(stream, "its stream ended early")
            return
        except self._ray.exceptions.RayTaskError as error:
            for name in list(running.points):
                reason = f"{type(error.cause).__name__}: {error.cause}"
                self._end(running, name, ExitCode.RUN_FAILED, reason)
        except self._ray.exceptions.RayError as error:
            self._lose(stream, str(error).splitlines()[0])
            return
        else:
            running.node = running.node or packet.node
            if packet.experiment in running.points:
                self._take(stream, packet)
        if not running.points:
            del self._running[stream]

    def _take(self, stream: Any, packet: Packet) -> None:
        """Write what the worker of a point sent."""
        running, name = self._running[stream], packet.experiment
        _, mirror = running.points[name]
        try:
            mirror.take(packet)
        except UserError as error:
            self._end(running, name, ExitCode.RUN_FAILED, error.message)
            if not running.points:
                self._ray.cancel(stream, force=False)
        else:
            if packet.exit_code is not None:
                self._end(running, name, ExitCode(packet.exit_code), packet.reason)

    def _end(
        self,
        running: _Running,
        name: str,
        code: ExitCode | None,
        reason: str,
        *,
        stopped: str = "",
    ) -> None:
        task, mirror = running.points.pop(name)
        mirror.close(stopped=stopped)
        self._ended.append(Outcome(task, code, reason))

    def _lose(self, stream: Any, reason: str) -> None:
        running = self._running.pop(stream)
        for name in list(running.points):
            self._end(running, name, None, f"its worker was lost ({reason})")

    def _give_up_dead_hosts(self) -> None:
        """Lose the points of hosts that the cluster has given up.

        A host that loses its power or its cable says nothing, and Ray itself would wait minutes
        for the rest of a stream from there. Should the host come back, Ray ends what ran on it.
        """
        if time.monotonic() - self._looked < HOSTS_SECONDS:
            return
        self._looked = time.monotonic()
        dead = {
            each["NodeID"]: each["NodeManagerAddress"]
            for each in self._ray.nodes()
            if not each["Alive"]
        }
        for stream, running in list(self._running.items()):
            if running.node in dead:
                self._lose(stream, f"host {dead[running.node]} does not answer")
