"""The grid of a sweep: sparklines and cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synergy_tui.app.widgets.grid import Cell, Line, cell_of, draw_grid, spark
from synergy_tui.sweep.measures import MEASURES


def test_sparkline_shows_shape_and_holes() -> None:
    assert spark(np.linspace(0, 1, 80), 8) == "▁▂▃▄▅▆▇█"
    assert spark(np.geomspace(1, 1e4, 80), 8) == "▁▂▃▄▅▆▇█"
    assert spark(np.array([1.0, math.nan, 2.0]), 5) == "▁ █  "
    assert spark(np.array([]), 3) == spark(np.array([2.0]), 3) == "   "
    assert spark(np.array([2.0, 2.0]), 2) == "▁▁"
    assert spark(np.linspace(0, 1, 8), 8, ascii_only=True).isascii()


def test_grid_scrolls_with_the_cursor_and_says_what_did_not_fit() -> None:
    lines = [Line(f"p{at}", "finished", 1.0, [Cell(np.arange(3.0), "1.0")] * 5) for at in range(40)]
    headings = [f"heads-{count}" for count in range(5)]
    shown = draw_grid(headings, lines, 60, 10, selected=39).lines()
    assert any("p39" in line for line in shown)
    assert not any("p5 " in line for line in shown)
    assert "heads-0" in shown[0]
    assert "heads-4" not in shown[0]
    assert shown[0].endswith("2 ▸")
    right = draw_grid(headings, lines, 60, 10, selected=0, scrolled=9).lines()
    assert "heads-4" in right[0]
    assert "heads-1" not in right[0]
    assert "◂ 2" in right[0]


def test_grid_shortens_sparklines_before_it_leaves_a_column_out() -> None:
    line = Line("offset_sum-s7", "finished", 1.0, [Cell(np.linspace(0, 1, 80), "0.0123")] * 4)
    headings = [f"heads-{count}" for count in (1, 2, 4, 8)]
    narrow = draw_grid(headings, [line], 78, 3, selected=0).lines()
    assert all(heading in narrow[0] for heading in headings)
    assert narrow[1].count("▁▅█ 0.0123") == 4
    wide = draw_grid(headings, [line], 120, 3, selected=0).lines()
    assert wide[1].count("▁▂▃▄▅▆▇█ 0.0123") == 4


@pytest.mark.parametrize("size", [(10, 2), (1, 1), (200, 3)])
def test_grid_bears_every_size(size: tuple[int, int]) -> None:
    canvas = draw_grid(["a"], [Line("point", "running", 0.5, [None])], *size, selected=0)
    assert (canvas.width, canvas.height) == size


def test_every_measure_reads_a_run_without_numbers() -> None:
    from synergy_tui.experiments.state import RunState

    for measure in MEASURES:
        assert cell_of(measure, RunState("empty")) is None
        assert cell_of(measure, None) is None
