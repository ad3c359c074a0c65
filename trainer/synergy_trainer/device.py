"""Which device to train on, and what it can be asked for."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from synergy_trainer.attend.products import onednn_keeps_float32
from synergy_trainer.errors import TrainerError
from synergy_trainer.settings import DEVICES, TrainSettings

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def pick_device(name: str) -> torch.device:
    """Resolve "auto", "cpu", "cuda", "cuda:1" or "mps", or raise TrainerError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainerError(f"device: {name!r} is not one of {', '.join(DEVICES)}") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise TrainerError(f"device: this machine has no {name!r}; use device 'auto' or 'cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainerError(
            f"device: there is no {name!r}; this machine has {torch.cuda.device_count()}"
        )
    return device


def warnings_for(settings: TrainSettings, device: torch.device, asked: str = "") -> list[str]:
    """What was asked for that this device cannot do, or does worse than one might expect."""
    found = []
    if asked == "auto" and device.type == "cpu" and torch.backends.mps.is_available():
        found.append(
            "device: 'auto' takes the CPU, since training with Metal has not been measured yet; "
            "device 'mps' tries it"
        )
    if settings.deterministic and device.type == "mps":
        found.append("deterministic: Apple's mps offers no deterministic mode; results may vary")
    if settings.precision == "bf16" and device.type == "cpu" and onednn_keeps_float32():
        found.append(
            "precision: this CPU multiplies bfloat16 no faster than float32, so bf16 gains nothing"
        )
    if device.type != "cuda":
        for option in ("cuda_graphs", "tf32"):
            if getattr(settings, option):
                found.append(f"{option}: needs a CUDA device; ignored on {device.type}")
    return found


def prepare_products(settings: TrainSettings, device: torch.device) -> None:
    """Ask cuBLAS for repeatable products if so set; it looks once, before its first product."""
    if settings.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def allows_tf32(settings: TrainSettings, device: torch.device) -> bool:
    """Whether float32 products may round their factors to TF32."""
    wanted = not settings.deterministic if settings.tf32 is None else settings.tf32
    return wanted and device.type == "cuda"


def uses_graphs(settings: TrainSettings, device: torch.device, parallel: Parallel | None) -> bool:
    """Whether updates are replayed as CUDA graphs, which processes cannot share."""
    return settings.cuda_graphs is not False and device.type == "cuda" and parallel is None


def hardware(settings: TrainSettings, device: torch.device) -> str:
    """The card, its driver and libraries, and how it multiplies; empty for other devices."""
    if device.type != "cuda":
        return ""
    tf32 = settings.precision == "float32" and allows_tf32(settings, device)
    return (
        f"{torch.cuda.get_device_name(device)}, driver {_driver()}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}, {'TF32' if tf32 else settings.precision} products"
    )


@cache
def _driver() -> str:
    """Version of NVIDIA's driver, as its program names it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (done.stdout.split() or ["unknown"])[0]


@contextmanager
def modes(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Set PyTorch's process-wide modes for one update, and set them back after it."""
    with ExitStack() as back:
        if settings.deterministic:
            deterministic = torch.are_deterministic_algorithms_enabled()
            warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
            back.callback(torch.use_deterministic_algorithms, deterministic, warn_only=warn_only)
            torch.use_deterministic_algorithms(True, warn_only=device.type == "mps")
        if device.type == "cuda":
            matmul = torch.backends.cuda.matmul
            # Newer versions refuse the old name once somebody has used the new one.
            name: str = "fp32_precision"
            values: tuple[object, object] = ("ieee", "tf32")
            if not hasattr(matmul, name):
                name, values = "allow_tf32", (False, True)
            elif settings.compile:
                back.enter_context(_old_precision(allows_tf32(settings, device)))
            back.callback(setattr, matmul, name, getattr(matmul, name))
            setattr(matmul, name, values[allows_tf32(settings, device)])
        yield


@contextmanager
def _old_precision(tf32: bool) -> Iterator[None]:
    """Let PyTorch's older setting agree, which its compiler reads; else that is an error."""
    mkldnn: Any = torch.backends.mkldnn
    modules = torch.backends.cuda.matmul, mkldnn.matmul  # which it sets as well
    newer = [each.fp32_precision for each in modules]
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:  # it did not agree before
        older = "highest"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older)
        for each, precision in zip(modules, newer, strict=True):
            each.fp32_precision = precision


@cache
def keep_freed_memory() -> None:
    """Let glibc keep up to half a GiB that one update frees for the next, within this process.

    By default it returns the memory to the system, which maps and zeroes every page again: a
    thousand page faults, a fifth of the time, in each update of a small model.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows
        return
    mallopt(_M_MMAP_THRESHOLD, 2**25)  # the most that every version takes
    mallopt(_M_TRIM_THRESHOLD, 2**29)


_WARM_UPS = 3


class GraphedUpdate:
    """Records an update once, as a CUDA graph, and replays it with new inputs.

    The update may not wait for the device. Warming up makes it a few times, and one replay shows
    that it advances `counter`; `state`, every tensor that it changes, is then put back.
    """

    def __init__(
        self,
        update: Callable[..., tuple[Tensor, ...]],
        example: Sequence[Tensor],
        state: Sequence[Tensor],
        counter: Tensor,
    ) -> None:
        self._device = counter.device
        self._inputs = [values.contiguous().clone() for values in example]
        before = [values.detach().clone() for values in state]
        started = counter.clone()
        try:
            with torch.cuda.device(self._device):
                self._record(update)
                begun = counter.clone()
                self._graph.replay()
                made = int((counter - begun).item())
            if made != 1:
                raise RuntimeError(f"one replay of a CUDA graph made {made} updates")
        finally:
            with torch.no_grad():
                for values, old in zip([*state, counter], [*before, started], strict=True):
                    values.copy_(old)

    def _record(self, update: Callable[..., tuple[Tensor, ...]]) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        try:
            # PyTorch's own stream for recording stays on the device of the process's first graph,
            # and remains the current one where recording fails.
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    update(*self._inputs)
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph, stream=side):
                    self._results = update(*self._inputs)
        finally:
            torch.cuda.current_stream().wait_stream(side)

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Make the update with these inputs; its results, which the next one overwrites."""
        for own, values in zip(self._inputs, inputs, strict=True):
            own.copy_(values)
        with torch.cuda.device(self._device):
            self._graph.replay()
        return self._results


class Parallel(Protocol):
    """Processes that share every batch; whoever starts them provides this.

    Each takes rows rank, rank + size, … of the batch, and gradients are averaged before the
    update, so together they make the update that one process would.

    Attributes
    ----------
    rank, size
        This process's number, from 0, and the number of processes.
    """

    rank: int
    size: int

    def average_(self, tensors: list[torch.Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
