"""What a worker reports of the GPUs, with a library that plays NVIDIA's."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from synergy_tui.running import resources


class Nvml:
    """As much of NVIDIA's library as the meter uses; every handle is its name."""

    class NVMLError(Exception):
        pass

    load = {"GPU-slow": 5, "GPU-fast": 90}  # noqa: RUF012

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        if name not in ("GPU-slow", "GPU-fast", "MIG-1"):
            raise self.NVMLError
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used=len(handle))

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        if handle not in self.load:
            raise self.NVMLError
        return SimpleNamespace(gpu=self.load[handle])


@pytest.mark.parametrize(
    ("visible", "uuids", "reserved", "measured"),
    [
        (None, ["fast", "slow"], [0, 2**20], (5, 8)),  # `--device cuda:1`, while 0 is busy
        (None, ["fast", "slow"], [2**20, 2**20], (90, 8)),
        (None, ["fast", "slow"], [0, 0], (None, None)),
        ("1", ["slow"], [2**20], (5, 8)),
        ("GPU-sl", ["slow"], [2**20], (5, 8)),  # CUDA takes the beginning of a UUID
        ("MIG-1", ["of its card"], [2**20], (None, 5)),
        (None, ["1"], [2**20], (None, 5)),  # the only part of a GPU
        (None, ["unknown"], [2**20], (None, None)),
    ],
)
def test_the_meter_looks_at_the_gpus_in_use(
    visible: str | None,
    uuids: list[str],
    reserved: list[int],
    measured: tuple,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    begun = [False]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: begun[0])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(torch.cuda, "memory_reserved", reserved.__getitem__)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index])
    )
    meter = resources._gpu_meter()
    assert meter() == (None, None)
    begun[0] = True
    assert meter() == measured


def test_the_meter_waits_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    meter = resources._gpu_meter()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # being imported
    assert meter() == (None, None)
    monkeypatch.delitem(sys.modules, "torch")
    assert meter() == (None, None)
