"""Charts: a plot and a size in, lines of text out."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.plot import (
    Bar,
    Bars,
    Curve,
    Marker,
    Panel,
    Plot,
    body_of,
    draw,
    draw_bars,
    draw_panel,
    text,
)
from synergy_tui.app.widgets.styles import INDEX, STYLES

TIME = np.arange(65.0)
RISE = Plot(
    Axis(0, 64, label="steps"),
    Axis(0, 1),
    [Curve(TIME, 1 - np.exp(-TIME / 12), "run-1", label="mean")],
    [Marker("y", 0.75, ".75 arrived", "axis"), Marker("x", 31, "mixed at 31")],
)


def test_a_rising_curve() -> None:
    assert text(RISE, 40, 8) == [
        "1.0┤              ⣀⣀⡤⠤⠤⠴⠒⠒⠒⠒⠒⠒⠚⠉⠉⠉⠉⠉⠉⠉⠉⠉",
        "   │┄┄┄┄┄┄┄┄⢀⣠⠴⠒⠋⠉⠁┄┄┊┄mean┄┄.75 arrived",
        "   │     ⢀⡤⠖⠋        ┊ mixed at 31      ",
        " .5┤    ⡴⠋           ┊                  ",
        "   │  ⣠⠞⠁            ┊                  ",
        "   │ ⡼⠁              ┊                  ",
        "  0┤⡼⠁               ┊                  ",
        "   └0────────────25───────────50── steps",
    ]


def test_the_same_curve_in_ascii() -> None:
    lines = text(RISE, 40, 8, ascii_only=True)
    assert all(line.isascii() for line in lines)
    assert "mixed at 31" in "".join(lines)


def test_two_rows_have_the_ends_of_the_y_axis() -> None:
    top, bottom = text(RISE, 40, 2)
    assert (top[:4], bottom[:4]) == ("  1┤", "  0┤")
    assert text(RISE, 40, 1)[0].lstrip()[0] not in "01", "one row has no place for an axis"


def test_lines_are_as_wide_and_as_many_as_asked_for() -> None:
    for width, height in ((1, 1), (5, 2), (8, 3), (40, 4), (200, 50)):
        lines = text(RISE, width, height)
        assert len(lines) == height
        assert {len(line) for line in lines} == {width}


def test_an_axis_that_the_chart_beneath_has_too_gives_way_where_rows_are_few() -> None:
    shared = replace(RISE, shares_x=True)
    assert "steps" not in "".join(text(shared, 40, 3))
    assert text(shared, 40, 3)[-1].startswith("  0┤")
    assert "steps" in text(RISE, 40, 3)[-1]
    assert text(shared, 40, 8) == text(RISE, 40, 8)


def test_labels_never_touch_each_other() -> None:
    crowded = Plot(
        Axis(0, 64),
        Axis(0, 1),
        [Curve(TIME, 1 - np.exp(-TIME / 12), "run-1", label="mean")],
        [
            Marker("y", 0.75, ".75 arrived", "axis"),
            *(Marker("x", at, f"mixed at {at}") for at in (20, 24, 31, 40)),
        ],
    )
    seen = set()
    for width in range(20, 60):
        for height in (2, 4, 8):
            drawn = " ".join(text(crowded, width, height))
            seen |= {*re.findall(r"[\d.]+(?= arrived)|(?<=mixed at )[\d.]+", drawn)}
    assert seen == {".75", "20", "24", "31", "40"}


def test_a_point_alone_is_seen() -> None:
    point = Plot(Axis(0, 64), Axis(0, 1), [Curve(np.zeros(1), np.full(1, 0.5), "run-1")])
    assert sum(line.count("•") for line in text(point, 40, 8)) == 1
    assert sum(line.count("o") for line in text(point, 40, 8, ascii_only=True)) == 1


def test_an_empty_chart_says_what_is_waited_for() -> None:
    empty = Plot(Axis(0, 1), Axis(0, 1), empty="waiting for the first probe\nhere: the loss")
    waiting = ["waiting for the", "first probe"]
    assert [line.strip() for line in text(empty, 20, 4) if line.strip()] == [
        *waiting,
        "here: the loss",
    ]
    assert [line.strip() for line in text(empty, 20, 3) if line.strip()] == waiting


def test_a_marker_beyond_the_axis_points_to_where_it_would_be() -> None:
    plot = Plot(RISE.x, RISE.y, RISE.curves, [Marker("x", 500, "theory: by 500")])
    assert any(line.endswith("theory: by 500 →") for line in text(plot, 40, 8))


def test_the_cursor_is_drawn_where_it_stands() -> None:
    lines = text(Plot(RISE.x, RISE.y, RISE.curves, cursor=32.0), 43, 9)
    gutter = lines[-1].index("└") + 1
    middle = gutter + round(0.5 * (43 - gutter - 1))
    assert {line.rindex("│") for line in lines[3:-1]} == {middle}


def test_a_faint_curve_gives_way_to_a_strong_one() -> None:
    line = np.array([0.0, 1.0])
    faint = Curve(line, line, "faint-1", faint=True)
    strong = Curve(line, line, "run-2")
    axis = Axis(0, 1)
    canvas = draw(Plot(axis, axis, [strong, faint]), 20, 6)
    assert STYLES.index("run-2") in canvas.styles
    assert STYLES.index("faint-1") not in canvas.styles


def test_curves_carry_glyphs_so_that_colour_is_not_needed() -> None:
    flat = np.array([0.0, 64.0])
    curves = [
        Curve(flat, np.array([0.2, 0.2]), "run-1", glyph="●"),
        Curve(flat, np.array([0.8, 0.8]), "run-2", glyph="▲"),
    ]
    drawn = "".join(text(Plot(RISE.x, RISE.y, curves), 50, 8))
    assert "●" in drawn
    assert "▲" in drawn


@pytest.mark.parametrize("count", [2, 5, 8, 20])
def test_every_one_of_equal_curves_shows_its_glyph(count: int) -> None:
    x = np.arange(80.0)
    marks = [identity(place) for place in range(count)]
    curves = [Curve(x, np.full(80, 0.5), each.variable, glyph=each.glyph) for each in marks]
    canvas = draw(Plot(Axis(0, 79), Axis(0, 1), curves), 90, 8)
    glyphs = {ord(each.glyph) for each in marks}
    drawn = [
        (chr(char), style)
        for char, style in zip(canvas.chars.flat, canvas.styles.flat, strict=True)
        if char in glyphs
    ]
    assert set(drawn) == {(each.glyph, INDEX[each.variable]) for each in marks}


def test_labels_do_not_cover_each_other() -> None:
    markers = [Marker("x", 30 + shift, f"name-{shift}") for shift in range(3)]
    drawn = "\n".join(text(Plot(RISE.x, RISE.y, RISE.curves, markers), 60, 10))
    assert all(f"name-{shift}" in drawn for shift in range(3))


def test_names_of_curves_are_left_out_of_small_charts() -> None:
    assert "mean" not in "".join(text(RISE, 40, 5))


def test_a_panel_heads_its_chart_with_question_and_answer() -> None:
    panel = Panel("how soon?", "arrival at the sink", "31 steps", RISE, "soon")
    wide = draw_panel(panel, 50, 8, selected=True).lines()[0]
    assert wide.startswith("▸how soon?  arrival at the sink")
    assert wide.endswith("31 steps")
    assert draw_panel(panel, 20, 8).lines()[0] == " how soon?  31 steps"
    assert draw_panel(panel, 15, 8).lines()[0] == " soon  31 steps"


def test_bars_are_proportional_and_say_their_numbers() -> None:
    bars = Bars([Bar("head 1", 0.25, ".25"), Bar("together", 0.5, ".5")], 0.5)
    first, second = draw_bars(bars, 30, 2).lines()
    assert first.count("█") * 2 == second.count("█")
    assert first.rstrip().endswith(".25")


def test_bars_without_room_are_counted() -> None:
    bars = Bars([Bar(f"head {place}", 0.5, ".5") for place in range(9)], 1.0)
    assert draw_bars(bars, 30, 4).lines()[-1].strip() == "and 6 more"


def test_names_lie_on_no_other_curve() -> None:
    noise = np.random.default_rng(3)
    placed = 0
    for count in (2, 3, 5, 8):
        for width, height in ((40, 8), (60, 12), (100, 20)):
            x = np.arange(80.0)
            rates = noise.uniform(4, 60, count)
            curves = [
                Curve(x, 1 - np.exp(-x / rate), f"run-{place + 1}", label=f"name{place}")
                for place, rate in enumerate(rates)
            ]
            plot = Plot(Axis(0, 79), Axis(0, 1), curves, [Marker("y", 0.75, "level", "axis")])
            lines = text(plot, width, height)
            _, rows = body_of(plot, width, height)
            for curve in [*curves, None]:
                name = "level" if curve is None else curve.label
                for row, line in enumerate(lines[:rows]):
                    at = line.find(name)
                    if at < 0:
                        continue
                    placed += 1
                    others = [each for each in curves if each is not curve]
                    unnamed = [replace(each, label="") for each in others]
                    bare = text(replace(plot, curves=unnamed, markers=[]), width, height)
                    under = bare[row][at : at + len(name)]
                    assert not under.strip(), f"{name} lies on a curve: {under!r}"
    assert placed > 30


def test_a_short_chart_has_two_numbers_on_each_axis() -> None:
    for high in (99, 152, 600, 12345):
        plot = replace(RISE, x=Axis(0, high, label="diffusion steps", short="steps"))
        for width in range(26, 60):
            below = text(plot, width, 4)[-1]
            assert len(re.findall(r"[\d.]+k?", below)) >= 2, below


def test_a_logarithmic_axis_is_named() -> None:
    axis = Axis(0.05, 5, "log")
    plot = replace(RISE, y=axis, x=Axis(0, 64, "log1p", label="diffusion steps", short="steps"))
    drawn = text(plot, 60, 8)
    assert drawn[-1].startswith("log└")
    assert drawn[-1].endswith("diffusion steps, log")
    assert any(line.startswith("log") for line in text(replace(plot, shares_x=True), 60, 3))
    assert "log" not in "".join(text(RISE, 60, 8))


def test_what_has_no_place_on_a_logarithmic_axis_is_pointed_to() -> None:
    plot = replace(RISE, y=Axis(0.05, 5, "log"), markers=[Marker("y", 0.0, "floor 0", "axis")])
    assert "floor 0 ↓" in "".join(text(plot, 60, 8))
    assert "floor 0 v" in "".join(text(plot, 60, 8, ascii_only=True))


def test_a_marker_whose_longer_name_has_no_place_keeps_its_short_one() -> None:
    curve = [Curve(np.array([0.0, 10.0]), np.zeros(2), "run-1")]
    marker = Marker("x", 5, "mixed at 5", longer=f"all have arrived {'at last ' * 3}: 5")
    drawn = "\n".join(text(Plot(Axis(0, 10), Axis(0, 1), curve, [marker]), 60, 8))
    assert "mixed at 5" in drawn
    assert "all have" not in drawn
    early = Marker("x", 1, marker.label, longer=marker.longer)
    drawn = "\n".join(text(Plot(Axis(0, 10), Axis(0, 1), curve, [early]), 60, 8))
    assert marker.longer in drawn
    assert "mixed" not in drawn


def test_an_upright_line_without_a_place_for_its_name_is_named_in_the_title() -> None:
    x = np.linspace(0, 40, 400)
    full = [Curve(x, np.abs(np.sin(3 * x + k)), "run-1") for k in range(6)]
    plot = Plot(Axis(0, 40), Axis(0, 1), full, [Marker("x", 30, "mixed at 30")])
    panel = Panel("how soon?", "arrival at the sink", "mean 9 steps", plot, "soon")
    for width, title in ((70, "how soon?"), (42, "how soon?"), (34, "soon")):
        first, *chart = draw_panel(panel, width, 5).lines()
        assert first.split("  ")[0].strip() == title
        assert "mixed at 30" in first
        assert "mixed" not in "".join(chart)
    assert "mixed" not in draw_panel(panel, 30, 5).lines()[0]
    free = replace(panel, plot=replace(plot, curves=[Curve(x, np.zeros(400), "run-1")]))
    first, *chart = draw_panel(free, 70, 5).lines()
    assert "arrival at the sink" in first
    assert "mixed at 30" in "".join(chart)


def test_the_name_of_a_marked_curve_may_stand_beside_another() -> None:
    """Its glyph and colour say which it is; without them it would seem to name its neighbour."""
    x = np.linspace(0, 80, 200)
    curves = [
        Curve(x, 0.9 + 0.02 * place * x / 80, f"run-{place + 1}", glyph=glyph, label=f"name{place}")
        for place, glyph in enumerate("●▲■")
    ]
    plot = Plot(Axis(0, 80), Axis(0, 1), curves)
    drawn = "\n".join(text(plot, 90, 8))
    assert all(f"{each.glyph} {each.label}" in drawn for each in curves)
    plain = "\n".join(text(replace(plot, curves=[replace(c, glyph="") for c in curves]), 90, 8))
    assert sum(each.label in plain for each in curves) < 3
