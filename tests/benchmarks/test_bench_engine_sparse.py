"""Sparse propagation against `scipy.sparse`, side by side in one run.

``make bench``, or ``pytest tests/benchmarks/test_bench_engine_sparse.py -o addopts="" -s``; the run
over 10^8 edges is a script of its own: ``python -m tests.benchmarks.hundred_million_edges``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse

import synergy_engine as engine
from synergy_engine.kernels.states import Peaks
from synergy_engine.operators.door import heads
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem
from synergy_engine.topologies.topology import topology_heads

NODES, STEPS, ROUNDS = 1_000_000, 64, 5

GRAPHS: dict[str, Callable[[], SparseHead]] = {
    "sliding window 10": lambda: topology_heads("sliding_window", NODES, window=10)[0],
    "local random, reach ~3000": lambda: topology_heads(
        "poisson", NODES, probability=0.99, degree=10
    )[0],
    "random over all": lambda: topology_heads("fixed_in_degree", NODES, degree=10)[0],
}


def copy_bandwidth() -> float:
    """Bytes read and written per second by one thread copying 160 MB."""
    source = np.random.default_rng(0).random(20_000_000)
    target = np.empty_like(source)
    best = np.inf
    for _ in range(ROUNDS):
        started = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def scipy_steps(step: scipy.sparse.csr_array, v: np.ndarray, steps: int) -> np.ndarray:
    """The plain way: a matvec and a running maximum a step."""
    peak = v.copy()
    for _ in range(steps):
        v = step @ v
        np.maximum(peak, v, out=peak)
    return peak


@pytest.mark.parametrize("name", GRAPHS)
def test_diffusion_steps_of_ten_million_edges(name: str, benchmark: object) -> None:
    head = GRAPHS[name]()
    diffusion = head.to_scipy()
    diffusion.data = np.repeat(1.0 / np.diff(head.indptr), np.diff(head.indptr))
    towards = diffusion.T.tocsr()
    stack = heads(MultiHeadSystem.from_sparse([head]), "diffusion")
    start = np.random.default_rng(0).random(NODES)

    def ours() -> np.ndarray:
        state = Peaks.of(start[None].copy(), tolerance=-1.0, every_node=False)
        stack.peaks(state, STEPS)
        return state.peak[0]

    np.testing.assert_allclose(ours(), scipy_steps(towards, start, STEPS), rtol=1e-12)
    fast, plain = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ours()
        fast.append((time.perf_counter() - started) / STEPS)
        started = time.perf_counter()
        scipy_steps(towards, start, STEPS // 4)
        plain.append((time.perf_counter() - started) / (STEPS // 4))
    bandwidth = copy_bandwidth()
    floor = 4 * head.edges / bandwidth
    ratio = float(np.median(plain) / np.median(fast))
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        edges=head.edges,
        ms_per_step=1e3 * float(np.median(fast)),
        scipy_ms_per_step=1e3 * float(np.median(plain)),
        ratio=ratio,
        ratio_of_best=min(plain) / min(fast),
        copy_gb_per_s=bandwidth / 1e9,
        steps_per_pass_of_indices=floor / min(fast),
    )
    print(
        f"\n{name}: {head.edges:,} edges; ours {1e3 * np.median(fast):.2f} (best "
        f"{1e3 * min(fast):.2f}), scipy {1e3 * np.median(plain):.2f} (best {1e3 * min(plain):.2f}) "
        f"ms a step: {ratio:.1f}x (best {min(plain) / min(fast):.1f}x); copy "
        f"{bandwidth / 1e9:.1f} GB/s: one pass over the indices takes {1e3 * floor:.2f} ms"
    )
    benchmark(ours)  # type: ignore[operator]


@pytest.mark.parametrize("name", GRAPHS)
def test_hitting_times_of_ten_million_edges(name: str, benchmark: object) -> None:
    system = MultiHeadSystem.from_sparse([GRAPHS[name]()])
    engine.hitting_times(system)
    benchmark(engine.hitting_times, system)  # type: ignore[operator]


@pytest.mark.parametrize("lanes", [1_000, 20_000])
def test_reordering(lanes: int, benchmark: object) -> None:
    """Chains of nodes that hear the ten before them, shuffled into one another at random."""
    chain = np.random.default_rng(0).permutation(np.arange(NODES - 1) % lanes)
    places = np.argsort(chain, kind="stable")  # chain after chain, each in rising order
    senders, receivers = [], []
    for step in range(1, 11):
        together = chain[places[:-step]] == chain[places[step:]]
        senders.append(places[:-step][together])
        receivers.append(places[step:][together])
    last = places[np.flatnonzero(np.diff(chain[places], append=lanes))]
    head = SparseHead.from_edges(
        np.concatenate([*senders, last]),
        np.concatenate([*receivers, np.full(len(last), NODES - 1)]),
        NODES,
    )
    system = MultiHeadSystem.from_sparse([head])
    found = engine.reorder(system)
    start = np.random.default_rng(0).random(NODES)
    times = []
    for each in (system, found.system):
        stack = heads(each, "diffusion")
        best = np.inf
        for _ in range(ROUNDS):
            state = Peaks.of(start[None].copy(), tolerance=-1.0, every_node=False)
            started = time.perf_counter()
            stack.peaks(state, STEPS)
            best = min(best, (time.perf_counter() - started) / STEPS)
        times.append(best)
    benchmark.extra_info.update(  # type: ignore[attr-defined]
        distance_before=found.distance_before,
        distance_after=found.distance_after,
        gain=times[0] / times[1],
    )
    print(
        f"\n{lanes} lanes: mean distance {found.distance_before:,.0f} → "
        f"{found.distance_after:,.0f}, {1e3 * times[0]:.2f} → {1e3 * times[1]:.2f} ms a step"
    )
    benchmark.pedantic(engine.reorder, (system,), rounds=1)  # type: ignore[attr-defined]
