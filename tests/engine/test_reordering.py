"""Renumbering changes nothing but the numbers, and brings talkers together."""

from __future__ import annotations

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.errors import EngineError
from synergy_engine.sparse import SparseHead
from synergy_engine.system import MultiHeadSystem
from synergy_engine.topologies.topology import topology


def scattered(nodes: int, window: int, seed: int, weighted: bool = False) -> MultiHeadSystem:
    """Chains of neighbours, dealt out so that neighbours are far apart but order is kept."""
    rng = np.random.default_rng(seed)
    chain, place = np.arange(nodes - 1) % 50, np.arange(nodes - 1) // 50
    senders, receivers = [], []
    for step in range(1, window + 1):
        inside = place >= step
        receivers.append(np.flatnonzero(inside))
        senders.append(receivers[-1] - 50 * step)
    last = np.arange(nodes - 51, nodes - 1)
    senders.append(last)
    receivers.append(np.full(len(last), nodes - 1))
    count = sum(map(len, senders))
    head = SparseHead.from_edges(
        np.concatenate(senders),
        np.concatenate(receivers),
        nodes,
        rng.random(count) + 0.1 if weighted else None,
    )
    assert chain.max() == 49
    return MultiHeadSystem.from_sparse([head.check()])


@pytest.mark.parametrize("weighted", [False, True])
def test_measures_follow_the_nodes(weighted: bool) -> None:
    system = scattered(1001, 3, 0, weighted)
    found = engine.reorder(system)
    assert found.system.sparse is not None
    found.system.sparse[0].check()
    assert sorted(found.order) == list(range(1001))
    assert found.order[-1] == 1000
    hitting = engine.hitting_times(found.system)
    np.testing.assert_allclose(hitting, engine.hitting_times(system)[found.order], rtol=1e-12)
    assert found.distance_after < found.distance_before / 5


@pytest.mark.parametrize("name", ["erdos_renyi", "poisson", "learned"])
def test_several_heads_share_one_order(name: str) -> None:
    system = topology(name, 300, heads=3, layout="sparse")
    found = engine.reorder(system)
    assert found.system.sparse is not None
    for old, new in zip(system.sparse or (), found.system.sparse, strict=True):
        new.check()
        assert np.array_equal(new.to_array(), old.to_array()[np.ix_(found.order, found.order)])
    assert [found.order[node] for node in found.system.unreachable()] == sorted(
        system.unreachable(), key=list(found.order).index
    )


def test_names_move_along_and_dense_systems_do_not() -> None:
    edges = [[(0, 2), (1, 2), (2, 3)]]
    names = ["a", "b", "c", "d"]
    sparse = MultiHeadSystem.from_edges(edges, names=names, storage="sparse")
    moved = engine.reorder(sparse)
    assert [names[node] for node in moved.order] == list(moved.system.names or ())
    with pytest.raises(EngineError, match="only sparse"):
        engine.reorder(MultiHeadSystem.from_edges(edges))


def test_the_label_of_the_weights_survives() -> None:
    system = scattered(200, 2, seed=0)
    assert system.weights_label == "uniform"
    assert engine.reorder(system).system.weights_label == "uniform"
