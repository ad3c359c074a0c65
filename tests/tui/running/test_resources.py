"""What a worker reports of the GPUs, with a library that plays NVIDIA's."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from synergy_tui.running import resources


class Nvml:
    """As much of NVIDIA's library as the meter uses; every handle is its name."""

    class NVMLError(Exception):
        pass

    load = {"0": 5, "1": 90, "GPU-a": 40}  # noqa: RUF012

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return str(index)

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used=len(handle))

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        if handle not in self.load:
            raise self.NVMLError
        return SimpleNamespace(gpu=self.load[handle])


@pytest.mark.parametrize(
    ("visible", "measured"),
    [
        (None, (90, 1)),
        ("0", (5, 1)),
        ("0, GPU-a", (40, 5)),
        ("MIG-1", (None, 5)),
        ("0,-1,1", (5, 1)),
        ("", (None, None)),
    ],
)
def test_the_meter_looks_at_the_gpus_that_are_visible(
    visible: str | None, measured: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resources._gpu_meter()() == measured
