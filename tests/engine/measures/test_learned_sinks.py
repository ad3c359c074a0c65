"""Learned sinks: a node before all others that is only heard, added by hand and compared."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.errors import NotDifferentiableError

HEADS, NODES = 3, 6


def rows(seed: int, *shape: int) -> np.ndarray:
    """Attention (…, n, n) of which learned sinks took between a tenth and nearly all."""
    whole = np.random.default_rng(seed).random((*shape, NODES, NODES + 1)) + 0.05
    whole[..., 1:] = np.tril(whole[..., 1:])
    whole[..., 0] *= NODES
    return (whole / whole.sum(-1, keepdims=True))[..., 1:]


def with_node(attention: np.ndarray) -> np.ndarray:
    """The same with the sink as node 0, which keeps what it is."""
    full = np.zeros((*attention.shape[:-2], NODES + 1, NODES + 1))
    full[..., 0, 0] = 1
    full[..., 1:, 1:] = attention
    full[..., 1:, 0] = 1 - attention.sum(-1)
    return full


@pytest.fixture(params=range(3))
def attention(request: pytest.FixtureRequest) -> np.ndarray:
    return rows(request.param, HEADS)


@pytest.fixture
def system(attention: np.ndarray) -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_attention(attention, [0.5, 0.3, 0.2], rows="sinks")


def whole(attention: np.ndarray, weights: np.ndarray) -> engine.MultiHeadSystem:
    return engine.MultiHeadSystem.from_attention(with_node(attention), weights)


def test_every_token_is_heard_as_beside_the_node(
    attention: np.ndarray, system: engine.MultiHeadSystem
) -> None:
    known = engine.fidelity(whole(attention, system.weights)).node[1:]
    found = engine.fidelity(system)
    np.testing.assert_allclose(found.node, known, rtol=1e-12)
    assert found.minimax == pytest.approx(known[:-1].min())
    alone = engine.head_fidelities(system)
    for head in range(HEADS):
        known = engine.fidelity(whole(attention[[head]], np.ones(1))).node[1:-1]
        assert alone[head].minimax == pytest.approx(known.min())


def test_why_differentiates_as_beside_the_node(
    attention: np.ndarray, system: engine.MultiHeadSystem
) -> None:
    found = engine.sensitivity(system)
    known = engine.sensitivity(whole(attention, system.weights), node=found.node + 1)
    assert (found.time, found.value) == (known.time, pytest.approx(known.value))
    np.testing.assert_allclose(found.head, known.head, rtol=1e-10)
    np.testing.assert_allclose(found.switch, known.switch, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(found.logits(), known.logits()[:, 1:, 1:], rtol=1e-9, atol=1e-15)


def test_routing_bounds_as_beside_the_node(
    attention: np.ndarray, system: engine.MultiHeadSystem
) -> None:
    known = engine.routing_bound(whole(attention, system.weights), sources=range(1, NODES))
    found = engine.routing_bound(system)
    np.testing.assert_allclose(found.node[:-1], known.node[1:-1], rtol=1e-12)
    best = engine.optimal_weights(system)
    assert best.value <= best.upper <= found.minimax * (1 + 1e-12)
    grid = [w for w in product(np.linspace(0, 1, 11), repeat=HEADS) if np.isclose(sum(w), 1)]
    least = [engine.fidelity(whole(attention, np.array(w))).node[1:-1].min() for w in grid]
    assert best.value >= max(least) * (1 - 1e-9)
    assert best.upper >= max(least)


def test_paths_are_products_of_the_undivided_rows(
    attention: np.ndarray, system: engine.MultiHeadSystem
) -> None:
    every = {}
    for between in product([False, True], repeat=NODES - 2):
        nodes = [0, *(k for k, on in enumerate(between, 1) if on), NODES - 1]
        for heads in product(range(HEADS), repeat=len(nodes) - 1):
            steps = zip(heads, pairwise(nodes), strict=True)
            every[tuple(nodes), heads] = np.prod(
                [system.weights[h] * attention[h, j, i] for h, (i, j) in steps]
            )
    found = engine.strongest_paths(system, 0, k=4)
    strongest = sorted(every.values(), reverse=True)[:4]
    for path, strength in zip(found, strongest, strict=True):
        assert path.strength == pytest.approx(strength)
        assert every[path.nodes, path.heads] == pytest.approx(strength)


@pytest.mark.parametrize("gamma", ["half", "one", 0.3])
def test_layers_in_order_as_products_of_matrices(gamma: str | float) -> None:
    network = rows(7, 2, 3, HEADS)
    share = {"half": 0.5, "one": 1.0}.get(gamma, gamma)  # type: ignore[call-overload]
    found = engine.layered_fidelity(network, gamma=gamma, rows="sinks")
    synergy = engine.layered_synergy(network, gamma=gamma, rows="sinks")
    for b in range(2):
        steps = [(1 - share) * np.eye(NODES + 1) + share * with_node(heads) for heads in network[b]]
        heard = np.linalg.multi_dot([step.mean(0) for step in steps[::-1]])[-1, 1:]
        np.testing.assert_allclose(found.node[b], heard, rtol=1e-12)
        np.testing.assert_allclose(found.heads[b].sum(-1) + found.skip[b], 1)
        chains = [
            np.linalg.multi_dot([step[h] for step, h in zip(steps[::-1], chain, strict=True)])
            for chain in product(range(HEADS), repeat=3)
        ]
        best = max(chain[-1, 1:-1].min() for chain in chains)
        assert synergy.synergy[b] == pytest.approx(heard[:-1].min() / best)


def test_a_whole_analysis_names_the_sink_and_measures_the_same(
    attention: np.ndarray, system: engine.MultiHeadSystem
) -> None:
    found = engine.analyze(system)
    (batch,) = engine.analyze_batch(attention[None, None], system.weights, rows="sinks")
    share = 1 - attention.sum(-1).mean(-1)
    for each in (found, batch):
        assert each["learned_sink"]["per_head"] == pytest.approx(share.tolist())
        assert each["learned_sink"]["share"] == pytest.approx(float(share @ system.weights))
        assert each["nodes"] == NODES
    assert found["fidelity"]["minimax"] == pytest.approx(batch["fidelity"]["minimax"])
    headline = engine.headline(attention[None, None], system.weights, rows="sinks")
    assert headline.fidelity[0, 0] == pytest.approx(found["fidelity"]["minimax"])
    assert "learned_sink" not in engine.analyze(engine.MultiHeadSystem.from_weights(attention))
    (why,) = engine.why_batch(attention[None, None], system.weights, rows="sinks")
    assert why["value"] == pytest.approx(found["fidelity"]["minimax"])


def test_token_0_loses_to_the_sink_what_it_does_not_keep() -> None:
    """Node 0 hears itself and the sink: its fidelity has a best step, and hence a derivative."""
    attention = np.array([[[0.9, 0, 0], [0.05, 0.9, 0], [0.05, 0.05, 0.8]]])
    system = engine.MultiHeadSystem.from_attention(attention, rows="sinks")
    found = engine.sensitivity(system, node=0)
    powers = [np.linalg.matrix_power(attention[0], t)[-1, 0] for t in range(1, 60)]
    assert found.time == 1 + int(np.argmax(powers))
    assert found.value == pytest.approx(max(powers))
    divided = engine.MultiHeadSystem.from_attention(attention, rows="normalise")
    with pytest.raises(NotDifferentiableError, match="approached"):
        engine.sensitivity(divided, node=0)
