"""What went wrong, in words for a person. Does not import torch."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass


class TrainerError(ValueError):
    """Settings, a task or a file that cannot be used, with every problem found.

    Attributes
    ----------
    problems
        One sentence for each problem: what, where, and what is allowed.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Failure:
    """A reason for a person and details for a log, as in :class:`RunFailed`."""

    reason: str
    details: str = ""


_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")

# Of CUDA, before anything can be computed; errors while a graph is recorded are not among them.
_UNUSABLE_WORDS = ("no kernel image is available", "busy or unavailable")


def explain(error: BaseException, device: object) -> Failure | None:
    """Explain an exception that the machine, not the program, is to blame for; None for others."""
    details = f"{type(error).__name__}: {error}"
    if _is_memory(error):
        return Failure(
            f"out of memory on {device}: use a smaller batch or length, or fewer runs at a time",
            details,
        )
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _UNUSABLE_WORDS):
        first = str(error).partition("\n")[0]
        return Failure(
            f"{device} cannot be used ({first}): another process may have it to itself, or this "
            "PyTorch is not built for it",
            details,
        )
    if isinstance(error, RuntimeError) and "CUBLAS_WORKSPACE_CONFIG" in str(error):
        return Failure(
            f"deterministic: this process has multiplied on {device} before; set "
            "CUBLAS_WORKSPACE_CONFIG=:4096:8 before it starts",
            details,
        )
    if isinstance(error, RuntimeError) and "deterministic" in str(error).lower():
        return Failure(
            f"deterministic: PyTorch has no repeatable way to compute this on {device}; train "
            "without it, or on the CPU",
            details,
        )
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return Failure(
                "the disk is full, so no checkpoint could be written; free some space and resume",
                details,
            )
        return Failure(f"a checkpoint could not be written ({error.strerror})", details)
    return None


def _is_memory(error: BaseException) -> bool:
    """PyTorch's own errors are RuntimeErrors; their class differs by device and version."""
    if isinstance(error, MemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in message for words in _MEMORY_WORDS)


def diverged(step: int, value: float, learning_rate: float) -> Failure:
    """Explain a loss that is no longer a number."""
    return Failure(
        f"the loss became {value} at step {step}: training diverged; a smaller learning_rate than "
        f"{learning_rate:g} usually helps",
        f"loss {value} at step {step}",
    )
