"""Building systems, and everything that is wrong with the others."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

import synergy_engine as engine


def test_one_matrix_is_one_head() -> None:
    system = engine.MultiHeadSystem.from_attention(np.eye(3))
    assert (system.heads, system.nodes, system.sink) == (1, 3, 2)
    assert system.weights.tolist() == [1.0]


def test_weights_are_normalised_and_labelled() -> None:
    system = engine.MultiHeadSystem.from_attention([np.eye(2), np.eye(2)], [1, 3])
    assert system.weights.tolist() == [0.25, 0.75]
    assert system.weights_label == "given"
    assert system.with_weights("uniform").weights_label == "uniform"
    assert system.subset([1]).weights.tolist() == [1.0]
    assert system.with_weights([0, 1]).subset([0]).weights.tolist() == [1.0]


def test_edges_carry_information_from_a_to_b() -> None:
    system = engine.MultiHeadSystem.from_edges([[(0, 1, 2.5), (1, 2)]], names=["a", "b", "c"])
    assert system.head_array(0).tolist() == [[1, 0, 0], [2.5, 1, 0], [0, 1, 1]]
    kept = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 1, 3.0)]], self_loops="keep")
    assert kept.head_array(0).tolist() == [[0, 0], [1, 3]]
    assert system.name(2) == "c"


def test_float32_attention_stays_float32() -> None:
    assert engine.MultiHeadSystem.from_attention(np.eye(3, dtype=np.float32)).dense.dtype == "f4"
    assert engine.MultiHeadSystem.from_attention(np.eye(3, dtype=np.float16)).dense.dtype == "f8"


def test_a_sink_without_a_self_loop_is_absorbing_and_silence_keeps_its_state() -> None:
    system = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]], self_loops="keep")
    assert engine.walk(system).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert engine.hitting_times(system).tolist() == [2, 1, 0]
    assert engine.diffusion(system).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones((2, 3)), ["shape (2, 3)", "square"]),
        (np.ones(3), ["shape (3,)"]),
        (np.zeros((0, 0)), ["nothing in them"]),
        ([["a", "b"], ["c", "d"]], ["not an array of numbers"]),
        (np.ones((2, 2, 3, 3)) / 3, ["Not causal"]),
        ([[1, 0], [np.nan, 1]], ["not finite at [1, 0]", "NaN"]),
        ([[1, 0], [np.inf, 1]], ["not finite at [1, 0]"]),
        ([[1, 0], [np.nan, 1], [0, 1]], ["shape"]),
        ([[1, 0, 0], [np.nan, 1, 0], [0.2, 0, 0.2]], ["not finite at [1, 0]", "one", "off by 0.6"]),
        ([[1, 0], [1j, 1]], ["complex"]),
        ([[1, 0], [1e101, 1]], ["above 1e+100 at [1, 0]"]),
        ([[1, 0], [1.5, -0.5]], ["negative at [1, 1]"]),
        ([[0.5, 0.5], [0.5, 0.5]], ["Not causal", "[0, 1]", "causal mask", "encoder"]),
        ([[0.3, 0.2], [0, 1]], ["Not causal", "[0, 1]", "numpy.swapaxes(weights, -1, -2)"]),
        ([[1, 0], [0.2, 0.2]], ["do not sum to one", "off by 0.6", "normalise"]),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(weights: object, words: list[str]) -> None:
    with pytest.raises(engine.InvalidSystemError) as caught:
        engine.MultiHeadSystem.from_attention(weights)
    for word in words:
        assert word in str(caught.value)


def test_transposed_attention_is_not_to_be_renormalised() -> None:
    """Its rows are senders, whose sums say nothing: what transposing gives is attention."""
    weights = np.tril(np.random.default_rng(0).random((2, 5, 5))) + np.eye(5)
    weights /= weights.sum(axis=-1, keepdims=True)
    with pytest.raises(engine.InvalidSystemError) as caught:
        engine.MultiHeadSystem.from_attention(np.swapaxes(weights, -1, -2))
    assert len(caught.value.problems) == 1
    assert "transpose" in str(caught.value)
    assert "normalise" not in str(caught.value)


def test_everything_wrong_is_reported_at_once() -> None:
    bad = np.eye(4)
    bad[0, 3], bad[2, 1], bad[3, 3] = 0.5, -2, 0.1
    with pytest.raises(engine.EngineError) as caught:
        engine.MultiHeadSystem.from_attention(bad)
    assert len(caught.value.problems) == 3


def test_rows_are_renormalised_on_request() -> None:
    a = np.array([[2.0, 0], [1, 3]])
    system = engine.MultiHeadSystem.from_attention(a, rows="normalise")
    assert system.head_array(0).tolist() == [[1, 0], [0.25, 0.75]]
    with pytest.raises(engine.InvalidSystemError, match="all zero"):
        engine.MultiHeadSystem.from_attention([[0, 0], [1, 0]], rows="normalise")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1, 2, 3], "shape"),
        ([-1, 2], "finite, >= 0"),
        ([0, 0], "not all zero"),
        ([np.nan, 1], "finite"),
        ("learned", "uniform"),
    ],
)
def test_head_weights_are_checked(weights: object, words: str) -> None:
    with pytest.raises(engine.InvalidSystemError, match=words):
        engine.MultiHeadSystem.from_attention(np.stack([np.eye(2)] * 2), weights)


def test_bad_edges_are_listed() -> None:
    with pytest.raises(engine.EngineError) as caught:
        engine.MultiHeadSystem.from_edges([[(0, 9), (2, 1), (0, 1, -1)]], nodes=3)
    text = str(caught.value)
    assert "0 → 9" in text
    assert "runs backwards" in text
    assert "weight is -1" in text
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "edge", [("a", "b"), (0, None), (0, float("nan")), (0, 10**30), (0, 0.5), (0, 1, 1e101), (0,)]
)
def test_edges_that_are_not_edges_are_refused_with_a_message(edge: tuple) -> None:
    with pytest.raises(engine.EngineError, match=r"edge|nodes"):
        engine.MultiHeadSystem.from_edges([[edge]])


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_more_nodes_than_fit_are_refused_with_the_number(storage: str) -> None:
    for nodes in (0, -1, 2**31):
        with pytest.raises(engine.EngineError, match="a graph has 1 to"):
            engine.MultiHeadSystem.from_edges([[(0, 1)]], nodes=nodes, storage=storage)  # type: ignore[arg-type]
    with pytest.raises(engine.TooLargeError, match=r"would take [\d,.]+ GiB"):
        engine.MultiHeadSystem.from_edges([[(0, 1)]], nodes=2**31 - 1, storage=storage)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, ">f8", ">f4", np.longdouble, object])
def test_any_type_of_number_and_any_layout_will_do(dtype: object) -> None:
    plain = np.tril(np.ones((2, 6, 6)))
    expected = engine.hitting_times(engine.MultiHeadSystem.from_weights(plain))
    typed = plain.astype(dtype)
    for array in (typed, np.asfortranarray(typed), np.repeat(typed, 2, axis=2)[:, :, ::2]):
        system = engine.MultiHeadSystem.from_weights(array)
        np.testing.assert_array_equal(engine.hitting_times(system), expected)


@pytest.mark.parametrize("tiny", [0.0, -0.0, 5e-324, 1e-310, 1e-291])
def test_weights_too_faint_to_normalise_count_as_zero(tiny: float) -> None:
    """A column of subnormals has no reciprocal: it used to turn every time into NaN."""
    weights = np.array([[1, 0, 0], [1, tiny, 0], [0.5, tiny, 0.5]])
    dense = engine.MultiHeadSystem.from_weights(weights)
    sparse = engine.MultiHeadSystem.from_sparse([engine.SparseHead.from_dense(weights)])
    for system in (dense, sparse):
        assert engine.hitting_times(system).tolist() == [np.inf, np.inf, 0]
        assert engine.head_hitting_times(system).tolist() == [[np.inf, np.inf, 0]]
        assert system.unreachable() == [1]


def test_to_dense_keeps_the_system_and_refuses_what_does_not_fit() -> None:
    edges = [[(0, 1), (1, 2, 2.0)], [(0, 2)]]
    sparse = engine.MultiHeadSystem.from_edges(edges, weights=[1, 3], storage="sparse")
    dense = sparse.to_dense()
    assert dense.dense is not None
    assert dense.to_dense() is dense
    np.testing.assert_array_equal(dense.dense, [sparse.head_array(h) for h in range(2)])
    np.testing.assert_array_equal(dense.weights, sparse.weights)
    with pytest.raises(engine.TooLargeError, match=r"GiB"):
        engine.topology("line", 10**6).to_dense()


def test_a_node_without_a_way_to_the_sink_is_named() -> None:
    with pytest.raises(engine.UnreachableError, match=r"cannot reach the sink τ.*: b"):
        engine.MultiHeadSystem.from_edges([[(0, 2)]], nodes=3, names=["a", "b", "τ"])
    kept = engine.MultiHeadSystem.from_edges([[(0, 2)]], nodes=3, unreachable="allow")
    assert kept.unreachable() == [1]
    assert engine.hitting_times(kept)[1] == np.inf
    found = engine.analyze(kept)
    assert found["fidelity"]["unreachable"] == [1]
    assert found["fidelity"]["minimax"] == 0
    assert found["mixing"]["hitting_time_mean"] == float("inf")
    assert engine.mixing_time(kept).infinite
    assert str(engine.mixing_time(kept)) == "inf"


@pytest.mark.parametrize(
    "call",
    [
        lambda s: engine.mixing_time(s, epsilon=0),
        lambda s: engine.mixing_time(s, epsilon=2.1),
        lambda s: engine.mixing_time(s, epsilon=float("nan")),
        lambda s: engine.hitting_times(s, cap=-1),
        lambda s: engine.arrival_times(s, 0.0),
        lambda s: engine.arrival_times(s, max_steps=-1),
        lambda s: engine.head_mixing_times(s, aggregate="sum"),
        lambda s: engine.mixing_time(s, distance="l2"),
        lambda s: engine.mixing_time(s, max_steps=-1),
        lambda s: engine.arrival(s, -1),
        lambda s: engine.fidelity(s, horizon=-1),
        lambda s: engine.fidelity(s, sink="maybe"),
        lambda s: engine.spread(s, 7, 1),
        lambda s: engine.walk(s, combine="heads"),
        lambda s: engine.analyze(s, convention="papercode"),
        lambda s: engine.analyze(s, max_steps=0),
        lambda s: engine.strongest_paths(s, 0, k=0),
        lambda s: engine.monte_carlo(s, walks=1),
        lambda s: engine.monte_carlo(s, seed=-1),
        lambda s: engine.optimal_weights(s, "mixing", epsilon=0),
        lambda s: engine.optimal_weights(s, combine="heads"),
        lambda s: engine.optimal_weights(s, "speed"),
        lambda s: s.subset([]),
        lambda s: s.subset([4]),
        lambda s: engine.analyze_batch(s.dense),
        lambda s: engine.analyze_batch(s.dense[None, None], np.ones((2, 5))),
        lambda s: engine.overall([]),
    ],
)
def test_bad_options_are_refused_with_a_message(call: object) -> None:
    system = engine.MultiHeadSystem.from_attention(np.stack([np.eye(3)] * 2))
    with pytest.raises(engine.EngineError) as caught:
        call(system)  # type: ignore[operator]
    assert caught.value.problems[0].endswith(".")


def test_importing_the_engine_is_free() -> None:
    code = (
        "import sys, synergy_engine as engine\n"
        "heavy = {'numba', 'scipy', 'networkx', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "engine.fidelity\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", engine.__all__)
def test_functions_keep_their_names_when_modules_are_imported(name: str) -> None:
    """A module of the name would hide the function once it is imported."""
    assert importlib.util.find_spec(f"synergy_engine.{name}") is None


def test_analysis_is_plain_json() -> None:
    system = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2), (1, 2)]])
    text = json.dumps(engine.analyze(system).as_dict(), allow_nan=False)
    assert json.loads(text)["heads"] == 2
