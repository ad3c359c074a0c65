"""The crosshair: which points it finds, what it reads, where it writes that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.crosshair import Crosshair, nearest, neighbour, one_line, read
from synergy_tui.app.widgets.curves import Curve
from synergy_tui.app.widgets.plot import Panel, Plot, draw, draw_panel, text
from synergy_tui.app.widgets.styles import INDEX

STEPS = np.arange(0, 101, 10)
UP = Curve(STEPS, STEPS / 100, "run-1", glyph="●", label="up")
DOWN = Curve(STEPS, 1 - STEPS / 100, "run-2", glyph="▲", label="down")
PLOT = Plot(Axis(0, 100, label="step"), Axis(0, 1), [UP, DOWN])


def test_values_are_the_newest_not_after_the_crosshair() -> None:
    found = read([UP, DOWN], Crosshair(37, "step"))
    assert [(each.name, each.mark, each.value) for each in found] == [
        ("up", "●", ".3"),
        ("down", "▲", ".7"),
    ]
    assert [each.value for each in read([UP], Crosshair(-1, "step"))] == ["–"]


def test_pieces_of_one_curve_are_read_as_one() -> None:
    before = replace(UP, x=STEPS[:5], y=UP.y[:5])
    after = Curve(STEPS[4:], UP.y[4:], "faint-1", faint=True, reads="up")
    for at, value in ((20, ".2"), (80, ".8")):
        assert [each.value for each in read([after, before], Crosshair(at, "step"))] == [value]
    assert read([replace(after, reads="")], Crosshair(80, "step")) == []


def test_other_columns_curves_are_read_too() -> None:
    assert [each.name for each in read([UP], Crosshair(50, "step", others=[DOWN]))] == [
        "up",
        "down",
    ]


@pytest.mark.parametrize(("share", "at"), [(0.0, 0), (0.44, 40), (0.46, 50), (1.0, 100)])
def test_the_nearest_point_is_found(share: float, at: float) -> None:
    assert nearest([UP, DOWN], PLOT.x, share) == at
    assert nearest([], PLOT.x, share) is None
    powers = Curve(10.0 ** np.arange(5), np.ones(5), label="powers")
    assert nearest([powers], Axis(1, 1e4, "log"), 0.5) == 100


def test_the_neighbour_is_at_least_a_column_away() -> None:
    dense = Curve(np.arange(1001) / 10, np.zeros(1001), label="dense")
    assert neighbour([dense], PLOT.x, 50, 1, 50) == pytest.approx(52)
    assert neighbour([dense], PLOT.x, 50, -1, 50) == pytest.approx(48)
    assert neighbour([UP], PLOT.x, 50, 1, 50) == 60
    assert neighbour([UP], PLOT.x, 100, 1, 50) is None


def test_the_box_lists_every_curve_and_covers_none() -> None:
    plot = replace(PLOT, curves=[UP], crosshair=Crosshair(20, "step", others=[DOWN]))
    lines = text(plot, 60, 12)
    drawn = "\n".join(lines)
    assert "step 20" in drawn
    assert "● up" in drawn
    assert "▲ down" in drawn
    bare = draw(replace(plot, crosshair=None), 60, 12)
    boxed = draw(plot, 60, 12)
    on_curve = bare.styles == INDEX["run-1"]
    assert (boxed.chars[on_curve] == bare.chars[on_curve]).all()


def test_without_room_for_a_box_the_values_stand_in_the_first_line() -> None:
    plot = replace(PLOT, crosshair=Crosshair(20, "step"))
    panel = Panel("how soon?", "", "31 steps", plot, "soon")
    low = draw_panel(panel, 60, 4).lines()
    assert low[0].rstrip().endswith("step 20: ● .2 ▲ .8")
    tall = draw_panel(panel, 60, 14).lines()
    assert tall[0].rstrip().endswith("31 steps")
    elsewhere = replace(panel, plot=replace(plot, crosshair=Crosshair(20, "step", boxed=False)))
    assert draw_panel(elsewhere, 60, 14).lines()[0].rstrip().endswith("▲ .8")
    assert one_line(read([UP, DOWN], plot.crosshair), plot.crosshair, 14) == "step 20: ● .2"  # type: ignore[arg-type]
