"""Small statistics over the inputs of a batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mean(values: Floats) -> float:
    """The mean as a Python float; equal values give that value, not one that rounding made."""
    first = float(values[0])
    return first if np.all(values == first) else float(np.mean(values))


def interval(values: Floats) -> list[float]:
    """95 % Student-t interval of the mean over inputs; the value itself, twice, for one input."""
    middle = mean(values)
    if len(values) < 2 or not np.isfinite(middle):
        return [middle, middle]
    # scipy.stats takes most of a second to import; this is the one number it is needed for.
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(values) - 1, 0.975))
    half = quantile * float(np.std(values, ddof=1)) / float(np.sqrt(len(values)))
    return [middle - half, middle + half]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element-wise ratio in which 0/0 and inf/inf are ties: 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = numerator / denominator
    return np.where(np.isnan(quotient), 1.0, quotient)


def most_frequent(values: npt.NDArray[np.integer]) -> int:
    """The value seen most often, the smallest among equals."""
    numbers, counts = np.unique(values, return_counts=True)
    return int(numbers[np.argmax(counts)])
