"""Statistics against closed forms, published numbers, and simulations with a known effect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from synergy_tui.report.statistics.decide import Verdict, decide, holm, power, samples_to_decide
from synergy_tui.report.statistics.intervals import (
    bootstrap_interval,
    clustered_interval,
    expanded_level,
)
from synergy_tui.report.statistics.paired import hedges_correction, log_ratio, one_sample
from synergy_tui.report.statistics.trends import (
    _weighted_spearman,
    correlation_across_seeds,
    correlation_within_seeds,
    ordered_trend,
)


def test_holm_agrees_with_the_worked_example_of_the_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_values_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    raw = np.array(p_values)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * raw.size) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_holm_keeps_the_family_wise_error_where_raw_p_values_do_not() -> None:
    p_values = np.random.default_rng(0).uniform(size=(4000, 10))
    raw = np.mean((p_values < 0.05).any(axis=1))
    corrected = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert raw > 0.35
    assert corrected == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(
    ("effect", "samples"), [(0.2, 199), (0.5, 34), (0.8, 15)], ids=["small", "medium", "large"]
)
def test_sample_size_agrees_with_the_published_tables(effect: float, samples: int) -> None:
    # Cohen's conventional effects, two-sided .05, power .80: the numbers every power table prints.
    assert samples_to_decide(effect) == samples
    assert samples_to_decide(-effect) == samples
    assert power(effect, samples) >= 0.8 > power(effect, samples - 1)


def test_sample_size_has_no_answer_without_an_effect() -> None:
    assert samples_to_decide(0.0) is None
    assert samples_to_decide(math.nan) is None
    assert samples_to_decide(math.inf) == samples_to_decide(10.0)


def test_power_is_what_simulation_gives() -> None:
    draws = np.random.default_rng(1).normal(0.8, 1, size=(4000, 12))
    measured = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert power(0.8, 12) == pytest.approx(measured, abs=0.025)


def test_hedges_g_is_unbiased_where_the_plain_ratio_is_not() -> None:
    draws = np.random.default_rng(2).normal(0.7, 1, size=(40_000, 5))
    plain = (draws.mean(axis=1) / draws.std(axis=1, ddof=1)).mean()
    assert plain > 0.82
    assert plain * hedges_correction(4) == pytest.approx(0.7, abs=0.02)
    assert hedges_correction(4) == pytest.approx(0.7978845608, abs=1e-9)  # Γ(2)/(√2 Γ(3/2))


@pytest.mark.parametrize("samples", [5, 10])
def test_the_expanded_bootstrap_covers_where_the_plain_one_does_not(samples: int) -> None:
    rng = np.random.default_rng(3)
    draws = rng.normal(0, 1, size=(600, samples))
    ours = np.mean([low <= 0 <= high for low, high in map(_short_bootstrap, draws)])
    plain = np.mean(
        [
            np.quantile(rng.choice(row, (999, samples)).mean(axis=1), 0.025)
            <= 0
            <= np.quantile(rng.choice(row, (999, samples)).mean(axis=1), 0.975)
            for row in draws
        ]
    )
    assert plain < 0.92
    assert ours > 0.93 if samples >= 10 else ours > 0.90


def _short_bootstrap(row: np.ndarray) -> tuple[float, float]:
    return bootstrap_interval(row, resamples=1999)


def test_expansion_vanishes_with_many_samples() -> None:
    assert expanded_level(0.95, 100_000) == pytest.approx(0.95, abs=1e-5)
    assert expanded_level(0.95, 5) == pytest.approx(0.9981, abs=1e-4)


def test_bootstrap_of_too_little_is_unknown() -> None:
    assert all(map(math.isnan, bootstrap_interval([1.0])))
    assert all(map(math.isnan, bootstrap_interval([1.0, math.inf])))
    assert bootstrap_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_clustered_interval_is_wider_than_treating_inputs_as_seeds() -> None:
    rng = np.random.default_rng(4)
    clusters = [rng.normal(rng.normal(0, 1), 0.1, size=50) for _ in range(8)]
    low, high = clustered_interval(clusters)
    naive_low, naive_high = bootstrap_interval(np.concatenate(clusters))
    assert high - low > 3 * (naive_high - naive_low)
    means = [cluster.mean() for cluster in clusters]
    t_low, t_high = stats.t.interval(0.95, 7, np.mean(means), stats.sem(means))
    assert high - low == pytest.approx(t_high - t_low, rel=0.25)


def test_paired_differences_find_what_unpaired_ones_cannot() -> None:
    rng = np.random.default_rng(5)
    seeds = rng.normal(0, 10, 6)
    before = seeds + rng.normal(0, 0.1, 6)
    after = seeds + 0.5 + rng.normal(0, 0.1, 6)
    difference = one_sample(after - before)
    assert difference.p_value < 0.01
    assert stats.ttest_ind(before, after).pvalue > 0.5
    assert difference.interval[0] < 0.5 < difference.interval[1]
    assert difference.p_value == pytest.approx(stats.ttest_rel(after, before).pvalue)


def test_five_seeds_cannot_reach_five_percent_by_sign_flips_alone() -> None:
    assert one_sample([1.0, 1.1, 0.9, 1.2, 0.8]).sign_flip == pytest.approx(2 / 32)


def test_rounding_is_not_a_difference() -> None:
    difference = one_sample(log_ratio([0.1 + 0.2] * 5, [0.3] * 5))
    assert (difference.mean, difference.p_value, difference.effect) == (0.0, 1.0, 0.0)


def test_infinite_and_undefined_pairs_are_tested_by_sign_and_counted() -> None:
    logs = log_ratio([math.inf, math.inf, 2.0, 8.0], [1.0, math.inf, 1.0, 1.0])
    difference = one_sample(logs)
    assert (difference.samples, difference.undefined, difference.test) == (3, 1, "sign")
    assert difference.mean == math.inf
    assert difference.p_value == pytest.approx(0.25)


def test_no_differences_decide_nothing() -> None:
    assert one_sample([]).p_value == 1.0
    assert one_sample([math.nan]).undefined == 1


def test_page_trend_of_perfect_order_is_the_count_of_orders() -> None:
    table = np.tile([4.0, 3.0, 2.0, 1.0], (3, 1))
    trend = ordered_trend(table)
    # Every one of 3 seeds in the one order out of 4! in a given direction, two-sided.
    assert trend.p_value == pytest.approx(2 / 24**3)
    assert trend.mean == -1.0
    assert trend.effect == -math.inf


def test_trend_ranks_infinities_as_the_slowest() -> None:
    trend = ordered_trend([[math.inf, 5.0, 2.0], [math.inf, 9.0, 3.0], [1e12, 7.0, 1.0]])
    assert trend.mean == -1.0


def test_trend_keeps_its_error_rate_under_the_null() -> None:
    rng = np.random.default_rng(6)
    rejected = [ordered_trend(rng.normal(size=(5, 4))).p_value < 0.05 for _ in range(150)]
    assert np.mean(rejected) < 0.1


def test_trend_of_two_conditions_is_the_paired_test() -> None:
    table = np.random.default_rng(7).normal([0, 1], 1, size=(9, 2))
    trend, step = ordered_trend(table), one_sample(table[:, 1] - table[:, 0])
    assert (trend.p_value, trend.effect) == pytest.approx((step.p_value, step.effect))
    assert trend.p_value == pytest.approx(stats.ttest_rel(table[:, 1], table[:, 0]).pvalue)


def test_trend_of_two_conditions_takes_infinities_by_sign() -> None:
    rises = [[1.0, math.inf], [2.0, 3.0], [1.0, 4.0], [math.inf, math.inf]]
    trend = ordered_trend(rises)
    assert trend.test == "sign"
    assert trend.p_value == pytest.approx(2 / 2**3)
    assert trend.mean == 0.75


def test_seeds_that_all_agree_have_no_interval() -> None:
    assert all(map(math.isnan, ordered_trend(np.tile([1.0, 2.0, 3.0], (4, 1))).interval))


def test_trend_without_variation_is_none() -> None:
    assert ordered_trend(np.ones((4, 3))).p_value == 1.0
    with pytest.raises(ValueError, match="two conditions"):
        ordered_trend([[1.0]])


def null_of_seed_effects(seeds: int, size: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Two unrelated quantities, each of which a seed moves at all four head counts alike."""
    return [rng.normal(size=(seeds, 4)) + size * rng.normal(size=(seeds, 1)) for _ in range(2)]


@pytest.mark.parametrize("correlation", [correlation_within_seeds, correlation_across_seeds])
def test_what_a_seed_does_to_all_its_runs_is_no_correlation(correlation: Any) -> None:
    # Runs permuted freely, as if they were independent, are "significant" in a quarter of these.
    rng = np.random.default_rng(8)
    rejected = [
        correlation(*null_of_seed_effects(8, 3.0, rng), permutations=399).p_value < 0.05
        for _ in range(300)
    ]
    assert np.mean(rejected) < 0.085


def test_correlation_within_seeds_ignores_what_a_seed_shares() -> None:
    rng = np.random.default_rng(11)
    shared = 10 * rng.normal(size=(8, 1))
    first, second = (shared + rng.normal(size=(8, 4)) for _ in range(2))
    assert stats.spearmanr(first.ravel(), second.ravel()).statistic > 0.8
    within = correlation_within_seeds(first, second, permutations=1999)
    assert abs(within.mean) < 0.35
    assert within.p_value > 0.05
    assert correlation_across_seeds(first, second, permutations=1999).p_value < 0.01


def test_correlation_across_seeds_ignores_what_a_condition_shares() -> None:
    rng = np.random.default_rng(14)
    shared = 10.0 * np.arange(4)
    first, second = (shared + rng.normal(size=(8, 4)) for _ in range(2))
    across = correlation_across_seeds(first, second, permutations=1999)
    assert abs(across.mean) < 0.35
    assert across.p_value > 0.05
    assert correlation_within_seeds(first, second, permutations=1999).p_value < 0.01


def test_correlation_across_the_seeds_of_one_condition_is_spearmans() -> None:
    rng = np.random.default_rng(9)
    first = rng.normal(size=20)
    second = first + rng.normal(size=20)
    expected = stats.spearmanr(first, second)
    ours = correlation_across_seeds(first[:, None], second[:, None])
    assert ours.mean == pytest.approx(expected.statistic)
    assert ours.p_value == pytest.approx(expected.pvalue, abs=0.005)
    assert ours.interval[0] < ours.mean < ours.interval[1]
    assert ours.effect * math.sqrt(20) == pytest.approx(ours.mean * math.sqrt(19), rel=0.03)


def test_correlation_within_seeds_against_an_order_is_the_trend() -> None:
    table = np.random.default_rng(13).normal(np.arange(4), 2.0, size=(7, 4))
    within = correlation_within_seeds(table, np.tile(np.arange(4.0), (7, 1)))
    trend = ordered_trend(table)
    assert within.mean == pytest.approx(trend.mean)
    assert within.p_value == pytest.approx(trend.p_value, abs=0.01)
    assert within.effect == pytest.approx(trend.effect)


def test_weighted_spearman_is_spearman_of_the_repeated_pairs() -> None:
    rng = np.random.default_rng(10)
    first, second = rng.integers(0, 6, 15).astype(float), rng.normal(size=15)
    times = rng.integers(0, 4, (20, 15))
    ours = _weighted_spearman(first, second, times.astype(float))
    for row, correlation in zip(times, ours, strict=True):
        expected = stats.spearmanr(np.repeat(first, row), np.repeat(second, row)).statistic
        assert correlation == pytest.approx(expected)


def test_correlation_of_nothing_that_varies_decides_nothing() -> None:
    for correlation in (correlation_within_seeds, correlation_across_seeds):
        nothing = correlation(np.ones((3, 3)), np.arange(9.0).reshape(3, 3))
        assert nothing.p_value == 1.0
        assert math.isnan(nothing.mean)


@pytest.mark.parametrize(
    ("direction", "p_value", "verdict"),
    [
        (1.0, 0.01, Verdict.SUPPORTED),
        (-1.0, 0.01, Verdict.CONTRADICTED),
        (1.0, 0.2, Verdict.UNDECIDED),
        (math.nan, 0.0, Verdict.UNDECIDED),
    ],
)
def test_decisions(direction: float, p_value: float, verdict: Verdict) -> None:
    assert decide(direction, p_value) is verdict
