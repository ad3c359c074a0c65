"""Event logs made up in the shape of real ones, for tests that need a log of a given kind or size.

The curves are plausible, not measured; what real runs record is in ``tests/data/recordings``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from synergy_tui.experiments.events import decode, encode
from synergy_tui.experiments.state import ExperimentState


def analysis(
    time: float, fidelity: float, heads: int, layer: int | str, nodes: int = 33, inputs: int = 16
) -> dict[str, Any]:
    """An analysis object: arrival with time constant ``time``, minimax fidelity ``fidelity``."""
    steps = np.unique(np.rint(np.linspace(0, 6 * time, 48)).astype(int))
    mean = 1 - np.exp(-steps / time)
    worst = 1 - np.exp(-steps / (1.8 * time))
    mixed = math.ceil(1.8 * time * math.log(4))
    times = {
        "mixing_time_tv_max": mixed,
        "mixing_time_tv_mean": math.ceil(time * math.log(4)),
        "mixing_time_l1_max": math.ceil(1.8 * time * math.log(8)),
        "mixing_time_l1_mean": math.ceil(time * math.log(8)),
    }
    alone = fidelity / (1.9 if heads > 1 else 1.0)
    return {
        "layer": layer, "heads": heads, "nodes": nodes, "inputs": inputs,
        "head_weights": [1 / heads] * heads, "weights": "learned", "convention": "theory",
        "combine": "walks", "epsilon": 0.25, "sink": "excluded",
        "mixing": {
            "hitting_time_mean": time, "hitting_time_median": time * 0.9,
            "hitting_time_capped_mean": time, "arrival_median": time * 0.7, "max_steps": 10000,
            **times, "backward": times,
        },
        "fidelity": {
            "minimax": fidelity, "normalised": fidelity * nodes, "argmin": 3, "time": 2,
            "lower": fidelity, "upper": fidelity, "unreachable": [],
        },
        "per_head": [
            {"head": head + 1, "weight": 1 / heads, "hitting_time_mean": time * (1.5 + head / 10),
             "mixing_time_tv_max": mixed * 2, "fidelity_minimax": alone * (1 - head / 20)}
            for head in range(heads)
        ],
        "synergy": {
            "fidelity_amplification": fidelity / alone, "mixing_gain": 1.4 if heads > 1 else 1.0,
            "hitting_gain": 1.5 if heads > 1 else 1.0,
            "best_head_fidelity": alone, "beats_best_head": 0.75,
        },
        "diversity": {"jensen_shannon": 0.3, "jaccard": 0.0, "cosine_disagreement": 0.4},
        "bounds": {
            "thm_2_9": {"bound": 4.0 * mixed, "measured": mixed, "holds": True, "applies": True,
                        "condition": "epsilon >= e^-2"},
            "sharper": {"bound": 1.6 * mixed, "measured": mixed, "holds": True, "applies": True,
                        "condition": "epsilon >= e^-2"},
        },
        "arrival": {
            "steps": steps.tolist(), "mean": mean.tolist(),
            "median": (1 - np.exp(-steps / (0.8 * time))).tolist(), "worst": worst.tolist(),
        },
        "intervals": {
            "hitting_time_mean": [time * 0.93, time * 1.08],
            "fidelity_minimax": [fidelity * 0.9, fidelity * 1.1],
            "fidelity_amplification": [1.6, 2.2] if heads > 1 else [1.0, 1.0],
            "hitting_gain": [1.3, 1.7] if heads > 1 else [1.0, 1.0],
        },
        **({"nulls": {"shuffled": {
            "fidelity_amplification": 1.1, "hitting_gain": 1.4,
            "intervals": {"fidelity_amplification": [1.0, 1.2], "hitting_gain": [1.3, 1.5]},
            "beyond": {"fidelity_amplification": [1.5, 2.0], "hitting_gain": [0.97, 1.18]},
        }}} if heads > 1 and inputs > 1 else {}),
    }  # fmt: skip


def trained(
    upto: int = 412,
    steps: int = 600,
    runs: tuple[tuple[str, int], ...] = (("single-head", 1), ("multi-head", 8)),
    probe_every: int = 20,
    layers: int = 1,
    finish: bool | None = None,
) -> list[dict[str, Any]]:
    """Events of an experiment that trains ``runs`` (name, heads) and has reached step ``upto``."""
    clock = 0.0
    events: list[dict[str, Any]] = []

    def add(kind: str, **fields: Any) -> None:
        events.append({"v": 1, "t": round(clock, 3), "kind": kind, **fields})

    add("experiment_started", id="2026-11-23-154312-diverse_heads", scenario="diverse_heads",
        title="Diverse heads against one head, same parameters", seed=7, versions={},
        runs=[name for name, _ in runs], started="2026-11-23T15:43:12+00:00")  # fmt: skip
    for name, heads in runs:
        add("run_started", run=name, parameters=75600, heads=heads, device="cpu", layers=layers,
            nodes=33, floor=0.0, ceiling=1.0, task="sort", steps=steps, seed=7,
            kind_of_run="trained", note="")  # fmt: skip
    noise = np.random.default_rng(7)
    for step in range(upto + 1):
        clock = step / 9.3
        for place, (name, heads) in enumerate(runs):
            pull = math.sqrt(heads)
            if step:
                loss = 2.7 * math.exp(-step / (300 / pull)) + 0.25 / heads
                loss *= 1 + 0.06 * noise.standard_normal()
                add("train_step", run=name, step=step, loss=loss, accuracy=1 - loss / 3,
                    tokens_per_second=18200.0 + 100 * place)  # fmt: skip
            if step % probe_every == 0 or step == steps:
                time = 11 + 30 * math.exp(-step / 120) if heads > 1 else 31 - 6 * step / steps
                clear = 0.042 * (1 - math.exp(-step / 150)) * (0.5 + pull / 4)
                per_layer = [
                    analysis(time * (1 + 0.2 * number), 1e-3 + clear, heads, number + 1)
                    for number in range(layers)
                ]
                add("probe", run=name, step=step, inputs=16, layers=per_layer,
                    overall=analysis(time, 1e-3 + clear, heads, "overall"),
                    attention=f"attention/{name}-{step:08d}.safetensors")  # fmt: skip
        if step % 50 == 0:
            add("resources", cpu_percent=96.0, memory_bytes=412_000_000, gpu_percent=None,
                gpu_memory_bytes=None)  # fmt: skip
    if upto >= steps if finish is None else finish:
        for name, _ in runs:
            add("run_finished", run=name, step=upto, reason="")
        add("experiment_finished", exit_code=0, verdict="multi-head is clearer", reason="")
    return events


def designed() -> list[dict[str, Any]]:
    """Events of a designed experiment with two heads alone and together."""
    events: list[dict[str, Any]] = [
        {"v": 1, "t": 0.0, "kind": "experiment_started", "id": "2026-11-23-154312-example2",
         "scenario": "example2", "title": "Example 2: two heads are clearer together", "seed": 0,
         "versions": {}, "runs": ["head 1", "head 2", "both"]},
    ]  # fmt: skip
    for name, heads, time, fidelity in (
        ("head 1", 1, 6.0, 3 / 8), ("head 2", 1, 4.0, 1 / 4), ("both", 2, 4.7, 5 / 12),
    ):  # fmt: skip
        events += [
            {"v": 1, "t": 0.1, "kind": "run_started", "run": name, "parameters": None,
             "heads": heads, "device": None, "layers": 1, "nodes": 4, "floor": None,
             "ceiling": None, "task": None, "steps": None, "seed": 0, "kind_of_run": "designed"},
            {"v": 1, "t": 0.2, "kind": "simulated", "run": name, "step": 0, "inputs": 1,
             "layers": [analysis(time, fidelity, heads, 1, nodes=4, inputs=1)],
             "overall": analysis(time, fidelity, heads, "overall", nodes=4, inputs=1),
             "attention": None},
            {"v": 1, "t": 0.3, "kind": "run_finished", "run": name, "step": 0, "reason": ""},
        ]  # fmt: skip
    events.append({"v": 1, "t": 0.4, "kind": "experiment_finished", "exit_code": 0})
    return events


def state_of(events: list[dict[str, Any]]) -> ExperimentState:
    """What these events add up to."""
    state = ExperimentState()
    state.apply_all(events)
    return state


def write(events: list[dict[str, Any]], folder: Path) -> Path:
    """Write an experiment directory that holds just the log; returns the directory."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.jsonl").open("ab") as file:
        for event in events:
            file.write(encode(event))
    return folder


def write_steps(count: int, path: Path) -> None:
    """Write a log of ``count`` events, nearly all of them training steps of two runs."""
    head = trained(upto=0)
    with path.open("wb") as file:
        for event in head:
            file.write(encode(event))
        block: list[bytes] = []
        for place in range(count - len(head)):
            step = place // 2 + 1
            event = {
                "v": 1, "t": step / 100, "kind": "train_step",
                "run": "multi-head" if place % 2 else "single-head", "step": step,
                "loss": 2.7 * math.exp(-step / 1e5) + 0.1, "accuracy": 0.5,
                "tokens_per_second": 18200.5,
            }  # fmt: skip
            block.append(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
            if len(block) == 10000:
                file.write(b"".join(block))
                block.clear()
        file.write(b"".join(block))


def again(event: dict[str, Any]) -> dict[str, Any]:
    """The event as it is read from a log, sharing nothing with ``event``."""
    read: dict[str, Any] = decode(encode(event))
    return read
