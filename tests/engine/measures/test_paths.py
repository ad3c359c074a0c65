"""Paths and shares against brute force."""

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
    # The first head no longer moves, so a walk that waits before moving needs only the second.
    assert cut.share == 0
    with pytest.raises(engine.EngineError, match="threshold is 1"):
        engine.novel_path_share(system, 0, threshold=1.0)


def test_too_many_sets_of_heads_are_refused_with_advice() -> None:
    rng = np.random.default_rng(0)
    heads = np.tril(rng.random((16, 40, 40)) > 0.3) + np.eye(40)
    with pytest.raises(engine.EngineError, match="Raise the threshold"):
        engine.novel_path_share(engine.MultiHeadSystem.from_weights(heads), 0)


def test_shares_say_when_the_best_time_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = engine.MultiHeadSystem.from_weights([[[1, 0], [1e-7, 1 - 1e-7]]] * 2, [1, 2])
    quick = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2)]])
    monkeypatch.setattr("synergy_engine.operators.stack.TRAJECTORY_VALUES", 10)
    for share in (engine.cross_head_share, engine.novel_path_share):
        assert share(quick, 1).converged
        monkeypatch.setattr("synergy_engine.measures.paths.HORIZON", 1000)
        found = share(slow, 0)
        assert (found.converged, found.time) == (False, 1000)
    # Two steps of one head or the other, and t - 1 of waiting before or after.
    assert engine.cross_head_share(slow, 0).share == pytest.approx(1, abs=1e-12)
