"""What goes wrong on a GPU costs the GPU check one row, and nothing that it has measured."""

from __future__ import annotations

import json
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from synergy_trainer import Probe, RunFailed
from tests.benchmarks import gpu_check

CPU = torch.device("cpu")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--device", "cpu", *arguments])
    gpu_check.main()


def test_a_check_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "found.json"

    def broken(device: torch.device) -> dict:
        raise RuntimeError("CUDA error: out of memory")

    def after(device: torch.device) -> dict:
        return {"before": list(json.loads(out.read_text(encoding="utf-8")))}

    monkeypatch.setattr(gpu_check, "CHECKS", (broken, after))
    run(monkeypatch, "--out", str(out))
    found = json.loads(out.read_text(encoding="utf-8"))
    assert "CUDA error: out of memory" in found["broken"]["failed"]
    assert found["after"]["before"] == ["broken"]


def test_what_was_measured_before_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoints").mkdir()
    for arguments in (("--only", "machine"), ("--keep", str(tmp_path))):
        with pytest.raises(SystemExit):
            run(monkeypatch, *arguments)
        assert f"{arguments[0]}" in capsys.readouterr().err


def test_an_option_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, device: torch.device, times: int, **changes: Any) -> None:
            if changes.get("precision") == "bf16":
                raise RuntimeError("no bfloat16 here")

        def milliseconds(self, steps: int) -> dict:
            return {"step": 1.0, "host": 0.5}

    monkeypatch.setattr(gpu_check, "Updates", Fake)
    found = gpu_check.steps(CPU)
    assert len(found) == 4
    failed = [name for name, row in found.items() if "failed" in row]
    assert failed == ["4 models, graph bf16"]


def test_a_kernel_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def attention(device: torch.device, heads: int, option: str) -> dict:
        if heads == 16:
            raise RuntimeError("out of resource: shared memory")
        return {"apart": [0.0]}

    monkeypatch.setattr(gpu_check, "fused_attention", attention)
    monkeypatch.setattr(gpu_check, "affine", lambda device, option: {"apart": [0.0]})
    found = gpu_check.fused(CPU)
    assert len(found) == 15
    assert [name for name, row in found.items() if "failed" in row] == [
        "16 heads, tf32",
        "16 heads, float32",
        "16 heads, bf16",
    ]


def test_a_run_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    attention, weights = np.ones((1, 1, 1, 2, 2)), np.ones((1, 1))

    def train(settings: Any, runs: Any, **_: Any) -> Any:
        for run in runs[1:]:
            yield Probe(run.name, settings.steps, attention, weights, np.ones((1, 2)), 0.5, 1.0)
        yield RunFailed(runs[0].name, 1, "out of memory on cuda")

    pool = SimpleNamespace(submit=lambda *_: Future())
    monkeypatch.setattr(gpu_check, "train", train)
    monkeypatch.setattr(gpu_check, "ProcessPoolExecutor", lambda *_: pool)
    monkeypatch.setattr(gpu_check, "_ANALYSES", {})
    found = gpu_check.protocol(CPU)
    assert len(found["runs"]) == 7
    assert "out of memory on cuda" in found["remarks"][0]
    about = gpu_check.machine(CPU)
    assert gpu_check.tables({"machine": about, "protocol": found}).count("not measured") == 7 * 5
    assert "| run |" in gpu_check.tables({"machine": about, "protocol": {"failed": "…"}})


def test_waiting_for_analyses_has_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = [0.0], []

    class Endless:
        def result(self, timeout: float) -> dict:
            waited.append(timeout)
            now[0] += timeout
            raise TimeoutError

    monkeypatch.setattr(gpu_check.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gpu_check, "_ANALYSES", {"copy-1": Endless(), "copy-4": Endless()})
    found = gpu_check.findings(torch.device("cuda"))
    assert waited == [60.0, 0.0]
    assert all("TimeoutError" in row["failed"] for row in found.values())
    assert found["copy-4"]["published"] == [4.8, 23.9, 0.229, 0.229]
