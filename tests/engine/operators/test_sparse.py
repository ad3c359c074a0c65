"""Sparse operators: every measure agrees with the dense engine, however work is cut."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from synergy_engine.errors import Cancelled
from synergy_engine.limits import watch
from synergy_engine.operators import layout as sparse_layout
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem
from synergy_engine.topologies.topology import topology, topology_heads
from tests.engine.systems import gappy_heads


def both(weights: np.ndarray) -> tuple[MultiHeadSystem, MultiHeadSystem]:
    mixed = np.arange(1.0, len(weights) + 1)
    return (
        MultiHeadSystem.from_weights(weights, mixed),
        MultiHeadSystem.from_sparse([SparseHead.from_dense(each) for each in weights], mixed),
    )


def close(one: object, other: object, **tolerance: float) -> None:
    np.testing.assert_allclose(other, one, **{"rtol": 1e-12, "atol": 1e-13, **tolerance})


@settings(deadline=None, max_examples=60)
@given(gappy_heads(), st.sampled_from(["walks", "attention"]))
def test_hitting_times_agree_with_dense(weights: np.ndarray, combine: str) -> None:
    dense, sparse = both(weights)
    close(
        engine.hitting_times(dense, combine=combine), engine.hitting_times(sparse, combine=combine)
    )
    close(engine.backward_hitting_times(dense), engine.backward_hitting_times(sparse))
    close(engine.head_hitting_times(dense), engine.head_hitting_times(sparse))


@settings(deadline=None, max_examples=40)
@given(gappy_heads())
def test_operators_and_trajectories_agree_with_dense(weights: np.ndarray) -> None:
    dense, sparse = both(weights)
    close(engine.walk(dense), engine.walk(sparse))
    close(engine.walk(dense, combine="attention"), engine.walk(sparse, combine="attention"))
    close(engine.diffusion(dense), engine.diffusion(sparse))
    close(engine.arrival(dense, 40), engine.arrival(sparse, 40))
    close(engine.spread(dense, 0, 20), engine.spread(sparse, 0, 20))


@settings(deadline=None, max_examples=40)
@given(gappy_heads(), st.sampled_from([0, 1, 7, 16, 33, 100]))
def test_fidelity_at_a_horizon_agrees_with_dense(weights: np.ndarray, horizon: int) -> None:
    dense, sparse = (
        engine.fidelity(each, tolerance=-1.0, horizon=horizon) for each in both(weights)
    )
    close(dense.node, sparse.node, atol=1e-29)
    close([dense.lower, dense.upper], [sparse.lower, sparse.upper], atol=1e-29)


@settings(deadline=None, max_examples=60)
@given(gappy_heads())
def test_diversity_agrees_with_dense(weights: np.ndarray) -> None:
    """Nodes that hear nothing keep their own state: on both sides a row of its own."""
    one, other = (engine.diversity(system) for system in both(weights))
    close(dataclasses.astuple(one)[:3], dataclasses.astuple(other)[:3], rtol=1e-10)
    close(one.pairs, other.pairs, rtol=1e-10)


@settings(deadline=None, max_examples=30)
@given(gappy_heads(), st.sampled_from(["walks", "attention"]))
def test_capped_times_and_quantiles_agree_with_dense(weights: np.ndarray, combine: str) -> None:
    dense, sparse = both(weights)
    options = {"combine": combine}
    close(*(engine.hitting_times(s, cap=30, **options) for s in (dense, sparse)))  # type: ignore[arg-type]
    one, other = (
        engine.arrival_times(s, 0.4321, max_steps=200, **options)  # type: ignore[arg-type]
        for s in (dense, sparse)
    )
    assert np.array_equal(one.steps, other.steps)
    assert np.array_equal(one.censored, other.censored)
    assert one.from_anywhere == other.from_anywhere


@settings(deadline=None, max_examples=30)
@given(gappy_heads())
def test_fidelity_certificates_overlap(weights: np.ndarray) -> None:
    dense, sparse = (engine.fidelity(each, horizon=500) for each in both(weights))
    assert sparse.lower <= dense.upper * (1 + 1e-12)
    assert dense.lower <= sparse.upper * (1 + 1e-12)
    assert list(dense.unreachable) == list(sparse.unreachable)


@settings(deadline=None, max_examples=60)
@given(
    gappy_heads(),
    st.sampled_from(["tv", "l1"]),
    st.sampled_from(["max", "mean"]),
    st.sampled_from(["forward", "backward"]),
)
def test_mixing_times_agree_with_dense(
    weights: np.ndarray, distance: str, aggregate: str, direction: str
) -> None:
    options = {"distance": distance, "aggregate": aggregate, "direction": direction}
    dense, sparse = (
        engine.mixing_time(each, **options, epsilon=0.2371, max_steps=500)  # type: ignore[arg-type]
        for each in both(weights)
    )
    assert (dense.steps, dense.infinite) == (sparse.steps, sparse.infinite)


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_analysis_agrees_with_dense(diversity: float) -> None:
    options = {"heads": 3, "seed": 2, "diversity": diversity, "window": 3}
    dense = engine.analyze(topology("sliding_window", 60, layout="dense", **options)).as_dict()
    sparse = engine.analyze(topology("sliding_window", 60, layout="sparse", **options)).as_dict()
    for part in ("mixing", "synergy", "diversity"):
        for name, value in dense[part].items():
            if isinstance(value, float):
                close(value, sparse[part][name], err_msg=name)
    close(dense["fidelity"]["minimax"], sparse["fidelity"]["minimax"], rtol=1e-9)
    for convention in ("paper-code", "feedforward"):
        systems = (
            topology("learned", 40, heads=3, layout=layout) for layout in ("dense", "sparse")
        )
        one, other = (engine.analyze(system, convention=convention) for system in systems)
        for part in ("mixing", "fidelity", "synergy"):
            close(*([x for x in each[part].values() if type(x) is float] for each in (one, other)))
    if diversity == 0:
        assert sparse["synergy"]["fidelity_amplification"] == 1.0
        assert sparse["diversity"]["jaccard"] == 0.0


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_layout, "PIECE_EDGES", 64)
    monkeypatch.setattr("synergy_engine.sparse.CALL_EDGES", 50)


@pytest.mark.parametrize("near_bytes", [0, 1 << 30])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("poisson", {"probability": 0.7}), ("fixed_in_degree", {"degree": 3}), ("line", {})],
)
def test_pieces_blocks_and_threads_change_nothing(
    name: str,
    parameters: dict[str, object],
    near_bytes: int,
    tiny_pieces: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sparse_layout, "NEAR_BYTES", near_bytes)
    dense, sparse = (
        topology(name, 300, heads=2, diversity=1.0, layout=layout, **parameters)
        for layout in ("dense", "sparse")
    )
    monkeypatch.setattr("synergy_engine.kernels.threads.threads", lambda: 2)
    close(engine.hitting_times(dense), engine.hitting_times(sparse))
    two = engine.fidelity(sparse, tolerance=-1.0, horizon=333)
    close(engine.fidelity(dense, tolerance=-1.0, horizon=333).node, two.node, atol=1e-29)
    mixed = [
        engine.mixing_time(each, max_steps=2000, direction="backward") for each in (dense, sparse)
    ]
    assert mixed[0].steps == mixed[1].steps
    monkeypatch.setattr("synergy_engine.kernels.threads.threads", lambda: 1)
    one = engine.fidelity(sparse, tolerance=-1.0, horizon=333)
    assert np.array_equal(one.node, two.node)
    assert np.array_equal(one.time, two.time)


@pytest.mark.parametrize("push", [True, False])
def test_what_is_fetched_ahead_is_used_later(push: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are met from the last to the first when pushing: fetching onwards would look back."""
    head = topology_heads("fixed_in_degree", 2000, degree=10)[0]
    layout = sparse_layout.lay_out(sparse_layout.Laid(head), None, None, push=push)
    assert layout.ahead(2) == 0  # 2000 pairs stay in cache
    monkeypatch.setattr(sparse_layout, "NEAR_BYTES", 0)
    used, coming = np.searchsorted(layout.ends, [5000, 5000 + layout.ahead(2)], side="right")
    assert (coming < used) if layout.descending else (coming > used)


def test_two_threads_may_call_at_once() -> None:
    system = topology("poisson", 5000, layout="sparse", probability=0.9)
    alone = engine.fidelity(system, tolerance=-1.0, horizon=100).node
    results: list[np.ndarray] = []

    def call() -> None:
        results.append(engine.fidelity(system, tolerance=-1.0, horizon=100).node)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 4
    assert all(np.array_equal(alone, each) for each in results)


def test_a_watcher_sees_progress_and_may_stop(tiny_pieces: None) -> None:
    system = topology("line", 400, layout="sparse")
    seen: list[tuple[str, int]] = []
    with watch(lambda stage, done, total: seen.append((stage, done))):
        engine.hitting_times(system)
        engine.fidelity(system)
    assert {stage for stage, _ in seen} >= {"hitting times", "following the sink's row"}
    with watch(lambda stage, done, total: False), pytest.raises(Cancelled, match="stopped while"):
        engine.hitting_times(topology("line", 401, layout="sparse"))
    engine.hitting_times(system)
