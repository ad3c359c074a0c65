"""Heatmaps as text and styles: arrays in, canvases out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from rich.color import Color
from rich.style import Style

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import strip_of
from synergy_tui.app.widgets.heatmap import Heat, draw_heatmap, draw_ramp, draw_small, fit, pool
from synergy_tui.app.widgets.shading import (
    CURSOR,
    LEVELS,
    Palette,
    glyphs_of,
    head_style,
    level_style,
    levels_of,
    pair_styles,
    value_at,
)
from synergy_tui.app.widgets.styles import STYLES
from tests.tui.app.heads import EXAMPLE2, patterns

TRIANGLE = np.tri(4) / np.arange(1, 5)[:, None]


def palette(background: str | None = "#101010") -> Palette:
    colour = None if background is None else Color.parse(background)
    return Palette([Style()] * len(STYLES), dark=True, ansi=False, background=colour)


def test_levels_rise_with_values_and_nothing_is_level_zero() -> None:
    values = np.array([0.0, 1e-4, 0.01, 0.3, 1.0, 2.0])
    for scale in ("linear", "root", "log"):
        levels = levels_of(values, scale)
        assert levels[0] == 1
        assert levels[-1] == levels[-2] == LEVELS
        assert (np.diff(levels.astype(int)) >= 0).all()
    assert levels_of(np.array([np.nan]))[0] == 0
    assert levels_of(values, "root")[2] > levels_of(values, "linear")[2]


@given(st.floats(0, 1), st.sampled_from(["linear", "root"]))
def test_a_legend_names_the_value_of_a_shade(share: float, scale: str) -> None:
    level = int(levels_of(np.array([value_at(share, scale)]), scale)[0])
    assert abs((level - 1) / (LEVELS - 1) - share) <= 0.5 / (LEVELS - 1) + 1e-9


def test_a_matrix_keeps_its_shape_two_rows_a_line() -> None:
    canvas, place = draw_heatmap(Heat(patterns(1, 33)[0]), 40, 18)
    assert (place.columns, place.rows, place.entries) == (33, 17, 33)
    lines = canvas.lines()
    assert lines[0].split()[:2] == ["0", "▀▄"]
    for query in range(1, 17):
        drawn = lines[query][place.x :].rstrip()
        assert drawn.startswith("▀" * 2 * query)
    assert lines[16][place.x : place.x + 33] == "▀" * 33
    assert lines[17].split()[0] == "0"


def test_both_axes_are_labelled_and_the_empty_triangle_says_which_is_which() -> None:
    text = "\n".join(draw_heatmap(Heat(patterns(1, 33)[0], cursor=(20, 5)), 40, 18)[0].lines())
    assert "query ↓ hears" in text
    assert "key → is heard" in text
    assert "20 ← 5" in text
    last = text.splitlines()[-1].split()
    assert last == ["0", "5", "10", "15", "20", "25", "30"]
    assert "\n20 " in text


def test_the_cursor_stands_on_its_entry() -> None:
    heat = Heat(patterns(1, 33)[0], cursor=(21, 5))
    canvas, place = draw_heatmap(heat, 40, 18)
    column, row = place.column_of(5), place.row_of(21)
    assert place.entry_at(column, row) in ((20, 5), (21, 5))
    without, _ = draw_heatmap(Heat(heat.values, cursor=None), 40, 18)
    changed = np.argwhere(
        (canvas.styles != without.styles)[: place.rows, place.x : place.x + 20]
    ).tolist()
    assert [row, column - place.x] in changed


def test_small_matrices_carry_their_numbers() -> None:
    diffusion = EXAMPLE2[1] / EXAMPLE2[1].sum(axis=1, keepdims=True)
    canvas, _ = draw_heatmap(Heat(diffusion, names="uvwτ"), 40, 14)
    text = "\n".join(canvas.lines())
    assert text.count(".33") == 6
    assert [line.split()[0] for line in canvas.lines() if line[:1] in set("uvwτ")] == list("uvwτ")


def test_without_colour_every_shade_is_a_glyph_and_ascii_stays_ascii() -> None:
    heat = Heat(patterns(2, 33)[1], cursor=(20, 5))
    for mode in ("shades", "ascii"):
        text = "\n".join(draw_heatmap(heat, 40, 18, mode)[0].lines())
        assert "▀" not in text
        assert "XX" in text
        if mode == "ascii":
            assert text.isascii()
            assert "@@" in text
            assert ".." in text
    assert len(set(glyphs_of(np.arange(CURSOR + 1, dtype=np.uint8), "ascii"))) >= 8


def test_large_matrices_show_the_largest_of_each_block() -> None:
    values = np.tri(500) * 1e-6
    values[401, 123] = 1.0
    canvas, place = draw_heatmap(Heat(values, "linear"), 60, 20, "ascii")
    assert place.entries == 500
    assert place.blocks == 19
    row, column = place.row_of(401), place.column_of(123)
    assert canvas.lines()[row][column] == "@"
    assert "maxima of 26 entries" in "\n".join(canvas.lines())
    assert sum(line.count("@") for line in canvas.lines()) == 2


def test_full_size_shows_every_entry_around_the_cursor() -> None:
    values = np.tri(500) * 1e-6
    values[401, 123] = 1.0
    heat = Heat(values, "linear", cursor=(403, 125))
    canvas, place = draw_heatmap(heat, 60, 20, "ascii", zoomed=True)
    assert place.entries == place.blocks
    assert place.origin[0] < 401 < place.origin[0] + place.rows
    assert canvas.lines()[place.row_of(401)][place.column_of(123)] == "@"
    assert place.entry_at(place.column_of(123), place.row_of(401)) == (401, 123)


@given(st.integers(1, 300), st.integers(1, 90), st.integers(1, 60))
def test_every_entry_is_found_where_it_is_drawn(nodes: int, width: int, height: int) -> None:
    place = fit(nodes, width, height, "blocks")
    for node in {0, nodes // 2, nodes - 1}:
        column, row = place.column_of(node), place.row_of(node)
        assert 0 <= row < place.rows <= height
        entry = place.entry_at(column, row)
        assert entry is not None
        block = -(-place.entries // place.blocks)
        assert abs(entry[1] - node) < block
        assert abs(entry[0] - node) < 2 * block


@given(st.integers(1, 80), st.integers(1, 50), st.integers(1, 40))
def test_small_multiples_fill_their_square(nodes: int, width: int, height: int) -> None:
    canvas = Canvas.blank(width, height)
    draw_small(canvas, Heat(np.tri(nodes)), "shades")
    side = min(width // 2, height)
    drawn = canvas.chars != ord(" ")
    if side >= 1:
        assert drawn[min(side, height) - 1, 0]
        assert drawn.any(axis=1).sum() == side


def test_pooling_takes_maxima_of_uneven_blocks() -> None:
    values = np.arange(25.0).reshape(5, 5)
    assert pool(values, np.array([0, 2])).tolist() == [[6, 9], [21, 24]]
    assert pool(values, np.arange(5)) is values


def test_too_little_room_draws_nothing_and_fails_nowhere() -> None:
    for width, height in ((0, 0), (3, 2), (6, 3), (1, 40)):
        canvas, _ = draw_heatmap(Heat(TRIANGLE, cursor=(1, 0)), width, height)
        assert canvas.chars.shape == (height, width)


def test_a_half_block_has_the_colour_of_each_of_its_rows() -> None:
    styles = palette()
    style = styles[int(pair_styles(np.uint8(LEVELS), np.uint8(1)))]
    dark = styles[level_style(1)].bgcolor
    bright = styles[level_style(LEVELS)].bgcolor
    assert (style.color, style.bgcolor) == (bright, dark)
    assert bright != dark


def test_styles_are_made_once_and_text_on_a_shade_is_legible() -> None:
    styles = palette()
    assert styles[head_style(0)] is styles[head_style(0)]
    assert styles[head_style(0)] != styles[head_style(1)]
    assert styles[head_style(0)].color == styles[head_style(8)].color
    for level in (1, LEVELS):
        style = styles[level_style(level)]
        text, back = style.color.triplet.red, style.bgcolor.triplet.red
        assert abs(text - back) > 100
    with pytest.raises(IndexError):
        styles[len(styles)]


def test_a_canvas_of_shades_becomes_strips_of_its_width() -> None:
    canvas, _ = draw_heatmap(Heat(patterns(1, 33)[0], cursor=(20, 5)), 40, 18)
    draw_ramp(canvas, 0, 0, Heat(TRIANGLE), "blocks")
    styles = palette(None)
    for row in range(canvas.height):
        assert strip_of(canvas, row, styles).cell_length == 40
