"""Which device to train on, and what it can be asked for."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from synergy_trainer.attend.products import onednn_keeps_float32
from synergy_trainer.data import Batch
from synergy_trainer.errors import TrainerError
from synergy_trainer.settings import TrainSettings


def pick_device(name: str) -> torch.device:
    """Resolve "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        TrainerError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainerError(f"device: {name!r} is none of auto, cpu, cuda, mps") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise TrainerError(f"device: this machine has no {name!r}; use device 'auto' or 'cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainerError(f"device: {name!r} is not there; {torch.cuda.device_count()} are")
    return device


def warnings_for(settings: TrainSettings, device: torch.device) -> list[str]:
    """What was asked for that this device cannot do, or does worse than one might think."""
    found = []
    if settings.deterministic and device.type == "mps":
        found.append("deterministic: Apple's mps offers no deterministic mode; results may vary")
    if settings.deterministic and device.type == "cuda" and not _cublas_is_deterministic():
        found.append(
            "deterministic: set CUBLAS_WORKSPACE_CONFIG=:4096:8 before starting, or products on "
            "CUDA may vary in their last bits"
        )
    if settings.precision == "bf16" and device.type == "cpu" and onednn_keeps_float32():
        found.append(
            "precision: this CPU multiplies bfloat16 no faster than float32, so bf16 gains nothing"
        )
    if device.type != "cuda":
        for option in ("cuda_graphs", "tf32"):
            if getattr(settings, option):
                found.append(f"{option}: needs a CUDA device; ignored on {device.type}")
    return found


def _cublas_is_deterministic() -> bool:
    return os.environ.get("CUBLAS_WORKSPACE_CONFIG") in (":4096:8", ":16:8")


@contextmanager
def modes(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Set PyTorch's process-wide modes for one update, and set them back after it."""
    with ExitStack() as back:
        if settings.deterministic:
            deterministic = torch.are_deterministic_algorithms_enabled()
            warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
            back.callback(torch.use_deterministic_algorithms, deterministic, warn_only=warn_only)
            torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        if device.type == "cuda":
            matmul = torch.backends.cuda.matmul
            # Newer versions refuse the old name once somebody has used the new one.
            name: str = "fp32_precision"
            values: tuple[object, object] = ("ieee", "tf32")
            if not hasattr(matmul, name):
                name, values = "allow_tf32", (False, True)
            back.callback(setattr, matmul, name, getattr(matmul, name))
            setattr(matmul, name, values[settings.tf32])
        yield


_WARM_UPS = 3


class GraphedUpdate:
    """Records an update once and replays it with new data.

    Args:
        update: makes the whole update from a batch, with no wait for the device in it.
        example: a batch of the right shape.
        state: every tensor that the update changes; warming up leaves them as they were.
    """

    def __init__(
        self,
        update: Callable[[Batch], tuple[Tensor, Tensor]],
        example: Batch,
        state: Sequence[Tensor],
    ) -> None:
        self._batch = Batch(
            example.inputs.contiguous().clone(), example.targets.contiguous().clone()
        )
        before = [values.detach().clone() for values in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                update(self._batch)
        torch.cuda.current_stream().wait_stream(side)
        with torch.no_grad():
            for values, old in zip(state, before, strict=True):
                values.copy_(old)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses, self._accuracies = update(self._batch)

    def run(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Make the update with this batch; losses and accuracies (M,) of it."""
        self._batch.inputs.copy_(batch.inputs)
        self._batch.targets.copy_(batch.targets)
        self._graph.replay()
        return self._losses.clone(), self._accuracies.clone()


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


class Parallel(Protocol):
    """Processes that share every batch; whoever starts them provides this.

    Each takes rows rank, rank + size, … of the batch, and gradients are averaged before the
    update, so together they make the update that one process would.
    """

    rank: int
    size: int

    def average_(self, tensors: list[torch.Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
