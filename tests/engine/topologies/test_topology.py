"""Graph families: each is what its name says, for any size, seed and number of heads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from synergy_engine.errors import EngineError, TooLargeError
from synergy_engine.sparse import SparseHead
from synergy_engine.topologies.catalogue import FAMILIES, family
from synergy_engine.topologies.topology import topology, topology_heads


def edges(head: SparseHead) -> set[tuple[int, int]]:
    """Edges sender → receiver without self-loops."""
    pairs = zip(head.indices.tolist(), head.receivers().tolist(), strict=True)
    return {pair for pair in pairs if pair[0] != pair[1]}


def other_sinks(head: SparseHead) -> list[int]:
    sending = {sender for sender, _ in edges(head)}
    return [node for node in range(head.nodes - 1) if node not in sending]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("nodes", [2, 3, 16, 101])
def test_every_family_gives_valid_heads_with_self_loops(name: str, nodes: int) -> None:
    given = {"degree": 2} if name == "expander" and nodes > 2 else {}
    given = {"degree": 1} if name == "expander" and nodes == 2 else given
    for head in topology_heads(name, nodes, heads=3, seed=5, diversity=0.5, **given):
        head.check()
        assert head.nodes == nodes
        assert head.has_self_loop().all() or name == "learned"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_settles_the_graph(name: str) -> None:
    first, again, other = (topology_heads(name, 64, seed=seed)[0] for seed in (3, 3, 4))
    assert edges(first) == edges(again)
    assert (edges(first) == edges(other)) is not FAMILIES[name].random


@pytest.mark.parametrize("name", [name for name, each in FAMILIES.items() if each.unique_sink])
@pytest.mark.parametrize("nodes", [2, 5, 33])
def test_families_with_a_unique_sink_have_one(name: str, nodes: int) -> None:
    for seed in range(5):
        assert other_sinks(topology_heads(name, nodes, seed=seed)[0]) == []


def test_fixed_graphs() -> None:
    n = 9
    assert edges(topology_heads("line", n)[0]) == {(j - 1, j) for j in range(1, n)}
    assert edges(topology_heads("star", n)[0]) == {(i, n - 1) for i in range(n - 1)}
    everyone = {(i, j) for j in range(n) for i in range(j)}
    assert edges(topology_heads("fully_connected", n)[0]) == everyone
    window = {(i, j) for i, j in everyone if j - i <= 3}
    assert edges(topology_heads("sliding_window", n, window=3)[0]) == window


def test_erdos_renyi_has_each_edge_with_its_probability() -> None:
    counts = np.zeros((6, 6))
    draws = 4000
    for seed in range(draws):
        counts += topology_heads("erdos_renyi", 6, seed=seed, probability=0.3)[0].to_array()
    share = counts[np.tril_indices(6, -1)] / draws
    assert np.all(np.abs(share - 0.3) < 5 * np.sqrt(0.3 * 0.7 / draws))
    assert edges(topology_heads("erdos_renyi", 6, probability=0.0)[0]) == set()
    assert len(edges(topology_heads("erdos_renyi", 6, probability=1.0)[0])) == 15


def test_erdos_renyi_is_the_same_process_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergy_engine.topologies.draw.BLOCK_EDGES", 50)
    head = topology_heads("erdos_renyi", 400, probability=0.1)[0]
    drawn = len(edges(head))
    assert abs(drawn - 7980) < 5 * np.sqrt(7980 * 0.9)
    upper_half = sum(j >= 283 for _, j in edges(head))
    assert abs(upper_half / drawn - 0.5) < 0.05


@pytest.mark.parametrize("degree", [1, 3, 50])
def test_fixed_in_degree_is_fixed_and_uniform(degree: int) -> None:
    head = topology_heads("fixed_in_degree", 60, degree=degree)[0]
    heard = np.diff(head.indptr) - 1
    assert heard.tolist() == [min(degree, j) for j in range(60)]


def test_fixed_in_degree_draws_every_set_alike() -> None:
    seen: dict[tuple[int, ...], int] = {}
    draws = 3000
    for seed in range(draws):
        head = topology_heads("fixed_in_degree", 6, seed=seed, degree=3)[0]
        row = tuple(head.indices[head.indptr[5] : head.indptr[6] - 1].tolist())
        seen[row] = seen.get(row, 0) + 1
    shares = np.array(list(seen.values())) / draws
    assert len(seen) == 10
    assert np.all(np.abs(shares - 0.1) < 5 * np.sqrt(0.09 / draws))


@pytest.mark.parametrize(("nodes", "degree"), [(50, 4), (51, 6), (12, 9), (8, 7), (5, 2)])
def test_expander_is_regular(nodes: int, degree: int) -> None:
    for seed in range(5):
        dense = topology_heads("expander", nodes, seed=seed, degree=degree)[0].to_array()
        np.fill_diagonal(dense, 0)
        assert (dense.sum(0) + dense.sum(1)).tolist() == [degree] * nodes


def test_expander_says_when_there_is_none() -> None:
    with pytest.raises(EngineError, match="no graph of 5 nodes has 3 edges at each"):
        topology_heads("expander", 5, degree=3)


def test_poisson_walks_back_and_stops_at_its_budget() -> None:
    head = topology_heads("poisson", 20_000, probability=0.25, degree=3)[0]
    assert (np.diff(head.indptr) - 1).max() == 3
    nearest = head.indices[head.indptr[1:] - 2][100:]
    back = np.arange(100, 20_000) - nearest
    assert abs(np.mean(back == 1) - 0.75) < 0.02
    assert abs(np.mean(back == 2) - 0.1875) < 0.02
    assert edges(topology_heads("poisson", 9, probability=0.0, degree=2)[0]) == edges(
        topology_heads("sliding_window", 9, window=2)[0]
    )


def test_funsearch_joins_blocks_and_fills_the_last() -> None:
    n, blocks = 24, 5
    bounds = [n * b // blocks for b in range(blocks + 1)]
    block = [max(b for b in range(blocks) if bounds[b] <= v) for v in range(n)]
    expected = {
        (i, j)
        for j in range(n)
        for i in range(j)
        if block[j] == block[i] + 1 or block[i] == block[j] == blocks - 1
    }
    assert edges(topology_heads("funsearch", n, matchings=0)[0]) == expected
    recursive = edges(topology_heads("funsearch", n, matchings=0, recursive=True)[0])
    assert recursive > expected
    assert all(block[i] == block[j] for i, j in recursive - expected)


@pytest.mark.parametrize("matchings", [1, 3])
def test_funsearch_matchings_give_every_node_as_many_neighbours(matchings: int) -> None:
    n, blocks = 64, 6
    head = topology_heads("funsearch", n, matchings=matchings)[0]
    start, stop = n // blocks, 2 * n // blocks
    for receiver in range(start, stop):
        senders = head.indices[head.indptr[receiver] : head.indptr[receiver + 1] - 1]
        assert 1 <= len(senders) <= matchings + 1
        assert all(sender < start for sender in senders)


def test_learned_patterns_are_attention() -> None:
    heads = topology_heads("learned", 12, heads=4, strength=0.8, window=3)
    for head in heads:
        np.testing.assert_allclose(head.to_array().sum(1), 1, rtol=1e-15)
    previous, first, uniform, local = (head.to_array()[5] for head in heads)
    assert previous[4] == 0.8
    assert first[0] == 0.8
    np.testing.assert_allclose(uniform[:5], 0.8 / 6)
    np.testing.assert_allclose(local[2:5], 0.8 * np.array([1, 2, 4]) / 7)
    whole = topology_heads("learned", 5, pattern="previous", strength=1.0)[0]
    assert not whole.has_self_loop()[1:].any()


@pytest.mark.parametrize("name", ["sliding_window", "erdos_renyi", "poisson", "learned"])
def test_diversity_is_the_share_of_rows_redrawn(name: str) -> None:
    def differing(diversity: float) -> set[int]:
        first, second = topology_heads(
            name, 2000, heads=2, seed=1, diversity=diversity, redraw="others"
        )
        one, two = first.to_scipy(), second.to_scipy()
        return set(np.unique((one != two).nonzero()[0]).tolist())

    none, some, more = differing(0.0), differing(0.2), differing(0.7)
    assert none == set()
    assert 250 < len(some) < 450
    assert some < more


def test_redrawn_rows_of_a_fixed_family_keep_their_in_degree() -> None:
    first, second = topology_heads("sliding_window", 500, heads=2, diversity=1.0, window=5)
    assert np.array_equal(first.indptr, second.indptr)
    assert edges(first) != edges(second)


def test_dense_and_sparse_layouts_hold_the_same_graph() -> None:
    dense = topology("poisson", 40, heads=2, layout="dense")
    sparse = topology("poisson", 40, heads=2, layout="sparse")
    assert dense.dense is not None
    assert sparse.sparse is not None
    for head in range(2):
        assert np.array_equal(dense.head_array(head), sparse.head_array(head))


def test_everything_wrong_is_reported_at_once() -> None:
    with pytest.raises(EngineError) as caught:
        topology_heads("sliding_window", 1, windw=3, window=0)
    assert len(caught.value.problems) == 3
    assert "did you mean window?" in str(caught.value)
    with pytest.raises(EngineError, match="did you mean star"):
        family("stra")
    for wrong in (
        {"heads": 0},
        {"diversity": 1.5},
        {"redraw": "none"},
        {"seed": -1},
        {"layout": "csr"},
    ):
        with pytest.raises(EngineError):
            topology("line", 8, **wrong)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_as_good_as_those_of_python() -> None:
    options = {"heads": np.int64(2), "seed": np.uint32(3), "window": np.int8(2)}
    given = topology("sliding_window", np.int64(9), diversity=np.float32(0.5), **options)
    assert isinstance(given.nodes, int)
    plain = topology("sliding_window", 9, diversity=0.5, heads=2, seed=3, window=2)
    for head in range(2):
        assert np.array_equal(given.head_array(head), plain.head_array(head))
    for wrong in ({"heads": True}, {"seed": 1.0}, {"window": 2.5}, {"diversity": "much"}):
        with pytest.raises(EngineError):
            topology("sliding_window", 9, **wrong)


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    with pytest.raises(TooLargeError, match=r"would take [\d,.]+ GiB"):
        topology_heads("fully_connected", 10_000_000)
    with pytest.raises(TooLargeError, match=r"would take [\d,.]+ GiB"):
        topology("line", 1_000_000, layout="dense")


def test_the_catalogue_loads_nothing_heavy() -> None:
    code = (
        "import sys, synergy_engine.topologies.catalogue\n"
        "heavy = {'numba', 'numpy', 'scipy', 'networkx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_head_is_special_when_all_redraw() -> None:
    def deaf(redraw: str) -> list[int]:
        """Per head, how many of 100 nodes of a line send nothing."""
        heads = topology_heads("line", 100, heads=4, seed=2, diversity=1.0, redraw=redraw)
        return [len(other_sinks(head)) for head in heads]

    assert deaf("others")[0] == 0
    assert all(deaf("others")[1:])
    assert all(deaf("all"))
    # Heads are the first of a larger system, and two draw rows from one graph.
    two, three = (
        topology_heads("poisson", 300, heads=heads, diversity=0.3, seed=4) for heads in (2, 3)
    )
    assert all(np.array_equal(a.indices, b.indices) for a, b in zip(two, three[:2], strict=True))
    (alone,) = topology_heads("poisson", 300, heads=1, diversity=0.3, seed=4)
    for head in two:
        kept = sum(
            np.array_equal(
                head.indices[head.indptr[node] : head.indptr[node + 1]],
                alone.indices[alone.indptr[node] : alone.indptr[node + 1]],
            )
            for node in range(1, 300)
        )
        assert 0.65 < kept / 299 < 0.85
