"""What no weights can beat: reference values, a slow obvious twin, and every mixture tried."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from synergy_engine.measures import routing
from tests.engine.measures.test_sensitivity import complementary, example, sparse_twin
from tests.engine.systems import attention, gappy_heads

both_storages = pytest.mark.parametrize("storage", ["dense", "sparse"])


@both_storages
def test_example_2(storage: str) -> None:
    both = example(storage)
    bound = engine.routing_bound(both)
    assert (bound.node.tolist(), bound.minimax, bound.argmin) == ([1, 1, 0.5, 1], 0.5, 2)
    assert bound.certified
    times = engine.routing_times(both)
    assert times.times.tolist() == [4, 2.5, 2, 0]
    assert times.mean == 2.125 == engine.head_hitting_times(both)[1].mean()
    assert times.head[:2].tolist() == [1, 1]
    assert times.head[3] == -1
    assert engine.routing_times(complementary()).mean == pytest.approx(10)


def plain_bound(system: engine.MultiHeadSystem, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """``max_t u_t[τ]`` and ``U_T[τ]`` for every source at once."""
    d = np.stack([engine.diffusion(system.head(h)) for h in range(system.heads)])
    u, left = np.eye(system.nodes), np.tril(np.ones((system.nodes, system.nodes)))
    best = u[-1].copy()
    for _ in range(steps):
        u, left = (d @ u).max(axis=0), (d @ left).max(axis=0)
        best = np.maximum(best, u[-1])
    return best, left[-1]


@settings(max_examples=100, deadline=None)
@given(gappy_heads(), st.integers(0, 60))
def test_bounds_are_those_of_the_definition(heads: np.ndarray, horizon: int) -> None:
    dense = engine.MultiHeadSystem.from_weights(heads)
    best, left = plain_bound(dense, horizon)
    systems = [dense, sparse_twin(dense)] if heads.any(axis=(1, 2)).all() else [dense]
    for found in (engine.routing_bound(system, horizon=horizon) for system in systems):
        settled = left[:-1] <= best[:-1]
        upper = np.where(settled, best[:-1], np.maximum(best, left)[:-1])
        # Blocks stop when all of their sources are settled: later steps add nothing to those.
        np.testing.assert_allclose(found.within[:-1], best[:-1], rtol=1e-11, atol=1e-28)
        np.testing.assert_allclose(found.node[:-1], upper, rtol=1e-11, atol=1e-28)
        if dense.nodes > 1:
            assert found.minimax == found.node[:-1].min()


@settings(max_examples=60, deadline=None)
@given(gappy_heads(), st.integers(0, 2**32 - 1))
def test_no_mixture_beats_the_bounds(heads: np.ndarray, seed: int) -> None:
    system = engine.MultiHeadSystem.from_weights(heads)
    bound, times = engine.routing_bound(system), engine.routing_times(system)
    for weights in np.random.default_rng(seed).dirichlet(np.ones(len(heads)), 5):
        mixed = system.with_weights(weights)
        phi = engine.fidelity(mixed, horizon=400).node[:-1]
        assert np.all(phi <= bound.node[:-1] * (1 + 1e-11) + 1e-28)
        assert np.all(engine.hitting_times(mixed) >= times.times * (1 - 1e-12))


@settings(max_examples=60, deadline=None)
@given(gappy_heads())
def test_routing_times_are_attained_by_their_own_routing(heads: np.ndarray) -> None:
    """Sending from every node by the head that is named takes exactly these times."""
    system = engine.MultiHeadSystem.from_weights(heads)
    found = engine.routing_times(system)
    p = np.stack([engine.walk(system.head(h)) for h in range(system.heads)])
    n = system.nodes
    routed = np.eye(n)
    for i in np.flatnonzero(found.head >= 0):
        routed[i] = p[found.head[i], i]
    times = np.zeros(n)
    for i in range(n - 2, -1, -1):
        leave = routed[i, i + 1 :]
        onward = np.where(leave > 0, leave, 0) @ np.where(leave > 0, times[i + 1 :], 0)
        times[i] = (1 + onward) / leave.sum() if leave.sum() > 0 else np.inf
        assert np.isinf(times[i]) == (found.head[i] < 0)
    np.testing.assert_allclose(found.times, times, rtol=1e-11)
    if heads.any(axis=(1, 2)).all():
        twin = engine.routing_times(sparse_twin(system))
        np.testing.assert_allclose(twin.times, found.times, rtol=1e-12)


def test_heads_that_hardly_move_are_bounded_all_the_same() -> None:
    slow = np.array([[[1.0, 0, 0], [1e-9, 1 - 1e-9, 0], [0, 1e-9, 1 - 1e-9]]])
    found = engine.routing_bound(engine.MultiHeadSystem.from_weights(slow), horizon=10)
    assert not found.certified
    assert found.minimax == pytest.approx(1.0)
    assert found.within[1] == pytest.approx(1e-8)


def test_the_default_horizon_of_large_sparse_systems_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a chain of 100 nodes the sink hears the first one only after 99 steps."""
    chain = sparse_twin(engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(99)]]))
    assert engine.routing_bound(chain).horizon == 400
    monkeypatch.setattr(routing, "WORK", 300 * chain.sparse[0].edges)
    found = engine.routing_bound(chain)
    assert found.horizon == 300
    assert found.minimax >= engine.fidelity(chain).minimax


def test_only_the_sources_asked_for() -> None:
    system = engine.MultiHeadSystem.from_attention(attention(3, 30, 30, dtype=np.float64))
    full, some = engine.routing_bound(system), engine.routing_bound(system, sources=[28, 3, 9])
    asked = np.zeros(30, bool)
    asked[[3, 9, 28]] = True
    np.testing.assert_allclose(some.node[asked], full.node[asked], rtol=1e-13)
    assert np.all(some.node[~asked] == 1)
    assert some.minimax == some.node.min()
    for wrong in ([29], [-1]):
        with pytest.raises(engine.EngineError, match="sources are nodes from 0 to 28"):
            engine.routing_bound(system, sources=wrong)


def test_the_watcher_sees_routing_and_stops_it() -> None:
    system = engine.MultiHeadSystem.from_attention(attention(2, 40, 40))
    for each in (system, sparse_twin(system)):
        with engine.watch(lambda stage, done, total: False), pytest.raises(engine.Cancelled):
            engine.routing_bound(each)
