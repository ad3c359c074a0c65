"""Sweeps that were really run, once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from synergy_tui.errors import ExitCode
from synergy_tui.scenario import load_scenario
from synergy_tui.sweep.directory import Sweep, create_sweep
from synergy_tui.sweep.driver import run_sweep
from synergy_tui.sweep.executors.executor import Backend
from synergy_tui.sweep.executors.pool import PoolExecutor
from synergy_tui.sweep.plan import expand

DESIGNED = """
title = "Two families, two seeds, two head counts"
[analysis]
also = ["feedforward"]
[[runs]]
name = "heads"
graph = { topology = "funsearch", nodes = 8, diversity = 1.0 }
[sweep]
seeds = 2
topologies = ["funsearch", "line"]
compare = "heads"
heads = [1, 4]
"""


def make(text: str, folder: Path, name: str = "tiny") -> Sweep:
    """A sweep of a scenario's text, not yet run."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(text)
    scenario = load_scenario(file)
    return create_sweep(
        scenario, expand(scenario), folder / "out", command=f"synergy sweep scenarios/{name}.toml"
    )


def run_here(sweep: Sweep, workers: int = 1) -> ExitCode:
    """Run what is not finished of a sweep, on one thread per process."""
    pool = PoolExecutor(Backend("pool", workers, device="cpu"), sweep.log_path)
    with sweep.lock():
        return run_sweep(sweep, pool, origin={"backend": "test", "machine": "a machine"})


@pytest.fixture(scope="session")
def designed_sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A finished sweep of designed graphs; not to be changed."""
    sweep = make(DESIGNED, tmp_path_factory.mktemp("designed"))
    assert run_here(sweep) is ExitCode.OK
    return sweep


ABLATED = """
title = "Two seeds of one head and of two"
[train]
task = "copy"
length = 6
vocabulary = 4
steps = 3
batch = 4
embed = 8
mlp = 8
layers = 2
probe_inputs = 3
probe_stream = 9
eval_sequences = 300
ablate = true
norms = true
[analysis]
kept_inputs = 3
[[runs]]
name = "heads"
heads = 1
[sweep]
seeds = 2
heads = [1, 2]
"""


@pytest.fixture(scope="session")
def ablated_sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A finished sweep of networks that were ablated while they trained; not to be changed."""
    sweep = make(ABLATED, tmp_path_factory.mktemp("ablated"))
    assert run_here(sweep) is ExitCode.OK
    return sweep
