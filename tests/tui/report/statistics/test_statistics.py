"""Statistics against closed forms, published numbers, and simulations with a known effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from synergy_tui.report.statistics.decide import (
    Verdict,
    decide,
    equivalence,
    holm,
    power,
    sample,
    samples_needed,
)
from synergy_tui.report.statistics.intervals import bootstrap_interval, expanded_level

BOUND = math.log(1.25)


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
    assert samples_needed(effect) == samples
    assert samples_needed(-effect) == samples
    assert power(effect, samples) >= 0.8 > power(effect, samples - 1)


def test_sample_size_has_no_answer_without_an_effect() -> None:
    assert samples_needed(0.0) is None
    assert samples_needed(math.nan) is None
    assert samples_needed(1000.0) == 2
    assert power(1000.0, 2) == 1.0


def test_power_is_what_simulation_gives() -> None:
    draws = np.random.default_rng(1).normal(0.8, 1, size=(4000, 12))
    measured = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert power(0.8, 12) == pytest.approx(measured, abs=0.025)


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


def test_paired_differences_find_what_unpaired_ones_cannot() -> None:
    rng = np.random.default_rng(5)
    seeds = rng.normal(0, 10, 6)
    before = seeds + rng.normal(0, 0.1, 6)
    after = seeds + 0.5 + rng.normal(0, 0.1, 6)
    found = sample(after - before)
    assert stats.ttest_ind(before, after).pvalue > 0.5
    assert found.p_value == pytest.approx(stats.ttest_rel(after, before).pvalue)
    expected = stats.t.interval(0.95, 5, found.mean, stats.sem(after - before))
    assert found.interval == pytest.approx(expected)


def test_what_has_no_spread_and_what_is_infinite_is_tested_by_sign() -> None:
    rounding = sample([1e-17] * 5)
    assert (rounding.mean, rounding.p_value, rounding.interval) == (0.0, 1.0, (0.0, 0.0))
    same = sample([0.5] * 6)
    assert (same.p_value, same.interval) == (pytest.approx(2 / 2**6), (0.5, 0.5))
    infinite = sample([math.inf, math.nan, 0.7, 2.0])
    assert (infinite.samples, infinite.undefined) == (3, 1)
    assert infinite.p_value == pytest.approx(0.25)
    assert math.isnan(infinite.interval[0])
    for few in ([], [math.nan], [3.0]):
        assert sample(few).p_value == 1.0


@pytest.mark.parametrize(
    ("values", "adjusted", "verdict"),
    [
        ([0.5, 0.6, 0.7, 0.8], 0.01, Verdict.SUPPORTED),
        ([-0.5, -0.6, -0.7, -0.8], 0.01, Verdict.CONTRADICTED),
        ([0.5, 0.6, 0.7, 0.8], 0.2, Verdict.UNDECIDED),
        ([-0.01, 0.01, 0.0, 0.02], 0.9, Verdict.NO_EFFECT),
        # Inside the bounds is no effect of interest, whatever a test against 0 says.
        ([0.010, 0.011, 0.012, 0.011], 1e-6, Verdict.NO_EFFECT),
        ([0.5, 0.5, 0.5], 0.25, Verdict.UNDECIDED),
        # What is always the same is tested by its signs: five seeds cannot agree by chance.
        ([0.0, 0.0, 0.0], 1.0, Verdict.UNDECIDED),
        ([0.0] * 6, 1.0, Verdict.NO_EFFECT),
        ([0.1], 1.0, Verdict.UNDECIDED),
        ([math.inf] * 8, 0.01, Verdict.SUPPORTED),
        ([-1.0, 1.0, 2.0], 0.6, Verdict.UNDECIDED),
    ],
)
def test_every_sample_has_exactly_one_verdict(
    values: list[float], adjusted: float, verdict: Verdict
) -> None:
    found = sample(values)
    assert decide(found, adjusted, equivalence(found, BOUND), BOUND) is verdict


def test_an_interval_within_the_bounds_is_never_an_effect() -> None:
    """Not even where the correction leaves its equivalence open and its difference from 0 not."""
    within = sample([0.10, 0.11, 0.12, 0.11])
    assert -BOUND < within.interval[0] < within.interval[1] < BOUND
    assert decide(within, 1e-6, 0.9, BOUND) is Verdict.UNDECIDED


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    values = np.random.default_rng(0).normal(0.05, 0.2, 9)
    below = stats.ttest_1samp(values, BOUND, alternative="less").pvalue
    above = stats.ttest_1samp(values, -BOUND, alternative="greater").pvalue
    assert equivalence(sample(values), BOUND) == pytest.approx(max(below, above))
    assert equivalence(sample(values + 1.0), BOUND) == 1.0
    assert equivalence(sample([0.1] * 6), BOUND) == 0.5**6
    assert equivalence(sample([math.inf, 1.0, 2.0]), BOUND) == 1.0
    assert equivalence(sample([0.0]), BOUND) == 1.0


def verdicts(draws: np.ndarray) -> dict[Verdict, float]:
    """How often each verdict falls on rows of seeds, alone in their family."""
    found = [
        decide(one := sample(row), one.p_value, equivalence(one, BOUND), BOUND) for row in draws
    ]
    return {verdict: np.mean([each is verdict for each in found]) for verdict in Verdict}


SHAPES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy": lambda rng, size: rng.laplace(size=size) / math.sqrt(2),
    "skewed": lambda rng, size: (rng.gamma(4.0, size=size) - 4.0) / 2.0,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("repeats", [1500, pytest.param(12_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seeds", [5, 8, 16])
def test_errors_of_each_verdict_are_what_the_report_states(
    shape: str, seeds: int, repeats: int
) -> None:
    def rows(effect: float, spread: float) -> np.ndarray:
        rng = np.random.default_rng(seeds)
        return effect + spread * SHAPES[shape](rng, (repeats, seeds))

    noise = 3 * math.sqrt(0.05 * 0.95 / repeats)
    # Without an effect, a wide spread: nothing is nearly equivalent, and 5 % are false.
    none = verdicts(rows(0.0, 2.0))
    assert none[Verdict.SUPPORTED] + none[Verdict.CONTRADICTED] <= 0.07 + noise / 2
    # At the edge of what is of interest, "no effect" is false: 2.5 % at most.
    edge = verdicts(rows(BOUND, 0.1))
    assert edge[Verdict.NO_EFFECT] <= (0.025 if shape != "skewed" else 0.06) + noise
    if shape == "normal":
        expected = power(BOUND / 0.3, seeds)
        found = verdicts(rows(BOUND, 0.3))
        assert found[Verdict.SUPPORTED] == pytest.approx(expected, abs=0.03 + noise)
        # Two one-sided tests' power at no effect: Φ-like, from the noncentral t by simulation.
        small = rows(0.0, 0.1)
        half = stats.t.ppf(0.975, seeds - 1) * stats.sem(small, axis=1)
        inside = np.mean(np.abs(small.mean(axis=1)) + half < BOUND)
        assert verdicts(small)[Verdict.NO_EFFECT] == pytest.approx(inside, abs=1e-12)
        assert inside > 0.4
