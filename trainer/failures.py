"""Why a training cannot go on, in words for the person who started it."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import torch

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


@dataclass(frozen=True)
class Failure:
    """A reason for a person and details for a log, as in :class:`trainer.RunFailed`."""

    reason: str
    details: str = ""


def explain(error: BaseException, device: torch.device) -> Failure | None:
    """Explain an exception that the machine, not the program, is to blame for; None for others."""
    details = f"{type(error).__name__}: {error}"
    if _is_memory(error):
        return Failure(
            f"out of memory on {device}: use a smaller batch or length, or fewer runs at a time",
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
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _MEMORY_WORDS
    )


def diverged(step: int, value: float, learning_rate: float) -> Failure:
    """Explain a loss that is no longer a number."""
    return Failure(
        f"the loss became {value} at step {step}: training diverged; a smaller learning_rate than "
        f"{learning_rate:g} usually helps",
        f"loss {value} at step {step}",
    )
