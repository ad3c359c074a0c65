"""Which device to train on, and what it can be asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from .cpu_products import onednn_keeps_float32
from .errors import TrainerError
from .settings import TrainSettings


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
