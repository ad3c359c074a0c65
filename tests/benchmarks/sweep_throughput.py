"""Paired throughput of the ways to run a sweep: ensembles, a pool, Ray; on this machine.

    python tests/benchmarks/sweep_throughput.py [ROUNDS]

Each round runs the same sweep by every way, in an order that turns round from round to round, and
prints the wall time, whole and from the first training step on (start-up left out).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from synergy_tui.experiments.events import EventReader
from synergy_tui.machine import usable_cores
from synergy_tui.scenario import load_scenario
from synergy_tui.sweep.directory import Sweep, create_sweep
from synergy_tui.sweep.executors.executor import LARGEST_BATCH, Backend
from synergy_tui.sweep.plan import expand
from synergy_tui.sweep.worker import launch

SCENARIO = """
title = "Throughput"
[train]
task = "sort"
length = 33
steps = 60
batch = 64
layers = 1
learning_rate = 2e-3
probe_every = 0
checkpoint_every = 0
[sweep]
seeds = 4
heads = [1, 2, 4, 8]
"""
CORES = usable_cores()
WAYS = {
    "ensemble": Backend("ensemble", CORES, 1, LARGEST_BATCH, "cpu"),
    "pool": Backend("pool", CORES, 1, 1, "cpu"),
    "ray": Backend("ray", CORES, 1, LARGEST_BATCH, "cpu", "local"),
}


def first_step(sweep: Sweep) -> float:
    """When the first training step of any point was logged, seconds since 1970."""
    return min(
        event_file.stat().st_mtime - span(event_file)
        for event_file in sweep.path.glob("points/*/events.jsonl")
    )


def span(log: Path) -> float:
    """Seconds from the first training step to the end of a log."""
    times = [e["t"] for e in EventReader(log).read_all() if e["kind"] == "train_step"]
    return float(list(EventReader(log).read_all())[-1]["t"] - times[0])


def run(way: str, folder: Path) -> tuple[float, float]:
    """Wall seconds of a sweep: whole, and from its first training step on."""
    file = folder / "throughput.toml"
    file.write_text(SCENARIO)
    scenario = load_scenario(file)
    sweep = create_sweep(scenario, expand(scenario), folder / way)
    begun = time.time()
    process = launch(sweep, WAYS[way])
    if process.wait() != 0:
        raise SystemExit(f"{way} failed:\n{sweep.log_path.read_text()}")
    last = max(log.stat().st_mtime for log in sweep.path.glob("points/*/events.jsonl"))
    return time.time() - begun, last - first_step(sweep)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=2)
    rounds = parser.parse_args().rounds
    order = list(WAYS)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in order if number % 2 == 0 else reversed(order):
            with tempfile.TemporaryDirectory() as folder:
                found[way].append(run(way, Path(folder)))
                print(f"{way}: {found[way][-1][0]:.1f} s", file=sys.stderr)
    runs = 4 * 4
    print(f"{runs} runs of 60 steps on {CORES} cores, median of {rounds}")
    for way, times in found.items():
        whole = statistics.median(each for each, _ in times)
        training = statistics.median(each for _, each in times)
        print(
            f"{way:10} whole {whole:6.1f} s ({60 * runs / whole:5.1f} runs/min)   "
            f"training {training:6.1f} s ({60 * runs / training:5.1f} runs/min)"
        )


if __name__ == "__main__":
    main()
