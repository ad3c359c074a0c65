"""Ordered alternatives within seeds, and rank correlation within or across them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from synergy_tui.report.statistics.intervals import (
    UNKNOWN,
    Interval,
    bootstrap_interval,
    expanded_level,
)
from synergy_tui.report.statistics.paired import one_sample


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman correlation of two quantities, or of one with an ordered condition, over seeds."""

    mean: float  # in [-1, 1], over seeds or over conditions: 1 when every seed rises at every step
    interval: Interval  # 95 % over seeds; nan where every seed says the same
    p_value: float  # two-sided
    effect: float  # standardised: effect · √seeds is about what the test measures
    samples: int  # seeds
    test: str = "permutation of ranks"


def ordered_trend(table: ArrayLike) -> RankCorrelation:
    """Test for a trend along the columns (conditions, in order) within the rows (seeds) of a table.

    Page's L test (Page, *Ordered Hypotheses for Multiple Treatments*, 1963; exact distribution in
    SciPy) ranks within rows, so it needs neither normality nor finite values: an infinite hitting
    time is simply the slowest. Two conditions are tested by their paired difference. The effect
    is infinite when all seeds agree exactly.
    """
    values = np.atleast_2d(np.asarray(table, dtype=np.float64))
    if values.shape[1] < 2 or np.isnan(values).any():
        raise ValueError("a trend needs two conditions or more, and a value for each")
    scores = np.array([_spearman(row, np.arange(row.size, dtype=np.float64)) for row in values])
    effect = one_sample(scores).effect
    if values.shape[1] == 2:
        with np.errstate(invalid="ignore"):
            step = one_sample(np.where(values[:, 1] == values[:, 0], 0.0, np.diff(values)[:, 0]))
        p_value, effect, test = step.p_value, step.effect, step.test
    elif len(values) < 2 or not np.any(scores):
        p_value, test = 1.0, "Page's L"
    else:
        up = float(stats.page_trend_test(values).pvalue)
        down = float(stats.page_trend_test(values[:, ::-1]).pvalue)
        p_value, test = min(1.0, 2 * min(up, down)), "Page's L"
    return RankCorrelation(
        mean=float(scores.mean()),
        interval=_unless_unanimous(scores),
        p_value=p_value,
        effect=effect,
        samples=len(scores),
        test=test,
    )


def correlation_within_seeds(
    first: ArrayLike, second: ArrayLike, *, permutations: int = 9999, seed: int = 0
) -> RankCorrelation:
    """Do the conditions of a seed that are high in one quantity stand high in the other?

    What a seed does to all its conditions cannot make this correlation, because conditions are
    ranked and permuted within each seed alone. Tables are (seeds, conditions) without nan; infinite
    values rank as extremes. The mean is nan and p is 1 when no seed varies in both.
    """
    x, y = _standard_rows(first), _standard_rows(second)
    rng = np.random.default_rng(seed)
    null = np.zeros(permutations)
    for a, b in zip(x, y, strict=True):
        null += rng.permuted(np.tile(a, (permutations, 1)), axis=1) @ b
    scores = (x * y).sum(axis=1).round(12)
    return RankCorrelation(
        mean=float(scores.mean()) if null.any() else math.nan,
        interval=_unless_unanimous(scores),
        p_value=_permutation_p(float(scores.sum()), null),
        effect=one_sample(scores).effect,
        samples=len(x),
    )


def correlation_across_seeds(
    first: ArrayLike, second: ArrayLike, *, permutations: int = 9999, seed: int = 0
) -> RankCorrelation:
    """Do the seeds that are high in one quantity stand high in the other, condition by condition?

    What a condition does to all its seeds cannot make this correlation. Seeds are permuted whole,
    all their conditions together: a seed that is slow in one condition may be slow in all, and
    must not count as several. The mean is nan and p is 1 when no condition varies in both.
    """
    columns = np.asarray(first, np.float64).T, np.asarray(second, np.float64).T
    x, y = (_standard_rows(table) for table in columns)
    rng = np.random.default_rng(seed)
    count = x.shape[1]
    orders = rng.permuted(np.tile(np.arange(count), (permutations, 1)), axis=1)
    null = np.zeros(permutations)
    for a, b in zip(x, y, strict=True):
        null += a[orders] @ b
    observed, spread = float((x * y).sum()), float(null.std())
    # A resample is nothing but how often each seed is drawn.
    times = rng.multinomial(count, np.full(count, 1 / count), 1999).astype(np.float64)
    replicates = np.array([_weighted_spearman(a, b, times) for a, b in zip(*columns, strict=True)])
    return RankCorrelation(
        mean=observed / len(x) if spread else math.nan,
        interval=_percentiles(replicates, count),
        p_value=_permutation_p(observed, null),
        effect=observed / spread / math.sqrt(count) if spread else math.nan,
        samples=count,
    )


def _permutation_p(observed: float, null: NDArray[np.float64]) -> float:
    # The observed order counts as one of the permutations, so that p is never 0.
    extreme = int((np.abs(null) >= abs(observed) - 1e-9).sum())
    return (extreme + 1) / (null.size + 1)


def _percentiles(replicates: NDArray[np.float64], samples: int) -> Interval:
    """Interval of the mean over rows; a resample of one repeated seed has no correlation."""
    defined = ~np.isnan(replicates)
    counted = defined.sum(axis=0)
    totals = np.where(defined, replicates, 0.0).sum(axis=0)[counted > 0]
    if samples < 2 or not totals.size:
        return UNKNOWN
    tail = (1 - expanded_level(0.95, samples)) / 2
    low, high = np.quantile(totals / counted[counted > 0], [tail, 1 - tail])
    return float(low), float(high)


def _unless_unanimous(scores: NDArray[np.float64]) -> Interval:
    """Interval of a mean score; resampling seeds that all agree shows no uncertainty."""
    return bootstrap_interval(scores) if np.ptp(scores) else UNKNOWN


def _standard_rows(table: ArrayLike) -> NDArray[np.float64]:
    """(rows, n) ranks of each row, centred and scaled to length 1."""
    values = np.atleast_2d(np.asarray(table, dtype=np.float64))
    return np.array([_standard(_ranks(row)) for row in values])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average ranks (as ``scipy.stats.rankdata``, at a tenth of its cost for short arrays)."""
    ordered = np.sort(values)
    first, last = ordered.searchsorted(values, "left"), ordered.searchsorted(values, "right")
    return np.asarray((first + last + 1) / 2, dtype=np.float64)


def _standard(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks centred and scaled to length 1; all zero where they do not vary."""
    centred = ranks - ranks.mean()
    length = math.sqrt(float(centred @ centred))
    return np.asarray(centred / length if length else centred, dtype=np.float64)


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman correlation; 0 where one side does not vary; infinite values rank as extremes."""
    # Rounded, so that perfect agreement is exactly 1 and seeds that agree are recognised.
    return round(float(_standard(_ranks(first)) @ _standard(_ranks(second))), 12)


def _weighted_spearman(
    first: NDArray[np.float64], second: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spearman correlation of samples in which pair i occurs ``times[r, i]`` times, for each r.

    nan where one side does not vary.
    """
    sides = []
    for values in (first, second):
        _, place = np.unique(values, return_inverse=True)
        tied = times @ np.eye(place.max() + 1)[place]
        ranks = (np.cumsum(tied, axis=1) - tied + (tied + 1) / 2)[:, place]
        mean = (times * ranks).sum(axis=1, keepdims=True) / times.sum(axis=1, keepdims=True)
        sides.append(ranks - mean)
    a, b = sides
    spread = np.sqrt((times * a**2).sum(axis=1) * (times * b**2).sum(axis=1))
    covariance = (times * a * b).sum(axis=1)
    return np.divide(covariance, spread, out=np.full(spread.size, math.nan), where=spread > 1e-9)
