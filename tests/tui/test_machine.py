"""What a machine offers is found, whatever it lacks."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("built", "capability", "serves"),
    [
        (["sm_80", "sm_90"], "9.0", True),
        (["sm_80", "sm_90a"], "8.6", True),
        (["sm_86"], "8.0", False),
        (["sm_75", "sm_120"], "9.0", False),
        (["sm_75", "compute_80"], "9.0", True),
        (["compute_120"], "9.0", False),
        (["gfx90a", "gfx1100"], "9.0", True),  # ROCm's say nothing of capabilities
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


@pytest.mark.parametrize(("problem", "state"), [(None, "ok"), ("it adds wrongly", "broken")])
def test_every_gpu_is_tried(
    problem: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver and a name are not enough."""
    card = SimpleNamespace(name="H100", major=9, minor=0)
    tried = []

    def of(_: object, index: int, capability: str) -> str | None:
        tried.append((index, capability))
        return problem if index == 1 else None

    monkeypatch.setattr(machine, "_driver", lambda: "580.1")
    monkeypatch.setattr(machine, "_gpu_problem", of)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1, 2))
    found = machine._gpu()
    assert tried == [(0, "9.0"), (1, "9.0")]
    assert found.state == state
    assert found.text.endswith(f"H100 cannot be used: {problem}" if problem else "driver 580.1")


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
