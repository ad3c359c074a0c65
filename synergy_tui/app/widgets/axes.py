"""Axes of the terminal charts: scales, round ticks, numbers short enough for a gutter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from synergy_tui.words import compact, tick_text

Scale = Literal["linear", "log", "log1p"]
Floats = npt.NDArray[np.float64]


LARGEST = 1e300
"""Of what an axis covers: round ends beyond it may not be finite."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A range and how it is laid out."""

    low: float  # in the data's unit
    high: float
    scale: Scale = "linear"
    """Log leaves out what is not positive; log1p is of 1 + value, for counts from 0."""
    label: str = ""  # what is counted, at the end of a horizontal axis

    def place(self, values: npt.ArrayLike) -> Floats:
        """Position of each value: 0 at :attr:`low`, 1 at :attr:`high`, NaN where it has none."""
        low, high = (float(end) for end in _transform(np.array([self.low, self.high]), self.scale))
        width = high - low
        placed = _transform(np.asarray(values, dtype=np.float64), self.scale)
        if not math.isfinite(width) or width <= 0:
            return np.where(np.isfinite(placed), 0.5, np.nan)
        return (placed - low) / width

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most ``most`` round values on the axis, with what to write at each."""
        if most < 1:
            return []
        if self.scale == "linear":
            values = _round_steps(self.low, self.high, most)
            step = values[1] - values[0] if len(values) > 1 else self.high - self.low
            return [(value, tick_text(value, step)) for value in values]
        powers = _powers(self.low, self.high, most, with_zero=self.scale == "log1p")
        if len(powers) < 2 and self.scale == "log" and most > 1:
            # Less than a decade: the ends say more than one power of ten.
            powers = [self.low, self.high]
        return [(value, compact(value)) for value in powers]


def covering(
    values: Iterable[float],
    *,
    scale: Scale = "linear",
    include: Sequence[float] = (),
    label: str = "",
    empty: tuple[float, float] = (0.0, 1.0),
) -> Axis:
    """The axis with round ends that covers every finite value, and those to ``include``.

    On a ``log`` axis values that are not positive are ignored; ``empty`` are the ends when there
    is nothing to cover.
    """
    data = np.concatenate(
        [np.asarray(list(values), dtype=np.float64), np.asarray(include, dtype=np.float64)]
    )
    data = data[np.abs(data) <= LARGEST]
    if scale == "log":
        data = data[data > 0]
    if not data.size:
        return Axis(*empty, scale=scale, label=label)
    low, high = float(data.min()), float(data.max())
    if scale == "log":
        low = 10.0 ** math.floor(math.log10(low) + 1e-9)
        high = 10.0 ** min(math.ceil(math.log10(high)), 308)
        return Axis(low, high if high > low else low * 10, scale=scale, label=label)
    if high <= low:
        pad = abs(high) * 0.1 or 0.5
        low, high = low - pad if low != 0 else 0.0, high + pad
    if scale == "log1p":
        return Axis(low, high, scale=scale, label=label)
    step = _nice((high - low) / 4)
    return Axis(
        round(math.floor(low / step + 1e-9) * step, 12),
        round(math.ceil(high / step - 1e-9) * step, 12),
        label=label,
    )


def _transform(values: Floats, scale: Scale) -> Floats:
    if scale == "linear":
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        if scale == "log":
            return np.where(values > 0, np.log10(values), np.nan)
        return np.where(values >= 0, np.log10(1 + values), np.nan)


def _nice(step: float) -> float:
    """The smallest of 1, 2, 2.5, 5 × 10^k that is not below ``step``."""
    power = 10.0 ** math.floor(math.log10(step))
    for factor in (1, 2, 2.5, 5, 10):
        if factor * power >= step * (1 - 1e-9):
            return float(factor * power)
    return 10 * power


def _round_steps(low: float, high: float, most: int) -> list[float]:
    if not high > low:
        return [low]
    if most == 1:
        return [high]
    # Equal parts from end to end, when their length is a round number; else round numbers.
    for leads in ((1.0, 2.0, 2.5, 5.0), (1.5, 3.0, 4.0, 6.0, 7.5)):
        for parts in range(most - 1, 1 if most > 2 else 0, -1):
            step = (high - low) / parts
            lead = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
            on_zero = math.isclose(low / step, round(low / step), abs_tol=1e-6)
            if on_zero and any(math.isclose(lead, each) for each in leads):
                return [round(low + index * step, 12) for index in range(parts + 1)]
    step = _nice((high - low) / max(most - 1, 1))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    values = [round(index * step, 12) for index in range(first, last + 1)]
    return values or [low, high][:most]


def _powers(low: float, high: float, most: int, *, with_zero: bool) -> list[float]:
    start = 0 if low <= 1 and with_zero else math.ceil(math.log10(max(low, 1e-300)) - 1e-9)
    stop = math.floor(math.log10(max(high, 1e-300)) + 1e-9)
    room = most - 1 if with_zero else most
    exponents = list(range(start, stop + 1))
    stride = max(1, math.ceil(len(exponents) / max(room, 1)))
    values = [10.0**exponent for exponent in exponents[::stride]]
    if stride == 1 and 3 * len(values) <= room:
        values = [part * value for value in values for part in (1, 2, 5) if part * value <= high]
    return [0.0, *values] if with_zero and low <= 0 else values
