"""What answering why costs, beside the measures it explains and plain NumPy.

    python -m pytest tests/benchmarks/test_bench_engine_why.py -o addopts="" -s

Ratios are of times measured in this run, the fastest of several repetitions taken in turn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import synergy_engine as engine
from tests.benchmarks.test_bench_engine_dense import diffuse, fastest, near_permutation


def say(what: str, ours: float, beside: dict[str, tuple[float, float | None]]) -> None:
    """Print our time as a multiple of others', beside the most that it may be."""
    print(f"\n  {what}: {ours * 1e3:.4g} ms")
    for name, (seconds, most) in beside.items():
        ratio = ours / seconds
        aim = "" if most is None else f" (aim: at most {most:g}x)"
        print(f"    {name}: {seconds * 1e3:.4g} ms; {ratio:.3g}x of it{aim}")


def plain_sensitivity(heads: np.ndarray, node: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradients and switches of the mixture in plain NumPy, node and step being known."""
    diffusions = heads / heads.sum(axis=2, keepdims=True)
    mixed = diffusions.mean(axis=0)
    n = len(mixed)
    rows, columns = np.zeros((time, n)), np.zeros((time, n))
    rows[0, -1] = columns[0, node] = 1.0
    for s in range(1, time):
        rows[s], columns[s] = rows[s - 1] @ mixed, mixed @ columns[s - 1]
    forth = rows @ diffusions
    head = np.einsum("ksn,sn->k", forth, columns[::-1])
    back = columns[::-1][1:] @ diffusions.transpose(0, 2, 1)
    return head, np.einsum("ksn,lsn->kl", forth[:, :-1], back) / len(heads) ** 2


def plain_hitting(heads: np.ndarray) -> np.ndarray:
    """Slopes of the mean hitting time in plain NumPy: two triangular solves and the heads."""
    from scipy.linalg import solve_triangular

    walks = np.swapaxes(heads / heads.sum(axis=1, keepdims=True), 1, 2)
    mixed = walks.mean(axis=0)
    n = len(mixed)
    q = np.eye(n - 1) - mixed[:-1, :-1]
    h = np.append(solve_triangular(q, np.ones(n - 1)), 0.0)
    y = solve_triangular(q, np.full(n - 1, 1 / n), trans="T")
    return np.array([y @ ((walk @ h)[:-1] - h[:-1] + 1) for walk in walks])


def plain_routing(heads: np.ndarray) -> np.ndarray:
    """Routing times in plain NumPy, a node at a time."""
    walks = np.swapaxes(heads / heads.sum(axis=1, keepdims=True), 1, 2)
    n = walks.shape[1]
    r = np.zeros(n)
    for i in range(n - 2, -1, -1):
        ahead = walks[:, i, i + 1 :]
        r[i] = ((1 + ahead @ r[i + 1 :]) / ahead.sum(axis=1)).min()
    return r


@pytest.mark.parametrize("kind", ["diffuse", "near-permutation"])
def test_sensitivity_of_one_layer(kind: str) -> None:
    heads = (diffuse if kind == "diffuse" else near_permutation)(16, 100, 100)
    system = engine.MultiHeadSystem.from_attention(heads)
    found = engine.sensitivity(system)
    head, switch = plain_sensitivity(heads, found.node, found.time)
    np.testing.assert_allclose(found.head, head, rtol=1e-9)
    np.testing.assert_allclose(found.switch * found.value, switch, rtol=1e-9, atol=1e-25)
    ours, certified, plain = fastest(
        lambda: engine.sensitivity(system),
        lambda: engine.fidelity(system),
        lambda: plain_sensitivity(heads, found.node, found.time),
    )
    say(
        f"sensitivity of 16 heads, n = 100, {kind}, node {found.node}, t = {found.time}",
        ours,
        {
            "its certified fidelity": (certified, 3 if kind == "diffuse" else None),
            "plain NumPy, node and step known": (plain, None),
        },
    )


def test_hitting_and_routing_of_one_layer() -> None:
    heads = diffuse(16, 100, 100)
    system = engine.MultiHeadSystem.from_attention(heads)
    np.testing.assert_allclose(
        engine.hitting_sensitivity(system).head, plain_hitting(heads), atol=1e-9
    )
    np.testing.assert_allclose(engine.routing_times(system).times, plain_routing(heads))
    slopes, routed, times, plain, plainly_routed = fastest(
        lambda: engine.hitting_sensitivity(system),
        lambda: engine.routing_times(system),
        lambda: engine.hitting_times(system),
        lambda: plain_hitting(heads),
        lambda: plain_routing(heads),
    )
    say(
        "hitting sensitivity of 16 heads, n = 100",
        slopes,
        {"hitting times": (times, 3), "NumPy and SciPy": (plain, None)},
    )
    say(
        "routing times",
        routed,
        {"hitting times": (times, 2), "plain NumPy": (plainly_routed, None)},
    )


def local_random(nodes: int, degree: int, reach: int) -> engine.MultiHeadSystem:
    """Every node sends to the next one and to ``degree`` nodes within reach."""
    rng = np.random.default_rng(1)
    senders = np.repeat(np.arange(nodes - 1), degree + 1)
    steps = rng.integers(1, reach, (nodes - 1, degree + 1))
    steps[:, 0] = 1
    receivers = np.minimum(senders + steps.ravel(), nodes - 1)
    return engine.MultiHeadSystem.from_sparse(
        [engine.SparseHead.from_edges(senders, receivers, nodes)]
    )


@pytest.mark.parametrize("reach", [3000, 1_000_000])
def test_many_edges(reach: int) -> None:
    system = local_random(1_000_000, 9, reach)
    edges = system.sparse[0].edges
    engine.hitting_times(system)  # orders edges by sender, once

    def plain() -> None:
        """One product with the matrix: what a gradient needs at least, in SciPy."""
        matrix @ vector

    matrix, vector = system.sparse[0].to_scipy(), np.ones(system.nodes)
    slopes, routed, times, product = fastest(
        lambda: engine.hitting_sensitivity(system),
        lambda: engine.routing_times(system),
        lambda: engine.hitting_times(system),
        plain,
        seconds=8.0,
    )
    beside: dict[str, tuple[float, float | None]] = {
        "half a second": (0.5, 1.0),
        "hitting times": (times, None),
        "one SciPy product": (product, None),
    }
    say(f"hitting sensitivity of {edges:,} edges, reach {reach:,}", slopes, beside)
    say("routing times", routed, {"hitting times": (times, None)})


def test_why_of_a_layer() -> None:
    for shape in (
        (1, 1, 2, 33, 33),
        (1, 1, 4, 33, 33),
        (1, 1, 4, 100, 100),
        (1, 1, 16, 100, 100),
        (4, 1, 16, 100, 100),
    ):
        attention = diffuse(*shape)
        ours, analysis = fastest(
            lambda attention=attention: engine.why_batch(attention),
            lambda attention=attention: engine.analyze_batch(attention),
        )
        what = f"why of {shape[0]} x {shape[2]} heads, n = {shape[3]}"
        say(what, ours, {"its analysis": (analysis, None)})


def test_routing_bound(benchmark: Callable) -> None:
    system = engine.MultiHeadSystem.from_attention(diffuse(4, 33, 33))
    (ours,) = fastest(lambda: engine.routing_bound(system))
    say("routing bound of every node, 4 heads, n = 33", ours, {})
    benchmark(engine.routing_bound, system)
