"""From a sample of seeds to one of four verdicts: Student's t, Holm's correction, equivalence."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from synergy_tui.report.statistics.intervals import UNKNOWN, Interval

ALPHA = 0.05
EQUIVALENCE_ALPHA = ALPHA / 2
"""Of each one-sided test: alone in its family, no effect is a 95 % interval inside the bounds."""
POWER = 0.8
MOST_SEEDS = 10_000
FAR = 30.0  # beyond so many standard errors SciPy's distribution overflows, and power is 1
_ROUNDING = 1e-12


class Verdict(enum.StrEnum):
    """What the evidence says about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NO_EFFECT = "no effect"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Sample:
    """One number per seed, tested against 0: logarithms of ratios to the null, or correlations."""

    samples: int
    undefined: int  # seeds without a number (inf - inf), left out
    mean: float
    interval: Interval  # 95 %, Student's t; nan where there is none
    p_value: float  # two-sided
    spread: float  # standard deviation
    test: str


def sample(values: ArrayLike) -> Sample:
    """Test values against 0; ``±inf``, and values that are all the same, by their signs."""
    given = np.asarray(values, dtype=np.float64)
    known = given[~np.isnan(given)]
    known = np.where(np.abs(known) <= _ROUNDING, 0.0, known)
    size, undefined = known.size, given.size - known.size
    if size < 2:
        mean = float(known[0]) if size else math.nan
        return Sample(size, undefined, mean, UNKNOWN, 1.0, math.nan, "none: fewer than two seeds")
    if not np.isfinite(known).all():
        middle = float(np.median(known))
        return Sample(size, undefined, middle, UNKNOWN, _signs(known), math.nan, "sign test")
    mean, spread = float(known.mean()), float(known.std(ddof=1))
    if spread <= _ROUNDING * max(1.0, abs(mean)):
        return Sample(size, undefined, mean, (mean, mean), _signs(known), 0.0, "sign test")
    half = float(stats.t.ppf(1 - ALPHA / 2, size - 1)) * spread / math.sqrt(size)
    p_value = float(2 * stats.t.sf(abs(mean) * math.sqrt(size) / spread, size - 1))
    return Sample(
        size, undefined, mean, (mean - half, mean + half), p_value, spread, "paired t on logarithms"
    )


def _signs(known: NDArray[np.float64]) -> float:
    ups, downs = int((known > 0).sum()), int((known < 0).sum())
    return float(stats.binomtest(ups, ups + downs).pvalue) if ups + downs else 1.0


def equivalence(found: Sample, bound: float) -> float:
    """P-value of two one-sided tests against ±``bound`` (Schuirmann, 1987): the larger of both.

    Values that are all the same are tested by their signs.
    """
    room = bound - abs(found.mean)
    if math.isnan(found.spread) or not room > 0:
        return 1.0
    if found.spread == 0:
        return float(0.5**found.samples)
    return float(stats.t.sf(room * math.sqrt(found.samples) / found.spread, found.samples - 1))


def decide(found: Sample, adjusted_p: float, equivalence_p: float, bound: float) -> Verdict:
    """The verdict on a sample from its two corrected tests; positive values are what is claimed.

    An interval inside ±``bound`` never says that there is an effect, even where it leaves out 0.
    """
    if equivalence_p < EQUIVALENCE_ALPHA:
        return Verdict.NO_EFFECT
    low, high = found.interval
    inside = -bound < low and high < bound
    if inside or not adjusted_p < ALPHA or math.isnan(found.mean) or found.mean == 0:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if found.mean > 0 else Verdict.CONTRADICTED


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjusted p-values: rejecting those below α keeps the family-wise error below α.

    Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, 1979: the k-th smallest of m
    is multiplied by m - k + 1, then made monotone and cut at 1. Holds under any dependence.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    adjusted = np.minimum(
        1.0, np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1, dtype=np.float64))
    )
    result = np.empty_like(given)
    result[order] = adjusted
    return result


def power(effect: float, samples: int, *, alpha: float = ALPHA) -> float:
    """Power of the two-sided paired t-test of ``samples`` pairs at a standardised effect."""
    if samples < 2 or math.isnan(effect):
        return 0.0
    if abs(effect) * math.sqrt(samples) > FAR:
        return 1.0
    degrees = samples - 1
    critical = stats.t.ppf(1 - alpha / 2, degrees)
    shift = effect * math.sqrt(samples)
    return float(stats.nct.sf(critical, degrees, shift) + stats.nct.cdf(-critical, degrees, shift))


def samples_needed(effect: float, *, alpha: float = ALPHA) -> int | None:
    """The fewest pairs at which a paired t-test has a power of 80 % at a standardised effect.

    ``alpha`` is already divided by the number of tests; ``None`` when `MOST_SEEDS`
    would not do.
    """
    if math.isnan(effect):
        return None
    size = abs(effect)
    if power(size, MOST_SEEDS, alpha=alpha) < POWER:
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        if power(size, middle, alpha=alpha) < POWER:
            low = middle
        else:
            high = middle
    return high
