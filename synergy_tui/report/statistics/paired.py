"""Differences within seeds: their mean, interval, effect size and test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from synergy_tui.report.statistics.intervals import UNKNOWN, Interval, bootstrap_interval

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """What a sample of paired differences says; p-values are two-sided."""

    samples: int  # pairs that have a difference
    undefined: int  # pairs without one (inf - inf, 0/0), left out and counted here
    mean: float
    median: float
    interval: Interval  # 95 % interval of the mean (expanded percentile bootstrap)
    effect: float  # Hedges' g: mean / standard deviation, corrected for small samples
    p_value: float
    sign_flip: float  # p of the exact sign-flip permutation test, which assumes symmetry alone
    test: str  # behind p_value: "paired t", or "sign" where a t has no meaning


def hedges_correction(degrees: int) -> float:
    """``J(m) = Γ(m/2) / (√(m/2) Γ((m-1)/2))``, which makes a standardised mean unbiased.

    Hedges, *Distribution Theory for Glass's Estimator of Effect Size*, 1981.
    """
    if degrees < 2:
        return math.nan
    half = degrees / 2
    return math.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / math.sqrt(half)


def one_sample(differences: ArrayLike) -> Difference:
    """A sample of paired differences (of logarithms, of scores) against zero.

    nan is undefined and left out; ``±inf`` is kept and then tested by sign alone; what is below
    1e-12 is rounding, hence zero.
    """
    given = np.asarray(differences, dtype=np.float64)
    sample = given[~np.isnan(given)]
    undefined = given.size - sample.size
    sample = np.where(np.abs(sample) <= _ROUNDING, 0.0, sample)
    size = sample.size
    if size == 0:
        return Difference(0, undefined, math.nan, math.nan, UNKNOWN, math.nan, 1.0, 1.0, "none")
    mean, median = _mean(sample), float(np.median(sample))
    finite = bool(np.isfinite(sample).all())
    spread = float(np.std(sample, ddof=1)) if finite and size > 1 else math.nan
    constant = finite and np.ptp(sample) <= _ROUNDING * max(1.0, abs(mean))
    by_sign = not finite or size < 2 or constant
    if not by_sign:
        effect = mean / spread * hedges_correction(size - 1)
    elif size < 2:
        effect = math.nan
    else:
        effect = 0.0 if finite and mean == 0.0 else math.copysign(math.inf, median)
    return Difference(
        samples=size,
        undefined=undefined,
        mean=mean,
        median=median,
        interval=bootstrap_interval(sample),
        effect=effect,
        p_value=_sign_test(sample) if by_sign else float(stats.ttest_1samp(sample, 0.0).pvalue),
        sign_flip=_sign_flip(np.sign(sample) if by_sign else sample),
        test="sign" if by_sign else "paired t",
    )


def log_ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """``ln(numerator / denominator)`` elementwise; ``±inf`` where one is 0 or inf, nan where both.

    Times and fidelities span orders of magnitude, and the theory is about their ratios.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.asarray(numerator, np.float64)) - np.log(
            np.asarray(denominator, np.float64)
        )


def _mean(sample: NDArray[np.float64]) -> float:
    if np.isposinf(sample).any() and np.isneginf(sample).any():
        return math.nan
    return float(np.mean(sample))


def _sign_test(sample: NDArray[np.float64]) -> float:
    ups, downs = int((sample > 0).sum()), int((sample < 0).sum())
    if ups + downs == 0:
        return 1.0
    return float(stats.binomtest(ups, ups + downs).pvalue)


def _sign_flip(sample: NDArray[np.float64]) -> float:
    """Exact up to 12 values, then 9999 random flips."""
    if sample.size < 2 or not np.any(sample):
        return 1.0
    result = stats.permutation_test(
        (sample,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf if sample.size <= 12 else 9999,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
