"""Sweeps whose logs are written by hand: finished, running, and with points that failed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from synergy_tui.experiments.events import EventWriter
from synergy_tui.sweep.directory import Sweep
from tests.tui.commands.conftest import analysis
from tests.tui.conftest import make

SCENARIO = """
title = "Head counts at equal parameters"
[train]
task = "sort"
length = 9
vocabulary = 4
steps = 40
batch = 8
embed = 16
mlp = 16
layers = 1
[sweep]
seeds = 5
tasks = ["sort", "copy"]
heads = [1, 2, 4, 8]
"""
FAILED, RUNNING, WAITING = "sort-s4", "copy-s3", "copy-s4"
HEADS = (1, 2, 4, 8)
# Group → how the mixture stands to its best head: a mixture that is worse is among them.
AMPLIFICATION = {"sort": 1.3, "copy": 0.8}


def numbers(group: str, seed: int, heads: int) -> dict[str, float]:
    """Loss, steps, fidelity and amplification of a run: functions of its place, with some noise."""
    noise = np.random.default_rng([seed, heads, sum(group.encode())]).normal(size=4) * 0.06
    loss, steps, fidelity, gain = np.exp(noise)
    slower = 0.9 if group == "sort" else 1.05
    return {
        "loss": 0.5 * loss / heads**0.3,
        "hitting_time_mean": 12.0 * steps * slower ** math.log2(heads),
        "minimax": 0.01 * fidelity * heads**0.5,
        "fidelity_amplification": 1.0 if heads == 1 else AMPLIFICATION[group] * gain,
    }


def record(folder: Path, *, finished: bool = True) -> Sweep:
    """Make a sweep of ten points; unless ``finished``, one has failed, one runs and one waits."""
    sweep = make(SCENARIO, folder, "sweep_heads")
    left = () if finished else (FAILED, RUNNING, WAITING)
    with EventWriter(sweep.events_path) as log:
        log.write("sweep_started", id=sweep.id, points=10, already_finished=0, backend="test")
        for point in sweep.points:
            if point.name == WAITING and not finished:
                continue
            log.write("point_started", point=point.name, attempt=1)
            _record_point(
                sweep, point.name, point.group, point.seed, complete=point.name not in left
            )
            if point.name not in left:
                log.write("point_ended", point=point.name, attempt=1, state="finished",
                          exit_code=0, reason="", seconds=2.0)  # fmt: skip
            elif point.name == FAILED:
                log.write("point_ended", point=point.name, attempt=1, state="failed",
                          exit_code=3, reason="the loss is nan", seconds=2.0)  # fmt: skip
        if finished:
            log.write("sweep_finished", exit_code=0, finished=10)
    return sweep


def _record_point(sweep: Sweep, name: str, group: str, seed: int, *, complete: bool) -> None:
    runs = [f"heads-{heads}" for heads in HEADS]
    with EventWriter(sweep.experiment(name).events_path) as log:
        log.write("experiment_started", id=name, scenario=name, title=name, runs=runs, seed=seed,
                  versions={"synergy": "0.1.0"}, started="2026-11-23T15:43:12+00:00")  # fmt: skip
        for run, heads in zip(runs, HEADS, strict=True):
            _record_run(log, run, heads, numbers(group, seed, heads), 40 if complete else 20)
            if complete:
                log.write("run_finished", run=run, step=40)
        if complete:
            log.write("experiment_finished", exit_code=0, verdict="8 heads are clearer")
        elif name == FAILED:
            log.write("run_failed", run=runs[0], step=20, reason="the loss is nan")
            log.write("experiment_finished", exit_code=3, verdict="")


def _record_run(
    log: EventWriter, run: str, heads: int, found: dict[str, float], steps: int
) -> None:
    log.write("run_started", run=run, parameters=75600, heads=heads, device="cpu", layers=1,
              nodes=9, floor=0.05, ceiling=0.99, task="sort", steps=40, seed=7,
              kind_of_run="trained")  # fmt: skip
    for step in range(4, steps + 1, 4):
        log.write("train_step", run=run, step=step, loss=found["loss"] * (1 + 8 / step),
                  accuracy=0.5, tokens_per_second=1000.0)  # fmt: skip
    log.write("train_step", run=run, step=steps, loss=found["loss"], accuracy=0.5,
              tokens_per_second=1000.0)  # fmt: skip
    given: dict[str, Any] = {
        "mixing": {"hitting_time_mean": found["hitting_time_mean"]},
        "fidelity": {"minimax": found["minimax"], "lower": found["minimax"]},
        "synergy": {"fidelity_amplification": found["fidelity_amplification"], "mixing_gain": 1.0},
    }
    overall = analysis("overall")
    for key, changes in given.items():
        overall[key] = {**overall[key], **changes}
    log.write("probe", run=run, step=steps, inputs=2, layers=[{**overall, "layer": 1}],
              overall=overall, attention=None)  # fmt: skip
