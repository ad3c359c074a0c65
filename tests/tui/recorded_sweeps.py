"""Sweeps whose logs are written by hand: finished, running, and with points that failed.

They have what a verdict needs: a probe of the untrained network, held-out losses, and kept
attention on inputs that all seeds share. What each claim should come to is in `VERDICTS`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import Experiment
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
NODES, INPUTS = 9, 4
VERDICTS = {
    ("sooner", "sort"): "supported",
    ("sooner", "copy"): "no effect",  # 9 % more steps
    ("clearer", "sort"): "supported",
    ("clearer", "copy"): "supported",
    ("learned", "sort"): "supported",
    ("learned", "copy"): "contradicted",
    ("synergy-clarity", "sort · 8 heads"): "supported",
    ("synergy-clarity", "copy · 8 heads"): "no effect",
}
"""(claim, group) → what the report must say of it."""


def numbers(group: str, seed: int, heads: int) -> dict[str, float]:
    """Loss, steps, fidelity and amplification of a run: functions of its place, with some noise."""
    noise = np.random.default_rng([seed, heads, sum(group.encode())]).normal(size=4) * 0.06
    loss, steps, fidelity, gain = np.exp(noise)
    slower = 0.9 if group == "sort" else 1.03
    better = 0.3 if group == "sort" else -0.3
    return {
        "loss": 0.5 * loss / heads**better,
        "hitting_time_mean": 12.0 * steps * slower ** math.log2(heads),
        "minimax": 0.01 * fidelity * heads**0.5,
        "fidelity_amplification": 1.0 if heads == 1 else AMPLIFICATION[group] * gain,
    }


def untrained(heads: int) -> dict[str, float]:
    """The same networks before training: averaging more rows raises a minimum by itself."""
    return {
        "loss": math.log(4),
        "hitting_time_mean": 12.0,
        "minimax": 0.02 * heads**0.1,
        "fidelity_amplification": 1.0 if heads == 1 else 1.1,
    }


def attention(group: str, seed: int, heads: int) -> Snapshot:
    """Heads that share the senders out in an order of the seed's own (sort), or at random (copy).

    Those of different seeds leave some senders to nobody: only the first have learned together.
    """
    rng = np.random.default_rng([seed, heads, sum(group.encode())])
    logits = 0.05 * rng.normal(size=(INPUTS, 1, heads, NODES, NODES))
    if group == "sort":
        shares = (np.arange(NODES) + seed) % heads == np.arange(heads)[:, None]
        logits += 2.0 * shares[:, None, :]
    weights = np.where(np.tri(NODES, dtype=bool), np.exp(logits), 0.0)
    weights /= weights.sum(axis=-1, keepdims=True)
    tokens = np.random.default_rng(999).integers(0, 4, (INPUTS, NODES))
    return Snapshot("", weights.astype(np.float32), np.full((1, heads), 1 / heads), tokens)


def record(folder: Path, *, finished: bool = True, keep: bool = True) -> Sweep:
    """Make a sweep of ten points; unless ``finished``, one has failed, one runs and one waits.

    ``keep``: whether the attention of finished points is there.
    """
    sweep = make(SCENARIO, folder, "sweep_heads")
    left = () if finished else (FAILED, RUNNING, WAITING)
    with EventWriter(sweep.events_path) as log:
        log.write("sweep_started", id=sweep.id, points=10, already_finished=0, backend="test")
        for point in sweep.points:
            if point.name == WAITING and not finished:
                continue
            log.write("point_started", point=point.name, attempt=1)
            _record_point(sweep, point.name, point.group, point.seed, point.name not in left, keep)
            if point.name not in left:
                log.write("point_ended", point=point.name, attempt=1, state="finished",
                          exit_code=0, reason="", seconds=2.0)  # fmt: skip
            elif point.name == FAILED:
                log.write("point_ended", point=point.name, attempt=1, state="failed",
                          exit_code=3, reason="the loss is nan", seconds=2.0)  # fmt: skip
        if finished:
            log.write("sweep_finished", exit_code=0, finished=10)
    return sweep


def _record_point(
    sweep: Sweep, name: str, group: str, seed: int, complete: bool, keep: bool
) -> None:
    runs = [f"heads-{heads}" for heads in HEADS]
    experiment = sweep.experiment(name)
    with EventWriter(experiment.events_path) as log:
        log.write("experiment_started", id=name, scenario=name, title=name, runs=runs, seed=seed,
                  versions={"synergy": "0.1.0"}, started="2026-11-23T15:43:12+00:00")  # fmt: skip
        for run, heads in zip(runs, HEADS, strict=True):
            kept = None
            if complete and keep:
                kept = _keep(experiment, run, attention(group, seed, heads))
            steps = 40 if complete else 20
            _record_run(log, run, heads, numbers(group, seed, heads), steps, kept)
            if complete:
                log.write("run_finished", run=run, step=40)
        if complete:
            log.write("experiment_finished", exit_code=0, verdict="8 heads are clearer")
        elif name == FAILED:
            log.write("run_failed", run=runs[0], step=20, reason="the loss is nan")
            log.write("experiment_finished", exit_code=3, verdict="")


def _keep(experiment: Experiment, run: str, snapshot: Snapshot) -> str:
    (experiment.path / "attention").mkdir(exist_ok=True)
    name = f"attention/{run}-00000040.safetensors"
    (experiment.path / name).write_bytes(snapshot.packed())
    return name


def _record_run(
    log: EventWriter, run: str, heads: int, found: dict[str, float], steps: int, kept: str | None
) -> None:
    log.write("run_started", run=run, parameters=75600, heads=heads, device="cpu", layers=1,
              nodes=NODES, floor=0.05, ceiling=0.99, task="sort", steps=40, seed=7,
              kind_of_run="trained")  # fmt: skip
    _probe(log, run, 0, untrained(heads), None)
    for step in range(4, steps + 1, 4):
        log.write("train_step", run=run, step=step, loss=found["loss"] * (1 + 8 / step),
                  accuracy=0.5, tokens_per_second=1000.0)  # fmt: skip
    log.write("train_step", run=run, step=steps, loss=found["loss"], accuracy=0.5,
              tokens_per_second=1000.0)  # fmt: skip
    _probe(log, run, steps, found, kept)


def _probe(
    log: EventWriter, run: str, step: int, found: dict[str, float], kept: str | None
) -> None:
    given: dict[str, Any] = {
        "mixing": {"hitting_time_mean": found["hitting_time_mean"]},
        "fidelity": {"minimax": found["minimax"], "lower": found["minimax"]},
        "synergy": {
            "fidelity_amplification": found["fidelity_amplification"],
            "hitting_gain": 1.0,
            "mixing_gain": 1.0,
        },
    }
    overall = analysis("overall")
    for key, changes in given.items():
        overall[key] = {**overall[key], **changes}
    if found["fidelity_amplification"] != 1.0:  # several heads
        gains = {"fidelity_amplification": 1.05, "hitting_gain": 1.0}
        overall["nulls"] = {"shuffled": {**gains, "intervals": {}, "beyond": {}}}
    log.write("probe", run=run, step=step, inputs=INPUTS, layers=[{**overall, "layer": 1}],
              overall=overall, attention=kept, loss=found["loss"], accuracy=0.5,
              eval_sequences=64)  # fmt: skip
