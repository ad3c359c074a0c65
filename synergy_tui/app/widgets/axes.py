"""Axes of the terminal charts: scales, round ticks, numbers short enough for a gutter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from synergy_tui.words import compact, tick_text

Scale = Literal["linear", "log", "log1p"]
Floats = npt.NDArray[np.float64]


LARGEST = 1e300
"""Of what an axis covers: round ends beyond it may not be finite."""
HUGS = 0.1
"""A curve in the lowest tenth of a linear axis hugs it."""
FAR = 1e6
"""Widths of an axis at which what lies beyond its ends is placed at most."""
SPANS = 5.0
"""An axis whose ends are closer in ratio than this gains nothing from a logarithm."""
_ENDS = (1.0, 2.0, 5.0, 10.0)
"""Mantissas at which a logarithmic axis begins and ends."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A range and how it is laid out."""

    low: float  # in the data's unit
    high: float
    scale: Scale = "linear"
    """Log leaves out what is not positive; log1p is of 1 + value, for counts from 0."""
    label: str = ""  # what is counted, at the end of a horizontal axis
    short: str = ""  # the same where there is less room
    whole: bool = False  # counts are on it: no fractions beside it

    @property
    def logarithmic(self) -> bool:
        return self.scale != "linear"

    def place(self, values: npt.ArrayLike) -> Floats:
        """Position of each value: 0 at :attr:`low`, 1 at :attr:`high`, NaN where it has none.

        What is so far off that its position overflows is placed at infinity.
        """
        low, high = self._ends()
        width = high - low
        placed = _transform(np.asarray(values, dtype=np.float64), self.scale)
        if not math.isfinite(width) or width <= 0:
            return np.where(np.isfinite(placed), 0.5, np.nan)
        with np.errstate(over="ignore"):
            return (placed - low) / width

    def spot(self, value: float) -> float:
        """Position of one value, as :meth:`place` has it, at most :data:`FAR` off the axis."""
        low, high = self._ends()
        width, placed = high - low, _transformed(float(value), self.scale)
        if math.isnan(placed) or not 0 < width < math.inf:
            return 0.5 if math.isfinite(placed) else math.nan
        return min(max((placed - low) / width, -FAR), FAR)

    def at(self, share: float) -> float:
        """The value at a position: :meth:`place` the other way round."""
        low, high = self._ends()
        placed = low + min(max(share, 0.0), 1.0) * (high - low)
        if self.scale == "linear":
            return placed
        return float(10.0 ** min(placed, 308.0)) - (self.scale == "log1p")

    def _ends(self) -> tuple[float, float]:
        return _transformed(self.low, self.scale), _transformed(self.high, self.scale)

    def ticks(self, most: int) -> tuple[tuple[float, str], ...]:
        """At most ``most`` round values on the axis, with what to write at each."""
        return _ticks(self, most)


@lru_cache(maxsize=256)
def _ticks(axis: Axis, most: int) -> tuple[tuple[float, str], ...]:
    """`Axis.ticks`; columns share their axes, and most of these stay from draw to draw."""
    if most < 1:
        return ()
    if axis.scale == "linear":
        values = _round_steps(axis.low, axis.high, most)
        while axis.whole and most > 2 and any(value % 1 for value in values):
            most -= 1
            values = _round_steps(axis.low, axis.high, most)
        step = values[1] - values[0] if len(values) > 1 else axis.high - axis.low
        return tuple((value, tick_text(value, step)) for value in values)
    powers = _powers(axis.low, axis.high, most, with_zero=axis.scale == "log1p")
    if axis.scale == "log" and len(powers) + 2 <= most:
        powers = sorted({axis.low, *powers, axis.high})
    elif len(powers) < 2 and most > 1:
        # Less than a decade: the ends say more than one power of ten.
        powers = [axis.low, axis.high]
    return tuple((value, compact(value)) for value in powers)


def hugging(curves: Iterable[npt.NDArray[np.float64]]) -> bool:
    """Whether an axis from 0 should be logarithmic, since linearly a curve would hug it.

    That is so when most of the newer half of some curve lies in the lowest tenth (:data:`HUGS`) of
    what all curves span, all values are positive, and the largest is more than five times
    (:data:`SPANS`) the smallest.
    """
    known = [values[np.isfinite(values) & (np.abs(values) <= LARGEST)] for values in curves]
    known = [values for values in known if values.size]
    if not known:
        return False
    least = min(float(values.min()) for values in known)
    most = max(float(values.max()) for values in known)
    if least <= 0 or most <= SPANS * least:
        return False
    limit = HUGS * most
    # A few thousand of them say the same, and cost nothing in long runs. Counted, as np.median
    # imports numpy.ma, which the first frame need not wait for.
    newer = (values[values.size // 2 :: values.size // 4096 + 1] for values in known)
    return any(2 * np.count_nonzero(values < limit) > values.size for values in newer)


def covering(
    values: Iterable[float],
    *,
    scale: Scale = "linear",
    include: Sequence[float] = (),
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
        data = data[data >= 1 / LARGEST]
    if not data.size:
        return Axis(*empty, scale=scale)
    low, high = float(data.min()), float(data.max())
    if scale == "log":
        low, high = _round_power(low, up=False), _round_power(high, up=True)
        return Axis(low, high if high > low else low * 10, scale=scale)
    if high - low < 1 / LARGEST:
        pad = abs(high) * 0.1 if abs(high) > 10 / LARGEST else 0.5
        low, high = low - pad if low != 0 else 0.0, high + pad
    if scale == "log1p":
        return Axis(low, high, scale=scale)
    step = _nice((high - low) / 4)
    return Axis(
        round(math.floor(low / step + 1e-9) * step, 12),
        round(math.ceil(high / step - 1e-9) * step, 12),
    )


def _transform(values: Floats, scale: Scale) -> Floats:
    if scale == "linear":
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        if scale == "log":
            return np.where(values > 0, np.log10(values), np.nan)
        return np.where(values >= 0, np.log10(1 + values), np.nan)


def _round_power(value: float, *, up: bool) -> float:
    """The nearest of 1, 2 or 5 × 10^k that is not below (``up``) or not above a positive value."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    mantissa = value / power if power else 1.0
    if up:
        return next(each for each in _ENDS if each >= mantissa * (1 - 1e-9)) * power
    return max(each for each in _ENDS if each <= mantissa * (1 + 1e-9)) * power


def _transformed(value: float, scale: Scale) -> float:
    """`_transform` of one value, at a fraction of the cost."""
    if scale == "linear":
        return value
    if scale == "log":
        return math.log10(value) if value > 0 else math.nan
    return math.log10(1 + value) if value >= 0 else math.nan


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
    # The ends of the axis say more than one number on it.
    return values if len(values) > 1 else [low, high]


def _powers(low: float, high: float, most: int, *, with_zero: bool) -> list[float]:
    start = 0 if low <= 1 and with_zero else math.ceil(math.log10(max(low, 1e-300)) - 1e-9)
    stop = math.floor(math.log10(max(high, 1e-300)) + 1e-9)
    room = most - 1 if with_zero else most
    exponents = list(range(start, stop + 1))
    stride = max(1, math.ceil(len(exponents) / max(room, 1)))
    values = [10.0**exponent for exponent in exponents[::stride]]
    if stride == 1 and 3 * (len(values) + 1) <= room:
        decades = [10.0**exponent for exponent in range(start - 1, stop + 1)]
        fine = [part * value for value in decades for part in (1, 2, 5)]
        least = max(low, 1.0) if with_zero else low
        values = [value for value in fine if least * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return [0.0, *values] if with_zero and low <= 0 else values
