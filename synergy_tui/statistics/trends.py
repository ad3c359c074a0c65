"""Ordered alternatives within seeds, and rank correlation within groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from synergy_tui.statistics.intervals import Interval, bootstrap_interval
from synergy_tui.statistics.paired import Difference, one_sample


@dataclass(frozen=True)
class Trend:
    """Whether values rise or fall along an ordered condition, seed by seed.

    Attributes
    ----------
    scores
        (seeds,) Spearman correlation of each seed's values with the order of the conditions.
    mean
        Of the scores, in [-1, 1]: 1 when every seed rises at every step.
    interval
        95 % bootstrap interval of the mean score.
    p_value
        Two-sided. Page's L with three conditions and more, else the paired test of the difference.
    effect
        Hedges' g of the scores; inf when all seeds agree exactly.
    test
        Name of the test.
    """

    scores: NDArray[np.float64]
    mean: float
    interval: Interval
    p_value: float
    effect: float
    test: str

    @property
    def samples(self) -> int:
        """Seeds that count."""
        return int(self.scores.size)


def ordered_trend(table: ArrayLike) -> Trend:
    """Test for a trend along the columns within the rows of a table.

    Page's L test (Page, *Ordered Hypotheses for Multiple Treatments*, 1963; exact distribution in
    SciPy) ranks within rows, so it needs neither normality nor finite values: an infinite hitting
    time is simply the slowest.

    Parameters
    ----------
    table
        (seeds, conditions): one row a seed, columns in the order of the condition, no nan.

    Returns
    -------
    Trend

    Raises
    ------
    ValueError
        With fewer than two columns or with nan.
    """
    values = np.atleast_2d(np.asarray(table, dtype=np.float64))
    if values.shape[1] < 2 or np.isnan(values).any():
        raise ValueError("a trend needs two conditions and more, and a value for each")
    scores = np.array([_spearman(row, np.arange(row.size, dtype=np.float64)) for row in values])
    against_zero = one_sample(scores)
    if values.shape[1] == 2:
        with np.errstate(invalid="ignore"):
            step: Difference = one_sample(np.nan_to_num(values[:, 1] - values[:, 0], nan=0.0))
        p_value, test = step.p_value, step.test
    elif len(values) < 2 or not np.any(scores):
        p_value, test = 1.0, "Page's L"
    else:
        up = float(stats.page_trend_test(values).pvalue)
        down = float(stats.page_trend_test(values[:, ::-1]).pvalue)
        p_value, test = min(1.0, 2 * min(up, down)), "Page's L"
    return Trend(
        scores=scores,
        mean=float(scores.mean()),
        interval=bootstrap_interval(scores),
        p_value=p_value,
        effect=against_zero.effect,
        test=test,
    )


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman correlation within groups, averaged over them.

    Attributes
    ----------
    mean
        Correlation in [-1, 1], the mean over groups weighted by their sizes.
    interval
        95 % interval over clusters (seeds), by resampling them.
    p_value
        Two-sided, by permuting within groups.
    samples
        Pairs in all.
    groups
        Groups that vary in both quantities.
    """

    mean: float
    interval: Interval
    p_value: float
    samples: int
    groups: int


def grouped_rank_correlation(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    clusters: Sequence[ArrayLike] | None = None,
    permutations: int = 9999,
    seed: int = 0,
) -> RankCorrelation:
    """Rank correlation within groups: what is common to a group cannot make it.

    Parameters
    ----------
    first, second
        One (n_g,) array a group each.
    clusters
        Which cluster (seed) each pair belongs to, for the interval; each pair its own when absent.
    permutations
        Random permutations within groups.
    seed
        Of permutations and resampling.

    Returns
    -------
    RankCorrelation
        Mean nan and p 1 when no group varies in both.
    """
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(first, second, strict=True)
    ]
    labels = (
        [np.arange(a.size) for a, _ in pairs]
        if clusters is None
        else [np.asarray(cluster) for cluster in clusters]
    )
    kept = [
        (a[ok], b[ok], label[ok])
        for (a, b), label in zip(pairs, labels, strict=True)
        if (ok := ~(np.isnan(a) | np.isnan(b))).sum() >= 3
        and _standard(_ranks(a[ok])).any()
        and _standard(_ranks(b[ok])).any()
    ]
    samples = sum(a.size for a, _, _ in kept)
    if not kept:
        return RankCorrelation(math.nan, (math.nan, math.nan), 1.0, 0, 0)
    rng = np.random.default_rng(seed)
    observed = _pooled([(a, b) for a, b, _ in kept])
    null = np.zeros(permutations)
    for a, b, _ in kept:
        x, y = _standard(_ranks(a)), _standard(_ranks(b))
        null += a.size * (rng.permuted(np.tile(x, (permutations, 1)), axis=1) @ y)
    null /= samples
    # The observed order counts as one of the permutations, so that p is never 0.
    extreme = int((np.abs(null) >= abs(observed) - 1e-12).sum())
    return RankCorrelation(
        mean=observed,
        interval=_cluster_interval(kept, rng),
        p_value=(extreme + 1) / (permutations + 1),
        samples=samples,
        groups=len(kept),
    )


def _cluster_interval(
    kept: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.generic]]],
    rng: np.random.Generator,
    resamples: int = 999,
) -> Interval:
    total, weights = np.zeros(resamples), np.zeros(resamples)
    for a, b, label in kept:
        names, belongs = np.unique(label, return_inverse=True)
        # How often each seed is drawn is all that a resample is.
        times = rng.multinomial(names.size, np.full(names.size, 1 / names.size), resamples)
        correlation = _weighted_spearman(a, b, times[:, belongs].astype(np.float64))
        # A resample of one repeated seed has no correlation; the other groups still have.
        defined = ~np.isnan(correlation)
        total[defined] += a.size * correlation[defined]
        weights[defined] += a.size
    replicates = total[weights > 0] / weights[weights > 0]
    if not replicates.size:
        return math.nan, math.nan
    low, high = np.quantile(replicates, [0.025, 0.975])
    return float(low), float(high)


def _pooled(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    total = sum(a.size for a, _ in pairs)
    return float(sum(a.size * _spearman(a, b) for a, b in pairs) / total)


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
    # Rounded, so that perfect agreement is exactly 1 and seeds that agree are told as such.
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
