"""What runs points: a protocol of four verbs, behind which a process pool or a cluster works."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synergy_tui.errors import ExitCode


@dataclass(frozen=True)
class Task:
    """One attempt at one point.

    Attributes
    ----------
    point
        Name of the point.
    path
        Its experiment.
    attempt
        From 1. From the second on, the experiment goes on from its newest checkpoint.
    """

    point: str
    path: Path
    attempt: int = 1


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes
    ----------
    task
        What was attempted.
    exit_code
        As ``synergy run`` would answer; ``None`` when the worker was lost and cannot say.
    reason
        For a person.
    """

    task: Task
    exit_code: ExitCode | None
    reason: str = ""

    @property
    def lost(self) -> bool:
        """Whether the worker went without an answer, so that another attempt makes sense."""
        return self.exit_code is None


class Executor(Protocol):
    """Runs batches of points; a batch trains as one ensemble, on one worker."""

    @property
    def free(self) -> int:
        """How many further batches it can begin now."""

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
    """How a sweep is run.

    Attributes
    ----------
    executor
        ``ensemble``, ``pool`` or ``ray``.
    workers
        Batches at a time; 0 lets the cluster decide.
    threads
        CPU threads of each worker.
    together
        Points at most that train as one ensemble.
    device
        Where each trains.
    ray
        ``local``, ``auto`` or the address of a cluster; ``None`` without Ray.
    processes
        That train each point together.
    """

    executor: str
    workers: int
    threads: int
    together: int
    device: str = "auto"
    ray: str | None = None
    processes: int = 1

    def as_options(self) -> list[str]:
        """Command-line options that mean this backend."""
        options = [
            f"--executor={self.executor}",
            f"--workers={self.workers}",
            f"--threads={self.threads}",
            f"--together={self.together}",
            f"--device={self.device}",
            f"--processes={self.processes}",
        ]
        return options + ([f"--ray={self.ray}"] if self.ray else [])

    def __str__(self) -> str:
        """For a person: ``pool of 2 processes, 1 thread each``."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''} each"
        if self.executor == "ray":
            return f"Ray ({self.ray}), {threads}"
        if self.executor == "ensemble":
            return (
                f"ensembles of up to {self.together} points in "
                f"{self.workers} process{'es' if self.workers > 1 else ''}, {threads}"
            )
        together = f" groups of {self.processes}" if self.processes > 1 else ""
        plural = "es" if self.workers * self.processes > 1 else ""
        return f"pool of {self.workers}{together} process{plural}, {threads}"


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
