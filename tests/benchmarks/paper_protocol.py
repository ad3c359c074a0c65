"""The whole published protocol, timed, measured, and held to the limit of the card or CPU.

Run: `python -m tests.benchmarks.paper_protocol` on a machine with a GPU, where it takes minutes;
`--steps 200` is a quick look, `--device cpu --steps 500 --look 2` is scaled down. It prints:

1. the plain loop (`tests/trainer/plain.py`): tokens per second, one head count after another;
2. what CUDA graphs, TF32, bf16 and compilation do to a step's time and to the losses;
3. the protocol, 8 runs of 20,000 steps: its time, tokens per second, the ratio to the plain loop,
   and what share of the card's measured float32 or TF32 rate its products reach;
4. for each run loss and accuracy beside floor and ceiling, and steps to the sink and fidelity of
   its final attention in both conventions, averaged over the layers, beside the published ones.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

import synergy_engine as engine
from synergy_trainer import Probe, RunSettings, TrainSettings, TrainStep, train
from synergy_trainer.attend.products import onednn, onednn_serves
from synergy_trainer.data import Source
from synergy_trainer.device import modes
from synergy_trainer.model import initial_state
from synergy_trainer.settings import ModelShape, make_task, shape_of
from tests.trainer.plain import PlainTransformer, train_plainly

HEADS = (1, 4, 8, 16)
RUNS = [RunSettings(str(heads), heads) for heads in HEADS]
PAPER = TrainSettings(
    length=100, vocabulary=256, batch=50, sequences=5000, embed=64, mlp=128, layers=4, dropout=0.1,
    steps=20_000, probe_every=0, probe_inputs=50, checkpoint_every=0, cuda_graphs=True, tf32=True,
)  # fmt: skip
TOKENS = PAPER.batch * PAPER.length
OPTIONS: dict[str, dict[str, Any]] = {
    "eager, float32": {"cuda_graphs": False, "tf32": False},
    "graphs, float32": {"tf32": False},
    "graphs, TF32": {},
    "graphs, bf16": {"precision": "bf16"},
    "graphs, TF32, compiled": {"compile": True},
}
# Layer averages over 50 inputs at 1, 4, 8 and 16 heads (arXiv 2507.02944 and its recomputation):
# steps to the sink in the paper's code and properly, fidelity in % with and without the sink.
PUBLISHED = {
    "copy": ["58.5 4.8 3.7 3.6", "75.5 23.9 9.3 6.7", ".074 .229 .300 .414", ".074 .229 .300 .414"],
    "cycle": ["41.3 21.2 14.9 13.4", "46.1 26.3 16.8 16.7", ".000 .253 .426 .442",
              "59.8 22.8 20.7 13.0"],
}  # fmt: skip


def settle(device: torch.device) -> float:
    """Wait for the device and return the time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def products(shape: ModelShape) -> int:
    """Multiply-adds in the matrix products of one model's update, forward and backward."""
    width, hidden, n = shape.embed, shape.mlp, PAPER.length
    per_token = shape.layers * (4 * width**2 + 2 * width * hidden) + width * shape.tokens
    attention = shape.layers * PAPER.batch * n**2 * width  # half of the square, two products
    return 3 * (TOKENS * per_token + attention)


def card_rate(device: torch.device, tf32: bool) -> float:
    """Multiply-adds per second of one large product, by the library that the trainer uses."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = torch.randn(2, size, size, device=device)
    library = onednn() if device.type == "cpu" and onednn_serves(rounding=False) else nullcontext()
    with modes(replace(PAPER, tf32=tf32), device), library:
        left @ right
        begun = settle(device)
        for _ in range(10):
            left @ right
        return 10 * size**3 / (settle(device) - begun)


def plain_rate(device: torch.device, steps: int) -> float:
    """Tokens per second of the plain loop, over all head counts."""
    task = make_task(PAPER)
    batch = Source(task, 0, PAPER.batch * steps).batch(1)
    seconds = 0.0
    for heads in HEADS:
        model = PlainTransformer(256, 100, 64, 128, 4, heads, PAPER.dropout)
        model.load_state_dict(initial_state(shape_of(PAPER, RUNS[0]), 0))
        model.to(device)
        train_plainly(model, batch.inputs[:50], batch.targets[:50], PAPER.batch, 1e-3)
        begun = settle(device)
        train_plainly(model, batch.inputs, batch.targets, PAPER.batch, 1e-3)
        seconds += settle(device) - begun
    return len(HEADS) * steps * TOKENS / seconds


def options(device: torch.device, steps: int) -> None:
    """Time a step of all four runs under each option, and compare losses without dropout."""
    print("\n| option | ms per step of 4 runs | largest difference of losses to eager float32 |")
    print("| --- | --- | --- |")
    wanted: list[float] = []
    for name, changes in OPTIONS.items():
        settings = replace(PAPER, steps=steps, log_every=1, dropout=0.0, **changes)
        found = [e.loss for e in train(settings, RUNS, device=str(device)) if type(e) is TrainStep]
        wanted = wanted or found
        apart = max(abs(one - other) for one, other in zip(wanted, found, strict=True))
        settings = replace(PAPER, steps=steps, log_every=max(1, steps // 2), **changes)
        *_, last = [e for e in train(settings, RUNS, device=str(device)) if type(e) is TrainStep]
        print(f"| {name} | {1e3 * TOKENS / last.tokens_per_second:.2f} | {apart:.1e} |", flush=True)


def protocol(device: torch.device, steps: int) -> tuple[float, dict[str, list[Probe]]]:
    """Train both tasks; seconds, and the last probe of every run."""
    probes = {}
    begun = settle(device)
    for task in PUBLISHED:
        settings = replace(PAPER, task=task, steps=steps)
        found = [e for e in train(settings, RUNS, device=str(device)) if isinstance(e, Probe)]
        probes[task] = found[-len(RUNS) :]
    return settle(device) - begun, probes


def attention_of(probe: Probe) -> list[float]:
    """Steps to the sink and fidelity in %, paper-code and proper, averaged over the layers."""
    code, proper = (
        [
            layer.as_dict()
            for layer in engine.analyze_batch(
                probe.attention, probe.head_weights, convention=convention, combine="attention"
            )
        ]
        for convention in ("paper-code", "theory")
    )

    def mean(layers: list[dict[str, Any]], part: str, name: str) -> float:
        return sum(layer[part][name] for layer in layers) / len(layers)

    return [
        mean(code, "mixing", "hitting_time_capped_mean"),
        mean(proper, "mixing", "hitting_time_capped_mean"),
        100 * mean(code, "fidelity", "minimax"),
        100 * mean(proper, "fidelity", "minimax"),
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--steps", type=int, default=PAPER.steps)
    arguments.add_argument("--look", type=int, default=200, help="steps of the comparisons")
    chosen = arguments.parse_args()
    device, look = torch.device(chosen.device), min(chosen.look, chosen.steps)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}")

    plain = plain_rate(device, look)
    print(f"plain loop: {plain:,.0f} tokens per second")
    options(device, look)

    seconds, probes = protocol(device, chosen.steps)
    count = sum(map(len, probes.values()))
    rate = count * chosen.steps * TOKENS / seconds
    reached = count * chosen.steps * products(shape_of(PAPER, RUNS[0])) / seconds
    print(
        f"\n{count} runs x {chosen.steps:,} steps: {seconds:.1f} s, {rate:,.0f} tokens per second, "
    )
    print(f"{rate / plain:.1f} times the plain loop (aims: 180 s on an H100, 10 times)")
    for tf32 in (False, True) if device.type == "cuda" else (False,):
        limit = card_rate(device, tf32)
        kind = "TF32" if tf32 else "float32"
        print(f"products: {reached / limit:.2%} of the {2e-12 * limit:.1f} Tflop/s of {kind} here")

    columns = ("steps, paper-code", "steps, proper", "fidelity %, paper-code", "fidelity %, proper")
    print(f"\n| run | loss (floor) | accuracy (ceiling) | {' | '.join(columns)} |")
    print("| --- " * 7 + "|")
    for task, found in probes.items():
        known = make_task(replace(PAPER, task=task))
        for at, probe in enumerate(found):
            published = [row.split()[at] for row in PUBLISHED[task]]
            cells = [
                f"{mine:.3g} ({theirs})"
                for mine, theirs in zip(attention_of(probe), published, strict=True)
            ]
            print(
                f"| {task}, {probe.run} heads | {probe.loss:.4f} ({known.floor:.4f}) "
                f"| {probe.accuracy:.4f} ({known.ceiling:.4f}) | {' | '.join(cells)} |"
            )


if __name__ == "__main__":
    main()
