"""The switch matrix and the layers in order, drawn from numbers written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from synergy_tui.app.inspector.measures import Carriage
from synergy_tui.app.inspector.ordered import Ordered, Through, draw_ordered, measure_ordered
from synergy_tui.app.inspector.switches import draw_switches
from synergy_tui.app.widgets.shading import levels_of, pair_styles
from synergy_tui.experiments.attention import Snapshot
from tests.tui.app.conftest import canvas_text
from tests.tui.app.heads import patterns

SWITCH = np.array([[0.440154, 0.509653], [0.432432, 0.617761]])
V = Carriage(1, 3, np.array([0.449163, 0.550837]), SWITCH)


def test_hand_overs_are_numbers_where_they_fit() -> None:
    lines = canvas_text(draw_switches(V, 32, 5, "blocks")).splitlines()
    assert lines[0].strip() == "switches: to row from column"
    assert lines[1].split() == ["1", "2"]
    assert [line.split() for line in lines[2:4]] == [["1", ".44", ".51"], ["2", ".43", ".62"]]


def test_hand_overs_are_shades_where_there_is_little_room() -> None:
    canvas = draw_switches(V, 32, 2, "blocks")
    levels = levels_of(SWITCH, top=float(SWITCH.max()))
    assert canvas.lines()[1][4:8] == "▀▀▀▀"
    assert canvas.styles[1, 4:8:2].tolist() == pair_styles(levels[0], levels[1]).tolist()
    assert canvas_text(draw_switches(V, 32, 2, "ascii")).strip() == ""
    three = Carriage(1, 3, np.full(3, 1 / 3), np.ones((3, 3)))
    assert canvas_text(draw_switches(three, 32, 3, "blocks")).count("▀") == 12


@pytest.mark.parametrize("mode", ["blocks", "shades", "ascii"])
def test_one_step_composes_nothing(mode: str) -> None:
    alone = Carriage(2, 1, np.array([0.6, 0.4]), np.zeros((2, 2)))
    assert "nothing composes" in canvas_text(draw_switches(alone, 40, 6, mode))  # type: ignore[arg-type]


def test_nothing_is_drawn_of_what_is_not_known() -> None:
    assert canvas_text(draw_switches(None, 32, 5, "blocks")).strip() == ""


def test_measured_gamma_comes_first_where_it_was_recorded() -> None:
    attention = patterns(2, 6)[None, None].repeat(2, axis=1)
    snapshot = Snapshot("x", attention, np.full((2, 2), 0.5), gamma=np.full((1, 2, 6), 0.5))
    norm, half, _ = measure_ordered(snapshot, 0).through
    assert norm.found | {"gamma": "half"} == half.found
    np.testing.assert_array_equal(norm.node, half.node)


def ordered(exact: bool = True) -> Ordered:
    found = {
        "gamma": "half",
        "minimax": 1 / 36,
        "node": 0,
        "synergy": 2 / 3,
        "synergy_at_least": 0.5,
        "exact": exact,
        "layers": [{"heads": [0.125, 0.625], "skip": 0.25}, {"heads": [0.5, 0.25], "skip": 0.25}],
    }
    node = np.array([1 / 36, 0.1753472, 0.2951389, 0.5017361])
    return Ordered(("x", 0), [Through(found, node)])


def test_layers_in_order_have_the_last_on_top() -> None:
    text = canvas_text(draw_ordered(ordered(), "uvwτ".__getitem__, 80, 10, "blocks"))
    lines = text.splitlines()
    assert "γ = half" in lines[0]
    assert "φ .0278 of u, .667× the best chain of one head per layer" in lines[0]
    assert lines[1].split() == ["layer", "stays", "1", "2"]
    assert lines[2].split() == ["2", "25%", "50%", "25%"]
    assert lines[3].split() == ["1", "25%", "12%", "62%"]
    assert lines[5].split() == ["u", "τ"]
    bounded = canvas_text(draw_ordered(ordered(exact=False), str, 80, 10, "ascii"))
    assert ".5x to .667x" in bounded
    assert bounded.isascii()


@pytest.mark.parametrize(("width", "height"), [(10, 2), (38, 9), (1, 1), (0, 0)])
def test_little_room_cuts_and_does_not_fail(width: int, height: int) -> None:
    canvas = draw_ordered(ordered(), str, width, height, "blocks")
    assert (canvas.width, canvas.height) == (width, height)
    assert draw_switches(V, width, height, "blocks").height == height
