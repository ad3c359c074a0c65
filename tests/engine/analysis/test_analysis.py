"""The analysis object: batches, intervals, means over layers, conventions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import synergy_engine as engine
from tests.engine.systems import attention


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Every number of an analysis under its path."""
    if isinstance(value, dict):
        return {
            k: v for key, item in value.items() for k, v in numbers(item, f"{path}.{key}").items()
        }
    if isinstance(value, list):
        return {
            k: v
            for key, item in enumerate(value)
            for k, v in numbers(item, f"{path}.{key}").items()
        }
    return {path: value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


@pytest.mark.parametrize("convention", ["theory", "feedforward", "paper-code"])
def test_a_batch_of_one_is_the_single_system(convention: str) -> None:
    a = attention(1, 3, 4, 20, 20)
    weights = np.random.default_rng(1).random((3, 4))
    for layer, found in enumerate(engine.analyze_batch(a, weights, convention=convention)):
        system = engine.MultiHeadSystem.from_attention(a[0, layer], weights[layer])
        single = engine.analyze(system, convention=convention, layer=layer + 1, depth=3)
        assert found.as_dict() == single.as_dict()


def test_numbers_of_a_batch_are_means_over_inputs() -> None:
    a = attention(5, 1, 3, 15, 15)
    (found,) = engine.analyze_batch(a)
    singles = [engine.analyze(engine.MultiHeadSystem.from_attention(x[0])) for x in a]
    for group, name in (
        ("mixing", "hitting_time_mean"),
        ("mixing", "hitting_time_capped_mean"),
        ("fidelity", "minimax"),
        ("diversity", "jaccard"),
    ):
        assert found[group][name] == pytest.approx(np.mean([s[group][name] for s in singles]))
    for name in ("fidelity_amplification", "mixing_gain", "hitting_gain"):
        logs = np.log([s["synergy"][name] for s in singles])
        assert found["synergy"][name] == pytest.approx(np.exp(logs.mean()))
    assert found["mixing"]["mixing_time_tv_max"] == np.median(
        [s["mixing"]["mixing_time_tv_max"] for s in singles]
    )
    assert found["inputs"] == 5
    share = np.mean([s["synergy"]["fidelity_amplification"] > 1 for s in singles])
    assert found["synergy"]["beats_best_head"] == pytest.approx(share)


def test_intervals_are_student_t_over_inputs() -> None:
    from scipy import stats

    a = attention(6, 1, 2, 12, 12)
    (found,) = engine.analyze_batch(a)
    values = [
        engine.analyze(engine.MultiHeadSystem.from_attention(x[0]))["fidelity"]["minimax"]
        for x in a
    ]
    low, high = stats.t.interval(0.95, 5, loc=np.mean(values), scale=stats.sem(values))
    assert low < 0  # which no mean of fidelities is
    assert found["intervals"]["fidelity_minimax"] == pytest.approx((0, high), rel=1e-9)
    (alone,) = engine.analyze_batch(a[:1])
    low, high = alone["intervals"]["fidelity_minimax"]
    assert low == high == alone["fidelity"]["minimax"]


def test_an_interval_has_no_end_that_no_mean_can_reach() -> None:
    from scipy import stats

    # One input hears everything in a step, the others next to nothing: Student's t alone says < 0.
    silent = np.array([[1.0, 0.0, 0.0], [1e-6, 1 - 1e-6, 0.0], [1e-6, 1e-6, 1 - 2e-6]])
    clear = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.4, 0.4, 0.2]])
    (found,) = engine.analyze_batch(np.stack([clear, silent, silent])[:, None, None])
    values = np.exp(found["per_input"]["log_fidelity"])
    plain = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert plain[0] < 0
    low, high = found["intervals"]["fidelity_minimax"]
    assert low == 0
    assert high == pytest.approx(min(1.0, plain[1]), rel=1e-9)
    assert found["intervals"]["hitting_time_mean"][0] >= 0


def test_intervals_of_ratios_are_of_the_mean_logarithm() -> None:
    from scipy import stats

    (found,) = engine.analyze_batch(attention(6, 1, 3, 12, 12))
    singles = [
        engine.analyze(engine.MultiHeadSystem.from_attention(x[0]))
        for x in attention(6, 1, 3, 12, 12)
    ]
    logs = np.log([s["synergy"]["fidelity_amplification"] for s in singles])
    truth = np.exp(stats.t.interval(0.95, 5, loc=logs.mean(), scale=stats.sem(logs)))
    assert found["intervals"]["fidelity_amplification"] == pytest.approx(truth, rel=1e-9)


def test_a_double_and_a_half_average_to_one() -> None:
    """Their arithmetic mean, 1.25, would be read as synergy."""
    from synergy_engine.analysis.batch import log_interval, log_mean

    assert log_mean(np.array([2.0, 0.5])) == 1
    low, high = log_interval(np.array([2.0, 0.5, 4.0, 0.25]))
    assert low * high == pytest.approx(1)
    assert log_mean(np.array([1.1, 1.1, 1.1])) == 1.1
    assert log_mean(np.array([2.0, np.inf])) == np.inf
    assert log_interval(np.array([2.0, np.inf])) == [np.inf, np.inf]
    assert log_mean(np.array([2.0, 0.0])) == 0
    layers = engine.analyze_batch(attention(3, 2, 2, 10, 10))
    whole = engine.overall(layers)
    logs = np.log([layer["synergy"]["mixing_gain"] for layer in layers])
    assert whole["synergy"]["mixing_gain"] == pytest.approx(np.exp(logs.mean()))
    ends = np.array([layer["intervals"]["mixing_gain"] for layer in layers])
    assert whole["intervals"]["mixing_gain"] == pytest.approx(np.exp(np.log(ends).mean(axis=0)))


def test_the_held_out_head_is_chosen_on_the_other_half() -> None:
    """Heads take turns in being the best: an oracle per input sees less synergy than there is."""
    a = attention(6, 1, 3, 12, 12)
    (found,) = engine.analyze_batch(a)
    singles = [engine.analyze(engine.MultiHeadSystem.from_attention(x[0])) for x in a]
    heads = np.array([[h["fidelity_minimax"] for h in s["per_head"]] for s in singles])
    logs = []
    for k, single in enumerate(singles):
        others = heads[1 - k % 2 :: 2]
        chosen = np.argmax(np.prod(others, axis=0))
        logs.append(np.log(single["fidelity"]["minimax"] / heads[k, chosen]))
    got = found["synergy"]["fidelity_amplification_held_out"]
    assert got == pytest.approx(np.exp(np.mean(logs)))
    assert got >= found["synergy"]["fidelity_amplification"]
    low, high = found["intervals"]["fidelity_amplification_held_out"]
    assert low < got < high
    assert singles[0]["synergy"]["fidelity_amplification_held_out"] is None
    assert "fidelity_amplification_held_out" not in singles[0]["intervals"]
    assert engine.overall(singles)["synergy"]["fidelity_amplification_held_out"] is None


def test_depth_limited_fidelity_counts_the_layers_only() -> None:
    """Against powers of the diffusion, at the number of layers and at the number of nodes."""
    a = attention(1, 3, 2, 10, 10, dtype=np.float64)
    layers = engine.analyze_batch(a)
    for layer, found in enumerate(layers):
        system = engine.MultiHeadSystem.from_attention(a[0, layer])
        for depth, whole in ((3, found), (10, engine.analyze(system))):
            powers = [np.linalg.matrix_power(a[0, layer].mean(axis=0), t) for t in range(depth + 1)]
            truth = np.max([power[-1, :-1] for power in powers], axis=0)
            assert whole["fidelity"]["depth"] == depth
            assert whole["fidelity"]["depth_limited"] == pytest.approx(truth.min(), rel=1e-12)
            limited = engine.fidelity(system, depth=depth)
            np.testing.assert_allclose(limited.node[:-1], truth, rtol=1e-12)
            assert limited.lower == limited.upper == limited.minimax
            assert (limited.depth, limited.converged) == (depth, True)
    with pytest.raises(engine.EngineError, match="depth is 0; it must be 1 or more"):
        engine.analyze_batch(a, depth=0)


def test_depth_limited_fidelity_is_continuous_where_fidelity_is_not() -> None:
    """Example 2 near β₁ = 0: the supremum jumps from 1/4 to 1/3, the four-step maximum does not."""
    both = engine.MultiHeadSystem.from_edges(
        [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    )
    alone, nearly = both.with_weights([0, 1]), both.with_weights([1e-4, 1 - 1e-4])
    assert engine.fidelity(alone).minimax == pytest.approx(1 / 4, rel=1e-9)
    assert engine.fidelity(nearly).minimax == pytest.approx(0.33335, abs=1e-5)
    limited = [engine.fidelity(each, depth=4).minimax for each in (alone, nearly)]
    assert limited[1] == pytest.approx(limited[0], abs=1e-3)


def test_diversity_is_told_pair_by_pair() -> None:
    a = attention(2, 2, 3, 9, 9)
    layers = engine.analyze_batch(a)
    for layer, found in enumerate(layers):
        pairs = np.array(found["diversity"]["pairs"])
        for one, other in ((0, 1), (0, 2), (1, 2)):
            truth = np.mean(
                [
                    engine.diversity(
                        engine.MultiHeadSystem.from_attention(x[layer][[one, other]])
                    ).jensen_shannon
                    for x in a
                ]
            )
            assert pairs[one, other] == pairs[other, one] == pytest.approx(truth, rel=1e-12)
        assert pairs[~np.eye(3, dtype=bool)].mean() == pytest.approx(
            found["diversity"]["jensen_shannon"]
        )
    assert engine.overall(layers)["diversity"]["pairs"] == []


def test_the_object_has_what_others_read() -> None:
    (found,) = engine.analyze_batch(attention(2, 1, 2, 9, 9), weights_label="learned")
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert list(json.loads(text)) == [
        *("layer", "heads", "nodes", "inputs", "head_weights", "weights", "convention", "combine"),
        *("epsilon", "sink", "mixing", "fidelity", "per_head", "synergy", "diversity", "bounds"),
        *("arrival", "intervals", "per_input"),
    ]
    assert found["weights"] == "learned"
    assert [head["head"] for head in found["per_head"]] == [1, 2]
    assert set(found["bounds"]) == {"thm_2_9", "sharper", "fidelity_backward"}
    assert set(found["mixing"]["backward"]) < set(found["mixing"])


def test_conventions_differ_where_they_should() -> None:
    a = attention(1, 1, 3, 30, 30, sharp=6)[0, 0]
    system = engine.MultiHeadSystem.from_attention(a)
    theory = engine.analyze(system)
    assert theory["sink"] == "excluded"
    code = engine.analyze(system, convention="paper-code")
    assert (code["sink"], code["combine"]) == ("included", "attention")
    assert code["fidelity"]["minimax"] <= a.mean(axis=0)[-1, -1] * (1 + 1e-6)
    assert code["fidelity"]["horizon"] == 100
    # Start 0 hears only itself, so the published walk never leaves it: 100 steps of 100.
    assert code["mixing"]["hitting_time_mean"] >= 100 / 30
    feedforward = engine.analyze(system, convention="feedforward")
    assert feedforward["mixing"] == theory["mixing"]
    heads = [engine.mixing_time(system.head(h), distance="l1", aggregate="mean") for h in range(3)]
    both = engine.mixing_time(system, distance="l1", aggregate="mean")
    assert feedforward["synergy"]["mixing_gain"] == pytest.approx(
        min(float(t.steps or 0) for t in heads) / float(both.steps or 0)
    )


def test_the_published_walk_against_its_plain_description() -> None:
    """Sample the transposed mean attention row by row; what is left jumps to the sink."""
    a = attention(1, 1, 2, 12, 12, seed=3)[0, 0].astype(np.float64)
    rows = a.mean(axis=0).T
    chain = np.diff(np.minimum(np.cumsum(rows, axis=1), 1), axis=1, prepend=0)
    chain[:, -1] += 1 - chain.sum(axis=1)
    survival, expected = (np.arange(12) < 11).astype(float), np.zeros(12)
    for _ in range(100):
        expected += survival
        survival = chain @ survival * (np.arange(12) < 11)
    found = engine.analyze(engine.MultiHeadSystem.from_attention(a), convention="paper-code")
    mixing = found["mixing"]
    assert mixing["hitting_time_mean"] == pytest.approx(expected.mean(), rel=1e-12)
    assert mixing["hitting_time_median"] == pytest.approx(np.median(expected), rel=1e-12)


def test_graphs_are_made_attention_before_they_are_measured_as_published() -> None:
    """Path counts would be measured otherwise: powers of raw weights grow without bound."""
    graph = engine.topology("poisson", 20, heads=2, seed=1)
    assert graph.dense is not None
    rows = graph.dense / graph.dense.sum(axis=-1, keepdims=True)
    found = engine.analyze(graph, convention="paper-code")
    same = engine.analyze(engine.MultiHeadSystem.from_attention(rows), convention="paper-code")
    for group in ("mixing", "fidelity", "synergy", "arrival"):
        assert numbers(found[group]) == pytest.approx(numbers(same[group]), rel=1e-12)
    assert found["fidelity"]["minimax"] <= 1
    two = engine.headline(graph.dense[None, None], convention="paper-code", rows="any")
    assert two.fidelity[0, 0] == pytest.approx(found["fidelity"]["minimax"], rel=1e-12)
    assert two.hitting_time[0, 0] == pytest.approx(found["mixing"]["hitting_time_mean"], rel=1e-12)
    assert (two.convention, two.combine) == ("paper-code", "attention")
    silent = engine.MultiHeadSystem.from_weights([[1, 0, 0], [0, 0, 0], [1, 1, 0]])
    assert engine.analyze(silent, convention="paper-code")["fidelity"]["minimax"] == 0


def test_arrival_curves_agree_with_arrival() -> None:
    system = engine.MultiHeadSystem.from_attention(attention(1, 1, 3, 25, 25, sharp=5)[0, 0])
    curve = engine.analyze(system)["arrival"]
    arrived = engine.arrival(system, curve["steps"][-1])[curve["steps"]]
    np.testing.assert_allclose(curve["mean"], arrived.mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(curve["worst"], arrived.min(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(curve["median"], np.median(arrived, axis=1), rtol=1e-10)
    assert curve["mean"][-1] >= 0.99


def test_median_arrival_is_when_half_have_arrived() -> None:
    system = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    step = engine.analyze(system)["mixing"]["arrival_median"]
    assert engine.arrival_times(system).from_anywhere == step
    mean = engine.arrival(system, 20).mean(axis=1)
    assert mean[step] >= 0.5 > mean[step - 1]


def test_overall_averages_layers() -> None:
    layers = engine.analyze_batch(attention(3, 2, 2, 10, 10))
    whole = engine.overall(layers)
    assert whole["layer"] == "overall"
    assert (whole["heads"], whole["nodes"], whole["inputs"], whole["layers"]) == (2, 10, 3, 2)
    assert isinstance(whole["heads"], int)
    assert whole["fidelity"]["minimax"] == pytest.approx(
        np.mean([layer["fidelity"]["minimax"] for layer in layers])
    )
    assert whole["per_head"] == []
    assert set(whole) - {"layers"} == set(layers[0])
    steps = whole["arrival"]["steps"]
    assert steps == max((layer["arrival"]["steps"] for layer in layers), key=lambda s: s[-1])
    json.dumps(whole, allow_nan=False)
    assert engine.overall(layers[:1])["per_head"] == layers[0]["per_head"]


def test_overall_keeps_censoring_and_open_questions() -> None:
    quick = engine.MultiHeadSystem.from_weights([[0.5, 0], [0.5, 1]])
    slow = engine.MultiHeadSystem.from_weights([[1 - 1e-9, 0], [1e-9, 1]])
    whole = engine.overall([engine.analyze(quick), engine.analyze(slow)])
    assert whole["mixing"]["mixing_time_tv_max"] == "> 10000"
    assert whole["bounds"]["thm_2_9"]["holds"] is None


def test_certificates_close_on_diffuse_attention() -> None:
    (found,) = engine.analyze_batch(attention(4, 1, 4, 40, 40, sharp=1))
    clear = found["fidelity"]
    assert clear["converged"] == 1.0
    assert clear["lower"] <= clear["minimax"] <= clear["upper"] * (1 + 1e-12)


def test_every_number_is_plain_python() -> None:
    (found,) = engine.analyze_batch(attention(2, 1, 2, 9, 9))
    for path, value in numbers(found.as_dict()).items():
        assert type(value) in (int, float), path


@pytest.mark.parametrize("convention", ["theory", "paper-code"])
def test_each_sink_is_the_system_cut_there(convention: str) -> None:
    """Averaged over the last positions, beside the last alone; a cut system is a system."""
    a = attention(3, 2, 2, 10, 10, dtype=np.float64)
    weights = np.array([[0.3, 0.7], [0.5, 0.5]])
    layers = engine.analyze_batch(a, weights, sinks=4, convention=convention)
    for layer, found in enumerate(layers):
        cut = [
            [
                engine.analyze(
                    engine.MultiHeadSystem.from_attention(x[layer], weights[layer]).cut(sink),
                    convention=convention,
                )
                for sink in range(6, 10)
            ]
            for x in a
        ]
        clear = np.array([[one["fidelity"]["minimax"] for one in row] for row in cut])
        gains = [[one["synergy"]["fidelity_amplification"] for one in row] for row in cut]
        assert found["sinks"]["k"] == 4
        assert found["sinks"]["minimax"] == pytest.approx(clear.mean(), rel=1e-10)
        assert found["sinks"]["normalised"] == pytest.approx((clear * range(7, 11)).mean())
        assert found["sinks"]["fidelity_amplification"] == pytest.approx(
            np.exp(np.log(gains).mean())
        )
        assert clear[:, -1].mean() == pytest.approx(found["fidelity"]["minimax"], rel=1e-10)
    assert engine.overall(layers)["sinks"]["k"] == 4
    (plain, _) = engine.analyze_batch(a, weights, convention=convention)
    assert "sinks" not in plain


def test_a_cut_of_sparse_heads_is_that_of_dense_ones() -> None:
    options = {"heads": 2, "seed": 3}
    dense, sparse = (
        engine.topology("poisson", 30, layout=layout, **options).cut(17)  # type: ignore[arg-type]
        for layout in ("dense", "sparse")
    )
    assert dense.nodes == sparse.nodes == 18
    np.testing.assert_array_equal(dense.dense, sparse.to_dense().dense)
    assert engine.fidelity(sparse).minimax == pytest.approx(engine.fidelity(dense).minimax)
    with pytest.raises(engine.InvalidSystemError, match="Node 18 does not exist"):
        dense.cut(18)
