"""What a machine offers is found, whatever it lacks."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from synergy_tui import machine
from synergy_tui.errors import EXTRAS
from tests.places import ROOT


def test_a_probe_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> machine.Finding:
        raise RuntimeError("the driver is on holiday")

    monkeypatch.setattr(machine, "_gpu", broken)
    findings = {each.name: each for each in machine.examine()}
    assert findings["gpu"].state == "broken"
    assert "the driver is on holiday" in findings["gpu"].text


def test_a_driver_without_a_matching_torch_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(machine, "_driver", lambda: "580.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    [found] = [each for each in machine.examine() if each.name == "gpu"]
    assert found.state == "warning"
    assert "CUDA build" in found.advice


@pytest.mark.parametrize(
    ("variables", "name", "says"),
    [
        ({"NO_COLOR": "1"}, "colour", "NO_COLOR"),
        ({"TMUX": "/tmp/x"}, "terminal", "tmux"),
        ({"SYNERGY_HOME": "/dev/null/none"}, "disk", "not writable"),
    ],
)
def test_the_environment_is_reported(
    variables: dict[str, str], name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    [found] = [each for each in machine.examine() if each.name == name]
    assert says in found.text


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
    assert machine._gpu_meter()() == measured


@pytest.mark.parametrize(
    ("built", "capability", "serves"),
    [
        (["sm_80", "sm_90"], "9.0", True),
        (["sm_80", "sm_90a"], "8.6", True),
        (["sm_86"], "8.0", False),
        (["sm_75", "sm_120"], "9.0", False),
        (["sm_75", "compute_80"], "9.0", True),
        (["compute_120"], "9.0", False),
    ],
)
def test_a_torch_built_for_other_gpus_is_found(
    built: list[str], capability: str, serves: bool
) -> None:
    class Fake:
        cuda = SimpleNamespace(get_arch_list=lambda: built)

        @staticmethod
        def ones(size: int, device: str) -> torch.Tensor:
            assert device == "cuda:1"
            return torch.ones(size)

    problem = machine._gpu_problem(Fake, 1, capability)
    assert (problem is None) == serves
    assert serves or problem.startswith("torch is built for")


def test_a_gpu_whose_kernels_fail_is_found() -> None:
    class Fake:
        cuda = SimpleNamespace(get_arch_list=lambda: [])

        @staticmethod
        def ones(size: int, device: str) -> torch.Tensor:
            raise RuntimeError("CUDA error: no kernel image\nmore")

    assert machine._gpu_problem(Fake, 0, "9.0") == "CUDA error: no kernel image"


def test_the_kernel_cache_is_the_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from synergy_engine.kernels import dense

    used = next(each for each in vars(dense).values() if hasattr(each, "stats"))
    found = machine._numba()
    assert found.data["cache"] == used.stats.cache_path
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: str(Path(used.stats.cache_path)))
    assert "NUMBA_CACHE_DIR" in machine._numba().advice


def test_every_extra_that_users_may_add_is_looked_for() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = listed["optional-dependencies"].keys() - {"test", "lint"}
    assert extras == machine._DISTRIBUTIONS.keys() == EXTRAS.keys()
