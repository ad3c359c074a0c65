"""Dense propagation beside the ways it replaces, written plainly here.

    python -m pytest tests/benchmarks/test_bench_engine_dense.py -o addopts="" --benchmark-only -s

Every figure is a ratio of two times measured in this run, the fastest of several repetitions
taken in turn, beside the memory bandwidth of this machine measured in the same run. Attention is
synthetic, of the published shapes: softmax of normal logits (diffuse), and heads that attend to the
previous token with self-loops and the rest down to 1e-40 (near-permutation).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg

import synergy_engine as engine
from synergy_engine.measures.fidelity import run_peaks
from synergy_engine.operators import dense as operators

HORIZON = 100


def diffuse(*shape: int, sharp: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(0).normal(0, sharp, shape)
    weights = np.tril(np.exp(logits - logits.max(axis=-1, keepdims=True)))
    return weights / weights.sum(axis=-1, keepdims=True)


def near_permutation(*shape: int) -> np.ndarray:
    """Previous-token heads: half the rest on the node itself, what remains is next to nothing."""
    rng = np.random.default_rng(1)
    weights = np.tril(10.0 ** rng.uniform(-40, -6, shape))
    n = shape[-1]
    weights[..., range(n), range(n)] += 0.02
    weights[..., range(1, n), range(n - 1)] += 1.0
    return weights / weights.sum(axis=-1, keepdims=True)


def fastest(*ways: Callable[[], object], seconds: float = 3.0) -> list[float]:
    """The shortest time of each way, taken in turn for about ``seconds`` together.

    A turn lasts 30 ms at least: BLAS threads go on spinning for a while after a product, on the
    processor that the next way would use.
    """
    best = [float("inf")] * len(ways)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 2 or time.perf_counter() < end:
        for k, way in enumerate(ways):
            turn = time.perf_counter() + 0.03
            start = 0.0
            while start < turn:
                start = time.perf_counter()
                way()
                best[k] = min(best[k], time.perf_counter() - start)
        rounds += 1
    return best


def say(what: str, ours: float, others: dict[str, tuple[float, float]]) -> None:
    """Print our time and how many times longer the others take, beside the target."""
    print(f"\n  {what}: {ours * 1e3:.3g} ms")
    for name, (seconds, target) in others.items():
        verdict = "reached" if seconds / ours >= target else "MISSED"
        print(
            f"    {name}: {seconds * 1e3:.4g} ms = {seconds / ours:.4g}x "
            f"(target {target:g}x: {verdict})"
        )


def matrix_powers(heads: np.ndarray) -> np.ndarray:
    """The published way: D^t by repeated matrix products, the largest last row kept."""
    best = np.zeros(heads.shape[:2])
    for h, d in enumerate(heads):
        power = np.eye(len(d))
        for _ in range(HORIZON):
            power = power @ d
            best[h] = np.maximum(best[h], power[-1])
    return best[:, :-1].min(axis=1)


def batched_matvec(heads: np.ndarray) -> np.ndarray:
    """The best plain NumPy: the sink's rows of all heads, one batched product a step."""
    v = np.zeros((len(heads), 1, heads.shape[-1]))
    v[:, 0, -1] = 1
    best = v.copy()
    for _ in range(HORIZON):
        v = v @ heads
        np.maximum(best, v, out=best)
    return best[:, 0, :-1].min(axis=1)


def every_step(heads: np.ndarray) -> np.ndarray:
    """The engine, made to take all steps although its certificate may close sooner."""
    stack = operators.head_stack(heads, "diffusion")
    state = run_peaks(stack, tolerance=-1.0, horizon=HORIZON, every_node=False)
    return state.interval[:, 0]


def certified(heads: np.ndarray) -> np.ndarray:
    """The engine as it is: until the minimum is certified, or the horizon."""
    stack = operators.head_stack(heads, "diffusion")
    state = run_peaks(stack, tolerance=1e-12, horizon=HORIZON, every_node=False)
    return state.interval[:, 0]


def walks_by_hand(p: np.ndarray, walks: int) -> float:
    """The published way: random walks in Python; seconds for one walk from each start."""
    n = len(p)
    nodes = list(range(n))
    rows = [row.tolist() for row in p]
    start = time.perf_counter()
    for _ in range(walks):
        for source in nodes:
            at, steps = source, 0
            while at != n - 1 and steps < HORIZON:
                at = random.choices(nodes, rows[at])[0]
                steps += 1
    return (time.perf_counter() - start) / walks


def triangular_solve(heads: np.ndarray) -> list[np.ndarray]:
    """``(I - Q) h = 1`` with SciPy: normalise columns, form I - Q, substitute backwards."""
    out = []
    for a in heads:
        p = (a / a.sum(axis=0)).T
        q = np.eye(len(p) - 1) - p[:-1, :-1]
        out.append(scipy.linalg.solve_triangular(q, np.ones(len(p) - 1), lower=False))
    return out


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    """Copy bandwidth of one thread, and how many threads the engine uses."""
    from synergy_engine.kernels.threads import threads

    source = np.ones(16_000_000)
    target = np.empty_like(source)
    (seconds,) = fastest(lambda: np.copyto(target, source), seconds=1.0)
    print(f"\n  copy bandwidth {2 * source.nbytes / seconds / 1e9:.1f} GB/s; {threads()} threads")


@pytest.mark.parametrize("kind", ["diffuse", "near-permutation"])
def test_fidelity_of_one_layer(benchmark: Callable, kind: str) -> None:
    heads = (diffuse if kind == "diffuse" else near_permutation)(16, 100, 100)
    for way in (every_step, certified):
        np.testing.assert_allclose(way(heads), matrix_powers(heads), rtol=1e-9, atol=1e-28)
    all_steps, soon, matvec, powers = fastest(
        lambda: every_step(heads),
        lambda: certified(heads),
        lambda: batched_matvec(heads),
        lambda: matrix_powers(heads),
    )
    others = {"matrix powers": (powers, 300), "NumPy batched matvec": (matvec, 8)}
    say(f"fidelity of 16 heads, n = 100, {HORIZON} steps, {kind}, all steps", all_steps, others)
    say("the same, until certified", soon, others)
    benchmark(certified, heads)


def test_hitting_times_of_one_layer(benchmark: Callable) -> None:
    heads = diffuse(16, 100, 100)
    system = engine.MultiHeadSystem.from_attention(heads)
    np.testing.assert_allclose(
        engine.head_hitting_times(system)[:, :-1], triangular_solve(heads), rtol=1e-9
    )
    ours, solve = fastest(
        lambda: engine.head_hitting_times(system), lambda: triangular_solve(heads)
    )
    one_head = walks_by_hand(engine.walk(system.head(0)), walks=3)
    say(
        "exact hitting times of 16 heads, n = 100",
        ours,
        {
            "Monte Carlo, 500 walks a start (3 timed, 1 head)": (16 * 500 * one_head, 10_000),
            "scipy.linalg.solve_triangular": (solve, 10),
        },
    )
    benchmark(engine.head_hitting_times, system)


@pytest.mark.parametrize("kind", ["diffuse", "near-permutation"])
def test_fidelity_of_wide_layers(benchmark: Callable, kind: str) -> None:
    heads = (diffuse if kind == "diffuse" else near_permutation)(16, 1024, 1024)
    single = heads.astype(np.float32)
    np.testing.assert_allclose(certified(heads), batched_matvec(heads), rtol=1e-9, atol=1e-27)
    double_all, double, float_all, float_, plain = fastest(
        lambda: every_step(heads),
        lambda: certified(heads),
        lambda: every_step(single),
        lambda: certified(single),
        lambda: batched_matvec(heads),
        seconds=12.0,
    )
    name = f"16 x 1024 x 1024, {HORIZON} steps, {kind}"
    say(f"{name}, float64, all steps", double_all, {"NumPy batched": (plain, 10)})
    say(f"{name}, float64, until certified", double, {"NumPy batched": (plain, 10)})
    say(f"{name}, float32 storage, all steps", float_all, {"NumPy batched": (plain, 20)})
    say(f"{name}, float32 storage, until certified", float_, {"NumPy batched": (plain, 20)})
    benchmark.pedantic(certified, (single,), rounds=5)


def published_evaluation() -> list[np.ndarray]:
    """Eight checkpoints' attention on 50 inputs: 4 layers, 1, 4, 8 and 16 heads, two tasks each."""
    found = []
    for heads in (1, 4, 8, 16):
        copy = diffuse(50, 4, heads, 100, 100, sharp=3.0).astype(np.float32)
        cycle = copy.copy()
        cycle[:, :2] = near_permutation(50, 2, heads, 100, 100)
        found += [copy, cycle]
    return found


def test_the_published_evaluation(benchmark: Callable) -> None:
    checkpoints = published_evaluation()

    def both_measures_both_conventions() -> None:
        for attention in checkpoints:
            for convention in ("theory", "paper-code"):
                engine.headline(attention, convention=convention)

    def everything() -> None:
        for attention in checkpoints:
            engine.analyze_batch(attention)

    ours, full = fastest(both_measures_both_conventions, everything, seconds=5.0)
    say("both measures, both conventions", ours, {"published code (34.5 min)": (2070.0, 2070.0)})
    say("analyze_batch: every measure of every head", full, {})
    benchmark.pedantic(both_measures_both_conventions, rounds=3)


def test_whole_analyses_of_wide_layers(benchmark: Callable) -> None:
    kinds = {
        "diffuse": diffuse(1, 1, 8, 2048, 2048).astype(np.float32),
        "peaked": diffuse(1, 1, 8, 2048, 2048, sharp=8.0).astype(np.float32),
        "near-permutation": near_permutation(1, 1, 8, 2048, 2048).astype(np.float32),
    }
    base, *others = fastest(
        *(lambda each=each: engine.analyze_batch(each) for each in kinds.values()), seconds=12.0
    )
    print(f"\n  analyze_batch, 8 x 2048 x 2048, diffuse: {base:.3g} s")
    for name, seconds in zip([*kinds][1:], others, strict=True):
        print(f"    {name}: {seconds:.3g} s, {seconds / base:.3g}x of it (aim: at most 2x)")
    benchmark.pedantic(engine.analyze_batch, (kinds["peaked"],), rounds=1)


def test_a_live_probe(benchmark: Callable) -> None:
    attention = diffuse(16, 2, 8, 33, 33).astype(np.float32)
    (ours,) = fastest(lambda: engine.analyze_batch(attention))
    say("analyze_batch, 16 inputs x 2 layers x 8 heads x 33", ours, {})
    benchmark(engine.analyze_batch, attention)


def test_far_mixing_times(benchmark: Callable) -> None:
    """Squaring against walking: a head that mixes after some ten thousand steps."""
    heads = near_permutation(1, 100, 100)
    heads[:, range(100), range(100)] *= 4000
    system = engine.MultiHeadSystem.from_attention(heads, rows="normalise")
    limit = operators.FAR_LIMIT

    def stepwise() -> engine.MixingTime:
        operators.FAR_LIMIT = 0
        try:
            return engine.mixing_time(system)
        finally:
            operators.FAR_LIMIT = limit

    assert stepwise() == engine.mixing_time(system)
    ours, steps = fastest(lambda: engine.mixing_time(system), stepwise)
    say(f"mixing time of {engine.mixing_time(system)} steps", ours, {"step by step": (steps, 1)})
    benchmark(engine.mixing_time, system)


def until_answered(code: str) -> float:
    """Seconds from the start of a process until it has run ``code``; how it ends is its own.

    Compiled sources are kept, as Python does unless it is asked not to.
    """
    command = [sys.executable, "-c", f"{code}\nprint(flush=True)"]
    keeps = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=keeps) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        return time.perf_counter() - start


def test_first_call_of_a_new_process(benchmark: Callable) -> None:
    """Import and first calls with kernels cached on disk: under half a second."""
    code = (
        "import numpy as np, synergy_engine as engine\n"
        "system = engine.MultiHeadSystem.from_attention(np.eye(4))\n"
        "engine.hitting_times(system), engine.fidelity(system), engine.mixing_time(system)"
    )
    until_answered(code)  # this one may compile
    full, bare = np.min(
        [(until_answered(code), until_answered("import numpy, numba")) for _ in range(8)], axis=0
    )
    say("new process: import, hitting times, fidelity, mixing time", full, {})
    print(f"    of which Python, NumPy and Numba themselves {bare * 1e3:.4g} ms; target 500 ms")
    benchmark.pedantic(until_answered, (code,), rounds=3)
