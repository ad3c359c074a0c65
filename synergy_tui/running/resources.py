"""What a worker uses of its machine, reported while it runs."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from synergy_tui.machine import visible_gpus

INTERVAL = 2.0


class ResourceMonitor:
    """Reports CPU, memory and GPU use every `INTERVAL` seconds until it is stopped.

    ``report`` is called with ``cpu_percent`` (100 is one busy core), ``memory_bytes`` (resident),
    ``gpu_percent`` and ``gpu_memory_bytes`` (``None`` without an NVIDIA GPU or its library).
    """

    def __init__(self, report: Callable[..., Any]) -> None:
        self._report = report
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resources", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the report under way."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        import psutil

        process = psutil.Process()
        process.cpu_percent()
        gpu = _gpu_meter()
        while not self._stopped.wait(INTERVAL):
            percent, used = gpu()
            try:
                self._report(
                    cpu_percent=process.cpu_percent(),
                    memory_bytes=process.memory_info().rss,
                    gpu_percent=percent,
                    gpu_memory_bytes=used,
                )
            except (OSError, psutil.Error):
                return


def _gpu_meter() -> Callable[[], tuple[float | None, int | None]]:
    """Return what measures load and memory of the busiest GPU that this process uses.

    Without one it returns ``None``s. A part of a GPU (MIG) has a memory, but no load of its own.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        return lambda: (None, None)

    def measure() -> tuple[float | None, int | None]:
        found: list[tuple[float | None, int]] = []
        for handle in _in_use(pynvml):
            try:
                used = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
            except pynvml.NVMLError:
                continue
            try:
                load = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            except pynvml.NVMLError:
                found.append((None, used))
            else:
                found.append((load, used))
        return max(found, key=lambda each: (each[0] or 0.0, each[1]), default=(None, None))

    return measure


def _in_use(nvml: Any) -> list[Any]:
    """The library's handles of the GPUs on which PyTorch has memory in this process.

    They are asked for by UUID: the library numbers GPUs by their place on the bus, CUDA by speed.
    """
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)  # `None` while it is being imported
    if not getattr(cuda, "is_initialized", bool)():
        return []
    given = visible_gpus() or []
    found = []
    for index in range(cuda.device_count()):
        if cuda.memory_reserved(index) == 0:
            continue
        uuid = cuda.get_device_properties(index).uuid
        names = [f"GPU-{uuid}", f"MIG-{uuid}"]
        if index < len(given) and given[index].startswith("MIG-"):
            names = [given[index]]
        for name in names:
            with contextlib.suppress(nvml.NVMLError):
                found.append(nvml.nvmlDeviceGetHandleByUUID(name))
                break
    return found
