"""Axes: round ticks, short numbers, scales."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from synergy_tui.app.widgets.axes import Axis, covering
from synergy_tui.words import compact


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, ".25"),
        (-0.25, "-.25"),
        (1, "1"),
        (12.34, "12"),
        (1234, "1234"),
        (75600, "76k"),
        (1_200_000, "1.2M"),
        (3e12, "3e12"),
        (0.00004, "4e-5"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert compact(value) == text


def test_ticks_divide_the_axis_into_round_parts() -> None:
    assert [label for _, label in Axis(0, 600).ticks(9)] == ["0", "100", "200", "300", "400",
                                                             "500", "600"]  # fmt: skip
    assert [label for _, label in Axis(0, 0.06).ticks(3)] == ["0", ".03", ".06"]
    assert [label for _, label in Axis(0, 1).ticks(5)] == ["0", ".25", ".50", ".75", "1.00"]


def test_powers_of_ten_mark_a_logarithmic_axis() -> None:
    labels = [label for _, label in Axis(1e-3, 10, "log").ticks(6)]
    assert labels == [".001", ".01", ".1", "1", "10"]
    places = Axis(1e-3, 10, "log").place([1e-3, 1e-1, 10])
    np.testing.assert_allclose(places, [0, 0.5, 1])


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis() -> None:
    assert np.isnan(Axis(0.1, 10, "log").place([0.0, -1.0])).all()
    assert Axis(0, 999, "log1p").place([0.0])[0] == 0


def test_an_axis_covers_its_data_with_round_ends() -> None:
    axis = covering([0.013, 0.053], include=[0.0])
    assert (axis.low, axis.high) == (0.0, 0.06)
    assert covering([], empty=(0, 2)) == Axis(0, 2)
    flat = covering([3.0, 3.0])
    assert flat.low < 3 < flat.high


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-6, 1e9),
    st.integers(1, 12),
    st.sampled_from(["linear", "log", "log1p"]),
)
def test_ticks_are_few_and_on_the_axis(low: float, width: float, most: int, scale: str) -> None:
    low = abs(low) + 1e-6 if scale != "linear" else low
    axis = Axis(low, low + width, scale)  # type: ignore[arg-type]
    ticks = axis.ticks(most)
    assert len(ticks) <= max(most, 2) + 1
    for value, label in ticks:
        assert label
        slack = 1e-6 * (abs(axis.low) + abs(axis.high)) + 1e-9
        assert axis.low - slack <= value <= axis.high + slack


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_an_axis_holds_every_finite_value(values: list[float]) -> None:
    values = [value for value in values if not abs(value) > 1e100 or math.isinf(value)]
    axis = covering(values)
    finite = [value for value in values if math.isfinite(value)]
    for value in finite:
        slack = 1e-6 * (axis.high - axis.low) + 1e-12
        assert axis.low - slack <= value <= axis.high + slack
