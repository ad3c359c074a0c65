"""From tests to decisions: Holm's correction and the sample that would decide."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Verdict(enum.StrEnum):
    """What the evidence says about a prediction."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


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


def decide(direction: float, adjusted_p: float, *, alpha: float = 0.05) -> Verdict:
    """A verdict from a two-sided test; ``direction`` is positive where the prediction points."""
    if not adjusted_p < alpha or math.isnan(direction) or direction == 0:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if direction > 0 else Verdict.CONTRADICTED


def power(effect: float, samples: int, *, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t-test of ``samples`` pairs at a standardised effect."""
    if samples < 2:
        return 0.0
    degrees = samples - 1
    critical = stats.t.ppf(1 - alpha / 2, degrees)
    shift = effect * math.sqrt(samples)
    return float(stats.nct.sf(critical, degrees, shift) + stats.nct.cdf(-critical, degrees, shift))


def samples_to_decide(
    effect: float, *, alpha: float = 0.05, wanted: float = 0.8, limit: int = 10_000
) -> int | None:
    """The fewest pairs at which a paired t-test would decide an effect (Hedges' g) of this size.

    ``alpha`` is already divided by the number of tests; ``None`` when ``limit`` pairs would not do.
    """
    size = abs(effect)
    if math.isnan(size) or (math.isfinite(size) and power(size, limit, alpha=alpha) < wanted):
        return None
    # Beyond ten standard deviations every sample decides that the t-test allows at all.
    size = min(size, 10.0)
    low, high = 1, 2
    while power(size, high, alpha=alpha) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if power(size, middle, alpha=alpha) < wanted:
            low = middle
        else:
            high = middle
    return min(high, limit)
