"""What the worker uses of its machine, measured now and then in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

INTERVAL = 2.0


class ResourceMonitor:
    """Reports CPU, memory and GPU use until it is stopped.

    Parameters
    ----------
    report
        Called with ``cpu_percent`` (100 is one busy core), ``memory_bytes`` (resident),
        ``gpu_percent`` and ``gpu_memory_bytes`` (``None`` without an NVIDIA GPU or its library).
    interval
        Seconds between reports.
    """

    def __init__(self, report: Callable[..., Any], interval: float = INTERVAL) -> None:
        self._report = report
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resources", daemon=True)

    def start(self) -> None:
        """Begin."""
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
        gpu = _gpu()
        while not self._stopped.wait(self._interval):
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


def _gpu() -> Callable[[], tuple[float | None, int | None]]:
    """Return what measures the first GPU; nothing where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:
        return lambda: (None, None)

    def measure() -> tuple[float | None, int | None]:
        try:
            used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
            return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu), int(used)
        except pynvml.NVMLError:
            return None, None

    return measure
