"""Devices: which there are, what they cannot do, and modes that are set back."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from synergy_trainer import (
    RunFinished,
    RunStarted,
    TrainerError,
    Warned,
    train,
)
from synergy_trainer.attend.products import onednn_keeps_float32
from synergy_trainer.cohort import Cohort
from synergy_trainer.device import modes, warnings_for
from tests.trainer.runs import PAIR, SMALL, of_kind, small


def test_devices_that_are_not_there() -> None:
    with pytest.raises(TrainerError, match="'tpu' is not one of auto, cpu, cuda, mps"):
        train(SMALL, PAIR, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(TrainerError, match="this machine has no 'cuda'"):
            train(SMALL, PAIR, device="cuda")


def test_wishes_a_device_cannot_grant_are_warned_about() -> None:
    cpu = torch.device("cpu")
    assert not warnings_for(SMALL, cpu)
    wishes = small(cuda_graphs=True, tf32=True)
    assert len(warnings_for(wishes, cpu)) == 2
    assert of_kind(train(replace(wishes, steps=1), PAIR, device="cpu"), Warned)
    gains_nothing = any(
        "bf16 gains nothing" in m for m in warnings_for(small(precision="bf16"), cpu)
    )
    assert gains_nothing == onednn_keeps_float32()
    mps = warnings_for(small(deterministic=True), torch.device("mps"))
    assert mps == ["deterministic: Apple's mps offers no deterministic mode; results may vary"]


def test_auto_takes_the_cpu_of_a_mac_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    events = list(train(small(steps=1), PAIR))
    (warned,) = of_kind(events, Warned)
    assert "'auto' takes the CPU" in warned.message
    assert {event.device for event in of_kind(events, RunStarted)} == {"cpu"}
    assert not of_kind(train(small(steps=1), PAIR, device="cpu"), Warned)


class Float64(TorchDispatchMode):
    """Notes operations on float64, which Apple's mps does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        result = function(*given, **(named or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
                self.found.append(str(function))
        return result


def test_devices_need_no_float64() -> None:
    cohort = Cohort(small(dropout=0.1), PAIR, torch.device("cpu"))
    with Float64() as noted:
        cohort.update(measure=True)
        cohort.probe()
        torch.ones(2).double()
    assert noted.found == ["aten._to_copy.default"]


FAULTS = """
import resource, torch
from synergy_trainer import RunSettings, TrainSettings
from synergy_trainer.cohort import Cohort

settings = TrainSettings(task="sort", length=33, batch=64, layers=1)
runs = [RunSettings("one", 1), RunSettings("eight", 8)]
cohort = Cohort(settings, runs, torch.device("cpu"))
for _ in range(10):
    cohort.update(measure=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    cohort.update(measure=True)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_updates_use_the_same_memory_again() -> None:
    """Otherwise about a thousand pages in each."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9"
)
@pytest.mark.parametrize("set_before", ["none", "ieee", "tf32"])
def test_modes_are_set_back_whichever_api_the_caller_used(set_before: str) -> None:
    matmul = torch.backends.cuda.matmul
    old = matmul.fp32_precision
    matmul.fp32_precision = set_before
    try:
        assert of_kind(train(small(steps=1), PAIR, device="cpu"), RunFinished)
        for tf32 in (True, False):
            with modes(small(tf32=tf32, deterministic=True), torch.device("cuda")):
                assert matmul.fp32_precision == ("tf32" if tf32 else "ieee")
                assert torch.are_deterministic_algorithms_enabled()
            assert matmul.fp32_precision == set_before
            assert not torch.are_deterministic_algorithms_enabled()
    finally:
        matmul.fp32_precision = old


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9"
)
@pytest.mark.parametrize("set_before", ["none", "ieee", "tf32", "highest", "high", "medium"])
def test_the_precision_can_be_read_by_the_compiler(set_before: str) -> None:
    """It reads the older setting, which is an error where the newer one says otherwise."""
    modules = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    old = [each.fp32_precision for each in modules]
    try:
        if set_before.startswith(("high", "medium")):
            torch.set_float32_matmul_precision(set_before)
        else:
            modules[0].fp32_precision = set_before
        wanted = [each.fp32_precision for each in modules]
        for tf32 in (True, False):
            with modes(small(tf32=tf32, compile=True), torch.device("cuda")):
                assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
                assert modules[0].fp32_precision == ("tf32" if tf32 else "ieee")
            assert [each.fp32_precision for each in modules] == wanted
        if set_before.startswith(("high", "medium")):
            assert torch.get_float32_matmul_precision() == set_before
    finally:
        torch.set_float32_matmul_precision("highest")
        for each, precision in zip(modules, old, strict=True):
            each.fp32_precision = precision
