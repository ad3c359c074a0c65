"""What runs points: a protocol of four verbs, behind which a process pool or a cluster works."""

from __future__ import annotations

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
