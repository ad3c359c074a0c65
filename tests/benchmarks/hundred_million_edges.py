"""A run on 10^8 edges with time and peak memory.

``python -m tests.benchmarks.hundred_million_edges [FAMILY]`` builds a graph, writes and loads
it, and measures; prints a table. Takes a minute or two, 4 GB of memory and 1 GB of disk.
"""

from __future__ import annotations

import argparse
import functools
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import synergy_engine as engine
from synergy_engine.graphio.matrices import write_scipy
from synergy_engine.kernels.states import Peaks
from synergy_engine.operators.door import heads
from synergy_engine.system import MultiHeadSystem
from synergy_engine.topologies.topology import topology_heads

FAMILIES: dict[str, dict[str, object]] = {
    "sliding_window": {"window": 10},
    "poisson": {"probability": 0.99, "degree": 10},
    "fixed_in_degree": {"degree": 10},
}
STEPS = 64


def peak_gigabytes() -> float:
    """Largest resident memory so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def timed(what: str, work: Callable[[], Any], unit: float = 1.0) -> Any:
    """Do it, and print how long it took and the peak memory so far."""
    started = time.perf_counter()
    result = work()
    taken = (time.perf_counter() - started) / unit
    print(f"{what:<52}{taken:9.3f} s   peak {peak_gigabytes():.2f} GB", flush=True)
    return result


def main() -> None:
    """Measure one family, in a process of its own so that the peak is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=FAMILIES, nargs="?", default="poisson")
    parser.add_argument("--nodes", type=int, default=10_000_000)
    options = parser.parse_args()
    small = engine.topology("line", 2000)
    engine.hitting_times(small)
    engine.fidelity(small, tolerance=-1.0, horizon=20)
    small.require_reachable()
    print(f"{options.family}, {options.nodes:,} nodes; kernels compiled, {peak_gigabytes():.2f} GB")

    head = timed(
        "built",
        lambda: topology_heads(options.family, options.nodes, **FAMILIES[options.family])[0],
    )
    print(f"{head.edges:,} edges, {head.nbytes / 1e9:.2f} GB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.npz"
        timed("written (.npz)", functools.partial(write_scipy, head, path))
        head = None
        system = timed("loaded and checked for cycles", lambda: engine.read_graph(path))
    assert isinstance(system, MultiHeadSystem)
    lost = timed("ways to the sink", system.unreachable)
    print(f"{len(lost):,} nodes cannot reach the sink")
    stack = heads(system, "diffusion")
    timed("edges ordered by sender (once a graph)", lambda: heads(system, "walk").leaving())
    timed("hitting times", lambda: engine.hitting_times(system))
    state = Peaks.of(
        np.random.default_rng(0).random((1, system.nodes)), tolerance=-1.0, every_node=False
    )
    timed(
        f"a diffusion step with running maximum (of {STEPS})",
        lambda: stack.peaks(state, STEPS),
        STEPS,
    )
    calls = 0

    def watcher(stage: str, done: int, total: int | None) -> bool:
        nonlocal calls
        calls += 1
        return calls < 10

    started = time.perf_counter()
    try:
        with engine.watch(watcher):
            stack.peaks(state, 10_000)
    except engine.Cancelled as stop:
        print(f"{stop}, after {time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
