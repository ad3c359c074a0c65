"""The GPU kit, scaled down on a CPU, so that no minutes on a GPU are spent on its mistakes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.places import PYTHONPATH, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WITHOUT_LAZY_LOADER = """
import runpy, sys
sys.modules["lazy_loader"] = None
runpy.run_module("tests.benchmarks.gpu_check", run_name="__main__")
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def checked(out: Path, *names: str, keep: Path | None = None, **environment: str) -> dict:
    kit = ("-m", "tests.benchmarks.gpu_check", "--device", "cpu", "--out", str(out))
    keeping = () if keep is None else ("--keep", str(keep))
    done = run(*kit, *keeping, "--only", *names, **environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert list(found) == list(names)
    for name in names:
        assert "failed" not in found[name], found[name]
        assert found[name]["seconds"] >= 0
    return found


def test_the_checks_run_on_a_cpu(tmp_path: Path) -> None:
    names = ("machine", "protocol", "steps", "tests", "findings", "same_bits", "attention")
    names = (*names, "compiled")
    kept = tmp_path / "kept"
    found = checked(tmp_path / "cpu.json", *names, keep=kept)
    assert found["machine"]["gpu"] == "CPU"
    shares = [row["dropped"] for row in found["attention"].values() if isinstance(row, dict)]
    assert shares == pytest.approx([0.1] * 8, abs=0.09)
    assert found["tests"]["rc"] == 0, found["tests"]["tail"]
    assert found["steps"]["4 models, eager tf32"]["step"] > 0
    runs = found["protocol"]["runs"]
    assert len(runs) == 8
    for row in runs.values():
        assert 0 < row["loss"] < 10
    for name in runs:
        row = found["findings"][name]
        assert len(row["attention"]) == len(row["published"]) == 4
        assert 0 <= row["layered"]["half"]["minimax"] <= 1
    assert len(list((kept / "checkpoints").glob("*.safetensors"))) == 8
    for task in ("copy", "cycle"):
        named = run("-m", "synergy_tui", "validate", str(kept / f"{task}.toml"))
        assert named.returncode == 0, named.stderr
    arrays = load_file(kept / "copy-16.safetensors")
    assert arrays["attention"].shape == (2, 4, 16, 100, 100)
    assert arrays["head_weights"].shape == (4, 16)
    repeated = {name: same for name, same in found["same_bits"].items() if name != "seconds"}
    assert list(repeated.values()) == [True] * 4
    assert found["compiled"]["step"] > 0
    table = run("-m", "tests.benchmarks.gpu_check", "--table", str(tmp_path / "cpu.json"))
    assert table.stdout.count("\n| ") == 4 + 8 + 4


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_the_fused_kernel_agrees_in_the_interpreter(tmp_path: Path) -> None:
    found = checked(tmp_path / "fused.json", "fused", TRITON_INTERPRET="1")["fused"]
    # The interpreter does not compute with bfloat16.
    apart = [row["apart"] for name, row in found.items() if "32" in name]
    assert len(apart) == 8
    assert np.max(apart) < 1e-6


def test_a_missing_lazy_loader_is_named_in_one_line() -> None:
    done = run("-c", WITHOUT_LAZY_LOADER)
    assert done.returncode == 1
    assert done.stderr.startswith("gpu_check: needs lazy_loader")
    assert done.stderr.count("\n") == 1
