"""Axes: round ticks, short numbers, scales."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from synergy_tui.app.widgets.axes import Axis, covering, hugging
from synergy_tui.app.widgets.plot import Crosshair, Curve, Marker, Plot, text
from synergy_tui.words import compact


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, ".25"),
        (-0.25, "-.25"),
        (1, "1"),
        (12.34, "12"),
        (1234, "1,234"),
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


def test_an_axis_with_room_for_two_numbers_shows_its_ends() -> None:
    for high, label in (
        (0.08, ".08"),
        (0.07, ".07"),
        (0.6, ".6"),
        (900.0, "900"),
        (2647.0, "2,647"),
    ):
        assert [text for _, text in Axis(0, high).ticks(2)] == ["0", label]


@given(st.integers(1, 10**6), st.integers(2, 40))
def test_counts_have_no_fractions_beside_their_axis(high: int, most: int) -> None:
    values = [value for value, _ in Axis(0, high, whole=True).ticks(most)]
    assert all(value == int(value) for value in values)
    assert 2 <= len(values) <= most


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


@given(st.floats(0, 1), st.sampled_from(["linear", "log", "log1p"]))
def test_a_place_on_the_axis_is_found_again(share: float, scale: str) -> None:
    axis = Axis(0.5, 300, scale)  # type: ignore[arg-type]
    assert float(axis.place(axis.at(share))) == pytest.approx(share, abs=1e-9)


def test_curves_that_hug_a_linear_axis_get_a_logarithmic_one() -> None:
    falling = 4 * np.exp(-np.arange(400) / 40)
    assert hugging([falling + 0.15, falling + 0.058]), "both would lie in the lowest dots"
    assert not hugging([np.linspace(4, 1, 400)])
    assert hugging([np.full(9, 0.0004), np.full(9, 0.0066)]), "one run beside a larger one"
    assert not hugging([np.full(9, 0.002), np.full(9, 0.0066)]), "less than five times apart"
    assert not hugging([np.concatenate([falling, [0.0]])]), "zero has no place on it"
    assert not hugging([])
    assert not hugging([np.array([np.nan, np.inf, 1e305])])


def test_a_logarithmic_axis_has_round_ends_close_to_its_data() -> None:
    axis = covering([0.058, 3.2], scale="log")
    assert (axis.low, axis.high) == (pytest.approx(0.05), pytest.approx(5))
    assert [label for _, label in axis.ticks(4)] == [".05", ".1", "1", "5"]
    assert len(axis.ticks(2)) == 2
    assert [label for _, label in Axis(0.2, 5, "log").ticks(3)] == [".2", "1", "5"]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8),
    st.sampled_from(["linear", "log"]),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=2),
)
def test_losses_of_any_size_are_drawn(values: list[float], scale: str, floors: list[float]) -> None:
    losses = np.array(values)
    axis = covering(values, scale=scale, include=floors)  # type: ignore[arg-type]
    curve = Curve(np.arange(len(losses)), losses, label="loss", faint=len(values) % 2 == 0)
    markers = [Marker("y", floor, "floor", "axis") for floor in floors]
    aim = Crosshair(len(losses) // 2, "step")
    hugging([losses])
    plot = Plot(Axis(0, len(losses)), axis, [curve], markers, crosshair=aim)
    for size in ((40, 9), (20, 4)):
        assert len(text(plot, *size)) == size[1]


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([Axis(0, 7), Axis(0.5, 300, "log"), Axis(0, 300, "log1p"), Axis(1, 1)]),
)
def test_one_value_is_placed_as_many_are(value: float, axis: Axis) -> None:
    many, one = float(axis.place([value])[0]), axis.spot(value)
    if math.isnan(many):
        assert math.isnan(one)
    else:
        assert one == pytest.approx(min(max(many, -1e6), 1e6))
