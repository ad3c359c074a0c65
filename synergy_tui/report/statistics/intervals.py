"""Bootstrap intervals that keep their promise at small samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Interval = tuple[float, float]
UNKNOWN: Interval = (math.nan, math.nan)


def expanded_level(confidence: float, samples: int) -> float:
    """The nominal level at which a percentile bootstrap of ``samples`` values really covers.

    A percentile bootstrap is too narrow at small samples: it divides by n where n - 1 belongs, and
    uses normal where Student quantiles belong. Widening the percentiles to ``Φ(-√(n/(n-1))·t)``
    undoes both (Hesterberg, *What Teachers Should Know about the Bootstrap*, 2015, §5.3).
    """
    quantile = stats.t.ppf(0.5 + confidence / 2, samples - 1)
    tail = special.ndtr(-math.sqrt(samples / (samples - 1)) * quantile)
    return float(1 - 2 * tail)


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Interval:
    """Interval of the mean of one value per seed, by the expanded percentile bootstrap.

    nan for fewer than two values or values that are not finite; a fixed seed, so that a report
    can be written twice.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < 2 or not np.isfinite(sample).all():
        return UNKNOWN
    if np.ptp(sample) == 0.0:
        return float(sample[0]), float(sample[0])
    result = stats.bootstrap(
        (sample,),
        np.mean,
        confidence_level=expanded_level(confidence, sample.size),
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def clustered_interval(
    clusters: Sequence[ArrayLike], *, confidence: float = 0.95, resamples: int = 4999, seed: int = 0
) -> Interval:
    """Interval of the mean of cluster means: resamples seeds, then inputs within each seed.

    One array of inputs per seed; the expansion counts clusters, not inputs. nan as in
    :func:`bootstrap_interval`.
    """
    samples = [np.asarray(cluster, dtype=np.float64) for cluster in clusters]
    samples = [sample for sample in samples if sample.size]
    if len(samples) < 2 or not all(np.isfinite(sample).all() for sample in samples):
        return UNKNOWN
    rng = np.random.default_rng(seed)
    # A resampled mean of every cluster for every replicate, then which clusters are in it.
    means: NDArray[np.float64] = np.stack(
        [
            sample[rng.integers(0, sample.size, (resamples, sample.size))].mean(axis=1)
            for sample in samples
        ],
        axis=1,
    )
    chosen = rng.integers(0, len(samples), (resamples, len(samples)))
    replicates = np.take_along_axis(means, chosen, axis=1).mean(axis=1)
    tail = (1 - expanded_level(confidence, len(samples))) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)
