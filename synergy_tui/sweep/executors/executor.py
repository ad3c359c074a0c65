"""What runs the points of a sweep: one protocol, behind which processes here or a cluster work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.machine import usable_cores
from synergy_tui.scenario import Scenario
from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.sweep.estimate import PROCESS_BYTES, cost
from synergy_tui.words import counted

# Beyond this a stack of models no longer fits a core's cache, and one failure costs too much.
LARGEST_BATCH = 8
# Models in one stack on a GPU: twice as many take twice as long from 20 on (trainer/README.md).
LARGEST_STACK = 40
SHARE_OF_MEMORY = 0.7


@dataclass(frozen=True)
class Task:
    """One attempt at one point."""

    point: str
    path: Path  # the point's experiment
    attempt: int = 1  # from the second on, the experiment resumes from its newest checkpoint


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    task: Task
    exit_code: ExitCode | None  # as `synergy run` exits; None when the worker was lost
    reason: str = ""

    @property
    def lost(self) -> bool:
        """Whether the worker vanished without an answer, so that another attempt makes sense."""
        return self.exit_code is None


class Executor(Protocol):
    """Runs batches of points; a batch trains as one ensemble, on one worker."""

    @property
    def free(self) -> int:
        """How many further batches it can begin now."""

    def batches(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        """Sort tasks into batches as large as this executor wants them."""

    def submit(self, batch: Sequence[Task]) -> None:
        """Take charge of a batch; returns at once."""

    def poll(self, timeout: float) -> list[Outcome]:
        """Wait up to ``timeout`` seconds for attempts to end, and return those that did."""

    def cancel(self) -> None:
        """Ask everything that runs to checkpoint and stop; outcomes still arrive."""

    def shutdown(self) -> None:
        """End all workers; what still runs is lost (its last checkpoint is not)."""


@dataclass(frozen=True)
class Backend:
    """How a sweep is run."""

    executor: str  # as in `[sweep]`, but never `auto`
    workers: int  # batches at a time; 0 lets the cluster decide
    threads: int = 1  # of each worker (with several processes: of each process)
    together: int = 1  # points at most that train as one ensemble
    device: str = "auto"
    ray: str | None = None  # `local`, `auto` or the address of a cluster
    processes: int = 1  # that train each point together
    devices: int = 0  # GPUs that are shared out, each worker its own; 0: workers see all there are

    def as_options(self) -> list[str]:
        """Command-line options that :func:`synergy_tui.running.worker.worker_options` reads."""
        given = dataclasses.asdict(self)
        return [f"--{name}={value}" for name, value in given.items() if value is not None]

    def __str__(self) -> str:
        """For a person: ``pool of 2 processes, 1 thread each``."""
        threads = f"{counted(self.threads, 'thread')} each"
        if self.executor == "ray":
            ensembles = f"ensembles of up to {self.together} points, " * (self.together > 1)
            return f"Ray ({self.ray}), {ensembles}{threads}"
        if self.devices:
            threads += f", on {counted(self.devices, 'GPU')}"
        if self.executor == "ensemble":
            workers = counted(self.workers, "process", "processes")
            return f"ensembles of up to {self.together} points in {workers}, {threads}"
        if self.processes > 1:
            return f"pool of {self.workers} groups of {self.processes} processes, {threads}"
        return f"pool of {counted(self.workers, 'process', 'processes')}, {threads}"


# Option → its type, for `running.worker.worker_options`.
BACKEND_OPTIONS = {
    field.name: int if field.type == "int" else str for field in dataclasses.fields(Backend)
}


def choose(
    scenario: Scenario,
    scenarios: Sequence[Scenario],
    *,
    executor: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    device: str = "auto",
) -> Backend:
    """Choose a backend for the points ``scenarios`` that are still to be run.

    The options of the command line take precedence over the ``[sweep]`` of ``scenario``.
    """
    table = scenario.sweep or SweepTable()
    name = executor or ("ray" if ray else table.executor)
    if ray and name != "ray":
        raise UserError(f"--ray needs the executor ray, not {name}.")
    cores = usable_cores()
    wanted = workers or table.workers
    processes = table.data_parallel
    if processes > 1 and name in ("ensemble", "ray"):
        raise UserError(
            f"[sweep] data_parallel = {processes} needs the executor pool, not {name}.",
            hint="An ensemble fills one device with many points; data_parallel is the opposite.",
        )
    if name == "ray":
        together = _that_ray_stacks(device, scenarios, table)
        return Backend("ray", wanted or 0, 1, together, device, ray=ray or "auto")
    gpus = gpus_for(device)
    if processes > 1 and 0 < gpus < processes:
        raise UserError(
            f"[sweep] data_parallel = {processes} needs as many GPUs; '{device}' is {gpus}.",
            hint="One process trains all runs of a point on one GPU: data_parallel = 1.",
        )
    if name == "auto":
        # Points that cannot be stacked train alone in an ensemble's process, as in a pool.
        name = "ensemble" if processes == 1 else "pool"
    most = gpus or _that_fit(cores, scenarios)
    count = wanted or max(1, most // processes)
    threads = max(1, cores // (count * processes))
    together = 1
    if name == "ensemble":
        sharing = -(-count // gpus) if gpus else 1
        together = _that_fit_a_gpu(device, scenarios, sharing) if gpus else LARGEST_BATCH
    devices = gpus if gpus > 1 else 0
    return Backend(name, count, threads, together, device, processes=processes, devices=devices)


def _that_fit(cores: int, scenarios: Sequence[Scenario]) -> int:
    """How many processes fit in memory, at most one per core."""
    import psutil

    largest = max((cost(scenario).memory for scenario in scenarios), default=PROCESS_BYTES)
    room = psutil.virtual_memory().available * SHARE_OF_MEMORY
    return max(1, min(cores, int(room // largest), len(scenarios) or 1))


def _that_ray_stacks(device: str, scenarios: Sequence[Scenario], table: SweepTable) -> int:
    """How many points a worker of a cluster trains as one stack; the table may allow fewer."""
    if not device.startswith("cuda"):
        return LARGEST_BATCH
    if gpus_for(device):  # the cluster's are taken to be like this one
        return _that_fit_a_gpu(device, scenarios)
    # Where nothing is known about their memory, as many as the table says that one holds.
    return _most_in_a_stack(scenarios) if table.gpus_per_point else 1


def _most_in_a_stack(scenarios: Sequence[Scenario]) -> int:
    return max(1, LARGEST_STACK // max((len(scenario.runs) for scenario in scenarios), default=1))


def _that_fit_a_gpu(device: str, scenarios: Sequence[Scenario], sharing: int = 1) -> int:
    """How many points train as one stack on a GPU: up to `LARGEST_STACK` models, and its memory.

    ``sharing`` is the number of stacks at a time.
    """
    import torch

    costs = [cost(scenario).memory - PROCESS_BYTES for scenario in scenarios]
    index = torch.device("cuda" if device == "auto" else device).index or 0
    room = torch.cuda.get_device_properties(index).total_memory * SHARE_OF_MEMORY / sharing
    return max(1, min(_most_in_a_stack(scenarios), int(room // max(costs, default=1))))


def gpus_for(device: str) -> int:
    """How many GPUs training on ``device`` may use; 0 for the processor."""
    if device not in ("auto", "cuda"):
        return int(device.startswith("cuda:"))
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
