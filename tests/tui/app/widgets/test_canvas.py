"""Rasterising: arrays in, dots and characters out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from synergy_tui.app.widgets.canvas import Canvas, spans, to_cells


def picture(dots: np.ndarray) -> list[str]:
    return ["".join("#" if dot else "." for dot in row) for row in dots]


def test_a_diagonal_takes_one_dot_a_column() -> None:
    line = np.arange(4.0)
    assert picture(spans(line, line, 4, 4)) == ["...#", "..#.", ".#..", "#..."]


def test_a_steep_line_has_no_holes() -> None:
    dots = spans(np.array([0.0, 1.0]), np.array([0.0, 7.0]), 2, 8)
    assert dots.any(axis=1).all()
    assert dots.sum() <= 9


def test_a_spike_survives_however_many_points_share_its_column() -> None:
    y = np.zeros(100_000)
    y[41_234] = 9.0
    dots = spans(np.linspace(0, 19, 100_000), y, 20, 10)
    assert dots[0].any(), "the maximum of a column was lost"
    assert dots[-1].all(), "the floor is drawn in every column"


def test_a_value_that_is_not_finite_breaks_the_line() -> None:
    x = np.arange(7.0)
    y = np.array([1.0, 1, 1, np.nan, 1, 1, 1])
    assert picture(spans(x, y, 7, 3))[1] == "###.###"


def test_a_line_that_leaves_the_chart_keeps_its_slope_at_the_edge() -> None:
    dots = spans(np.array([-10.0, 10.0]), np.array([-10.0, 10.0]), 4, 4)
    assert picture(dots) == ["...#", "..#.", ".#..", "#..."]


def test_nothing_finite_draws_nothing() -> None:
    assert not spans(np.array([np.nan]), np.array([1.0]), 4, 4).any()
    assert not spans(np.array([]), np.array([]), 4, 4).any()


@given(
    st.lists(
        st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=0, max_size=60
    ),
    st.integers(1, 30),
    st.integers(1, 12),
)
def test_any_numbers_draw_within_the_chart(values: list[float], columns: int, rows: int) -> None:
    y = np.array(values, dtype=np.float64)
    dots = spans(np.linspace(-3, columns + 3, len(y)), y, columns, rows)
    assert dots.shape == (rows, columns)


@given(st.integers(2, 400), st.integers(4, 60), st.integers(0, 2**31))
def test_reduction_keeps_the_extremes_of_every_column(count: int, columns: int, seed: int) -> None:
    y = np.random.default_rng(seed).uniform(0, 15, count)
    x = np.linspace(0, columns - 1, count)
    dots = spans(x, y, columns, 16)
    for column in range(columns):
        inside = y[np.rint(x) == column]
        if inside.size:
            lit = 15 - np.flatnonzero(dots[:, column])
            assert lit.min() <= np.ceil(inside.min() - 0.5) + 1
            assert lit.max() >= np.floor(inside.max() + 0.5) - 1


def test_braille_cells_hold_the_dots_of_their_corner() -> None:
    dots = np.zeros((4, 4), dtype=bool)
    dots[0, 0] = dots[3, 3] = True
    assert [chr(code) for code in to_cells(dots)[0]] == ["⠁", "⢀"]


def test_ascii_cells_tell_top_from_bottom() -> None:
    dots = np.array([[1, 0, 1, 0], [0, 1, 1, 0]], dtype=bool)
    assert "".join(chr(code) for code in to_cells(dots, ascii_only=True)[0]) == "'.: "


@pytest.mark.parametrize(("x", "expected"), [(-2, "llo  "), (3, "   he"), (9, "     ")])
def test_text_is_cut_at_the_edges(x: int, expected: str) -> None:
    canvas = Canvas.blank(5, 1)
    canvas.write(x, 0, "hello", 1)
    assert canvas.lines() == [expected]
