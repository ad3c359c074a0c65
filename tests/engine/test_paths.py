"""Paths, shares and Monte Carlo against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import synergy_engine as engine
from tests.engine import exact

Case = tuple[np.ndarray, list[int]]
several = settings(max_examples=30, deadline=None)


def every_path(system: engine.MultiHeadSystem, source: int) -> list[tuple[float, tuple, tuple]]:
    """All moving paths source → sink over every choice of heads, strongest first."""
    d = [w * engine.diffusion(system.head(h)) for h, w in enumerate(system.weights)]
    found = []
    between = range(source + 1, system.sink)
    for size in range(len(between) + 1):
        for middle in itertools.combinations(between, size):
            nodes = (source, *middle, system.sink)
            for heads in itertools.product(range(system.heads), repeat=len(nodes) - 1):
                steps = zip(heads, nodes[1:], nodes[:-1], strict=True)
                strength = float(np.prod([d[h][j, i] for h, j, i in steps]))
                if strength > 0:
                    found.append((strength, nodes, heads))
    return sorted(found, key=lambda path: -path[0])


@several
@given(exact.systems(most_nodes=5), st.integers(1, 9))
def test_strongest_paths_are_the_strongest(case: Case, k: int) -> None:
    system = engine.MultiHeadSystem.from_weights(*case)
    if system.nodes == 1:
        return
    truth = every_path(system, 0)
    got = engine.strongest_paths(system, 0, k)
    assert len(got) == min(k, len(truth))
    np.testing.assert_allclose(
        [path.strength for path in got], [strength for strength, _, _ in truth[:k]], rtol=1e-12
    )
    known = {(nodes, heads): strength for strength, nodes, heads in truth}
    for path in got:
        assert path.strength == pytest.approx(known[path.nodes, path.heads], rel=1e-12)


@several
@given(exact.systems(most_nodes=5))
def test_shares_of_all_paths_add_up_to_all_that_is_heard(case: Case) -> None:
    system = engine.MultiHeadSystem.from_weights(*case)
    if system.nodes == 1 or engine.fidelity(system).node[0] == 0:
        return
    paths = engine.strongest_paths(system, 0, k=2000)
    assert sum(path.share for path in paths) == pytest.approx(1, rel=1e-9)


def brute_force_novel(system: engine.MultiHeadSystem, source: int, time: int) -> float:
    """Share of (D^time)[τ, source] on node paths, waits included, that no head has whole."""
    mixed = engine.diffusion(system)
    supports = [
        engine.diffusion(system.head(h)) > 0 for h in range(system.heads) if system.weights[h] > 0
    ]
    total = novel = 0.0
    for middle in itertools.combinations_with_replacement(
        range(system.sink, source - 1, -1), time - 1
    ):
        nodes = (system.sink, *middle, source)
        steps = list(itertools.pairwise(nodes))
        strength = float(np.prod([mixed[j, i] for j, i in steps]))
        total += strength
        if not any(all(support[j, i] for j, i in steps) for support in supports):
            novel += strength
    return novel / total


@several
@given(exact.systems(most_nodes=4))
def test_novel_path_share_counts_paths_that_no_head_has(case: Case) -> None:
    system = engine.MultiHeadSystem.from_weights(*case)
    novel = engine.novel_path_share(system, 0)
    crossing = engine.cross_head_share(system, 0)
    assert 0 <= novel.share <= 1 + 1e-12
    # A path that no head has alone must switch heads.
    assert novel.share <= crossing.share + 1e-9
    if 0 < novel.time <= 6 and novel.clarity > 0:
        assert novel.share == pytest.approx(
            brute_force_novel(system, 0, novel.time), rel=1e-9, abs=1e-15
        )


def test_a_head_of_weight_zero_has_no_paths() -> None:
    chain = [(0, 1), (1, 2)]
    heads = [chain[:1], chain[1:], chain]
    system = engine.MultiHeadSystem.from_edges(heads, weights=[1, 1, 0])
    assert engine.novel_path_share(system, 0).share == 1
    assert engine.novel_path_share(system.with_weights([1, 1, 1]), 0).share == 0
    assert {h for path in engine.strongest_paths(system, 0) for h in path.heads} == {0, 1}


def test_cross_head_share_against_its_definition() -> None:
    rng = np.random.default_rng(0)
    heads = np.tril(rng.random((3, 6, 6)))
    system = engine.MultiHeadSystem.from_weights(heads, [1, 2, 3])
    got = engine.cross_head_share(system, 2)
    power = np.linalg.matrix_power(engine.diffusion(system), got.time)[-1, 2]
    alone = sum(
        (w**got.time) * np.linalg.matrix_power(engine.diffusion(system.head(h)), got.time)[-1, 2]
        for h, w in enumerate(system.weights)
    )
    assert got.clarity == pytest.approx(power, rel=1e-12)
    assert got.share == pytest.approx(1 - alone / power, rel=1e-10)


def test_identical_heads_switch_but_add_no_path() -> None:
    same = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]] * 3)
    assert engine.novel_path_share(same, 0).share == 0
    assert engine.cross_head_share(same, 0).share > 0


def test_a_threshold_drops_weak_attention_first() -> None:
    heads = np.array([[[1, 0], [0.01, 0.99]], [[1, 0], [0.5, 0.5]]])
    system = engine.MultiHeadSystem.from_attention(heads)
    assert engine.novel_path_share(system, 0, threshold=0.0).share == 0
    cut = engine.novel_path_share(system, 0, threshold=0.05)
    assert cut.threshold == 0.05
    # The first head no longer moves, so whoever waits before moving needs only the second.
    assert cut.share == 0
    with pytest.raises(engine.EngineError, match="threshold is 1"):
        engine.novel_path_share(system, 0, threshold=1.0)


def test_too_many_sets_of_heads_are_refused_with_advice() -> None:
    rng = np.random.default_rng(0)
    heads = np.tril(rng.random((16, 40, 40)) > 0.3) + np.eye(40)
    with pytest.raises(engine.EngineError, match="Raise the threshold"):
        engine.novel_path_share(engine.MultiHeadSystem.from_weights(heads), 0)


def test_monte_carlo_agrees_within_its_own_interval() -> None:
    rng = np.random.default_rng(5)
    heads = np.tril(rng.random((3, 25, 25)) ** 3)
    system = engine.MultiHeadSystem.from_weights(heads)
    for combine in ("walks", "attention"):
        seen = engine.monte_carlo(system, walks=4000, seed=11, combine=combine)
        truth = engine.hitting_times(system, combine=combine)
        off = np.abs(seen.mean - truth) / np.maximum(seen.standard_error, 1e-12)
        # 24 estimates: five standard errors are beyond one in ten thousand runs; the seed is fixed.
        assert np.all(off[:-1] < 5)
        assert seen.mean[-1] == 0
        assert not seen.censored.any()


def test_monte_carlo_says_what_it_cut_off() -> None:
    system = engine.MultiHeadSystem.from_weights([[0.999, 0], [0.001, 1]])
    seen = engine.monte_carlo(system, walks=200, max_steps=10)
    assert seen.censored[0] > 0.9
    assert seen.mean[0] <= 10


def test_a_walk_that_arrives_with_its_last_step_is_not_cut_off() -> None:
    hop = engine.MultiHeadSystem.from_weights([[0, 0], [1, 1]])
    seen = engine.monte_carlo(hop, walks=10, max_steps=1)
    assert (seen.mean[0], seen.censored[0], seen.max_steps) == (1, 0, 1)


def test_monte_carlo_intervals_cover_what_they_claim() -> None:
    """Of 400 estimates, 95 % intervals miss about 20; 45 would be a matter of one in a million."""
    rng = np.random.default_rng(3)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((2, 11, 11)) ** 2))
    truth = engine.hitting_times(system)[:-1]
    missed = 0
    for seed in range(40):
        seen = engine.monte_carlo(system, walks=1000, seed=np.int64(seed))
        missed += int(np.sum(np.abs(seen.mean[:-1] - truth) > 1.96 * seen.standard_error[:-1]))
    assert 3 < missed < 45
    assert (seen.combine, seen.seed) == ("walks", 39)


def test_capped_walks_estimate_the_capped_time() -> None:
    rng = np.random.default_rng(4)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((2, 9, 9)) ** 4))
    seen = engine.monte_carlo(system, walks=4000, max_steps=5, seed=1)
    off = np.abs(seen.mean - engine.hitting_times(system, cap=5))
    assert np.all(off <= 5 * np.maximum(seen.standard_error, 1e-12))


def test_monte_carlo_does_not_depend_on_threads() -> None:
    rng = np.random.default_rng(5)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((2, 30, 30))))
    seen = []
    for threads in (1, 3):
        engine.set_threads(threads)
        seen.append(engine.monte_carlo(system, walks=300, seed=2).mean)
    engine.set_threads(None)
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("objective", ["fidelity", "mixing", "hitting"])
def test_optimal_weights_are_no_worse_than_a_grid(objective: str) -> None:
    rng = np.random.default_rng(1)
    system = engine.MultiHeadSystem.from_weights(np.tril(rng.random((3, 8, 8)) ** 6) + np.eye(8))
    best = engine.optimal_weights(system, objective)
    assert best.weights.sum() == pytest.approx(1)
    grid = [(a / 12, b / 12, (12 - a - b) / 12) for a in range(13) for b in range(13 - a)]
    for weights in grid:
        other = system.with_weights(weights)
        if objective == "fidelity":
            assert best.value >= engine.fidelity(other).minimax * (1 - 1e-9)
        elif objective == "mixing":
            assert best.value <= float(engine.mixing_time(other))
        else:
            assert best.value <= engine.hitting_times(other).mean() * (1 + 1e-9)


@pytest.mark.parametrize("objective", ["fidelity", "mixing", "hitting"])
def test_optimal_weights_of_sparse_heads_are_those_of_dense_ones(objective: str) -> None:
    edges = [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    dense, sparse = (
        engine.optimal_weights(
            engine.MultiHeadSystem.from_edges(edges, storage=storage),
            objective,
            combine="attention",
        )
        for storage in ("dense", "sparse")
    )
    assert sparse.value == pytest.approx(dense.value, rel=1e-9)
    assert (sparse.objective, sparse.combine, sparse.epsilon) == (objective, "attention", 0.25)
    if objective == "fidelity":
        np.testing.assert_allclose(sparse.weights, dense.weights, atol=1e-5)


def test_the_best_mixing_time_is_the_mixing_time_there() -> None:
    """Without self-loops everybody arrives at once: survival 0 at the crossing, not 1 below ε."""
    walks = np.stack([np.eye(4, k=-1), (np.eye(4, k=-1) + np.eye(4)) / 2])
    system = engine.MultiHeadSystem.from_weights(walks)
    best = engine.optimal_weights(system, "mixing")
    assert best.value == engine.mixing_time(system.with_weights(best.weights)).steps == 3
    slow = np.array([[[1 - gap, 0], [gap, 1]] for gap in (1e-9, 1e-8)])
    beyond = engine.optimal_weights(
        engine.MultiHeadSystem.from_weights(slow), "mixing", max_steps=100
    )
    assert beyond.value == np.inf
    assert beyond.weights.tolist() == [0, 1]  # no time is known, but the quicker head is


@pytest.mark.parametrize(("objective", "value"), [("fidelity", 1), ("mixing", 0), ("hitting", 0)])
@pytest.mark.parametrize("heads", [1, 2])
def test_one_node_alone_needs_no_weights(objective: str, value: float, heads: int) -> None:
    alone = engine.MultiHeadSystem.from_weights(np.ones((heads, 1, 1)))
    assert engine.optimal_weights(alone, objective).value == value


def test_shares_say_when_the_best_time_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = engine.MultiHeadSystem.from_weights([[[1, 0], [1e-7, 1 - 1e-7]]] * 2, [1, 2])
    quick = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2)]])
    monkeypatch.setattr("synergy_engine.operators.stack.TRAJECTORY_VALUES", 10)
    monkeypatch.setattr("synergy_engine.measures.walks.TRAJECTORY_VALUES", 10)
    for share in (engine.cross_head_share, engine.novel_path_share):
        assert share(quick, 1).converged
        monkeypatch.setattr("synergy_engine.measures.paths.HORIZON", 1000)
        found = share(slow, 0)
        assert (found.converged, found.time) == (False, 1000)
    # Two steps of one head or the other, and t - 1 of waiting before or after.
    assert engine.cross_head_share(slow, 0).share == pytest.approx(1, abs=1e-12)
