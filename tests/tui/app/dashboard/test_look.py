"""What of the curves is shown: windows, zoom, smoothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from synergy_tui.app.dashboard.look import Aim, Lens, Window, round_number, window_name
from synergy_tui.app.dashboard.tracks import LARGEST, average

WHOLE = 600.0


def test_zooming_in_without_a_crosshair_keeps_the_newest_steps() -> None:
    lens = Lens().zoomed("steps", True, 400, WHOLE)
    assert lens.bounds("steps", 400, WHOLE) == (100, 400)
    assert lens.bounds("steps", 450, WHOLE) == (150, 450), "it slides with what is new"
    assert lens.zoomed("steps", False, 400, WHOLE).windows == {}
    first = Lens().zoomed("arrival", True, 80, 80)
    assert first.bounds("arrival", 80, 80) == (0, 40), "of arrival the beginning is of interest"


@given(st.floats(0, WHOLE), st.integers(1, 12))
def test_zooming_at_the_crosshair_leaves_it_in_place(at: float, times: int) -> None:
    lens = Lens(aim=Aim("steps", at, 2))
    for _ in range(times):
        before = lens.bounds("steps", 400, WHOLE)
        lens = lens.zoomed("steps", True, 400, WHOLE)
        low, high = lens.bounds("steps", 400, WHOLE)
        assert 0 <= low <= at + 1e-9
        assert at - 1e-9 <= high <= WHOLE
        share = (at - before[0]) / (before[1] - before[0])
        assert at == pytest.approx(low + share * (high - low))
    assert high - low >= 4


def test_panning_stops_at_the_ends_and_follows_again_at_the_newest() -> None:
    lens = Lens().zoomed("steps", True, 600, WHOLE)
    back = lens.panned("steps", -1, 600, WHOLE)
    assert back.bounds("steps", 600, WHOLE) == (225, 525)
    for _ in range(9):
        back = back.panned("steps", -1, 600, WHOLE)
    assert back.bounds("steps", 600, WHOLE) == (0, 300)
    for _ in range(9):
        back = back.panned("steps", 1, 600, WHOLE)
    assert back.windows["steps"].end is None
    assert back.whole().bounds("steps", 600, WHOLE) == (0, WHOLE)


def test_the_window_goes_from_all_to_the_last_few_steps_and_back() -> None:
    lens, spans = Lens(), []
    for _ in range(4):
        lens = lens.next_window(WHOLE)
        window = lens.windows.get("steps")
        spans.append(window and window.span)
    assert spans == [200, 100, 20, None]
    assert window_name(Window(200), (400, 600)) == "last 200 steps"
    assert window_name(Window(200, 500), (300, 500)) == "steps 300 to 500"


def test_early_in_training_a_window_begins_at_zero() -> None:
    assert Window(200).bounds(30, WHOLE) == (0, 200)


@pytest.mark.parametrize(
    ("value", "near"), [(0, 0), (1, 1), (9.99, 5), (12, 10), (0.3, 0.2), (2500, 2000)]
)
def test_round_numbers(value: float, near: float) -> None:
    assert round_number(value) == pytest.approx(near)


def slowly(steps: list[int], values: list[float], half_life: float) -> list[float]:
    """The average by its definition."""
    averaged = []
    for now, value in zip(steps, values, strict=True):
        past = [
            (0.5 ** ((now - step) / half_life), each)
            for step, each in zip(steps, values, strict=True)
            if step <= now and abs(each) <= LARGEST
        ]
        total = sum(weight for weight, _ in past)
        known = abs(value) <= LARGEST
        averaged.append(sum(weight * each for weight, each in past) / total if known else np.nan)
    return averaged


@given(
    st.lists(st.tuples(st.integers(1, 900), st.floats(-5, 5)), min_size=1, max_size=40),
    st.sampled_from([1.0, 3.0, 50.0]),
    st.sampled_from([None, np.nan, np.inf, 1e300]),
)
def test_smoothing_is_the_average_with_halving_weights(
    points: list[tuple[int, float]], half_life: float, odd: float | None
) -> None:
    steps = np.cumsum([gap for gap, _ in points])
    values = np.array([value for _, value in points])
    if odd is not None:
        values[len(values) // 2] = odd
    found = average(steps, values, half_life)
    wanted = slowly(steps.tolist(), values.tolist(), half_life)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_step_is_half_forgotten_after_the_half_life() -> None:
    steps = np.arange(4000)
    values = np.where(steps < 2000, 1.0, 0.0)
    smoothed = average(steps, values, 50.0)
    assert smoothed[1999 + 50] == pytest.approx(0.5)
    assert average(steps, values, 0.0) is values
