"""Paths to the sink as lines, and the DAG they make."""

from __future__ import annotations

import numpy as np

from synergy_tui.app.inspector.pathmap import Route, draw_paths_panel, draw_routes, routes_dag
from synergy_tui.app.widgets.shading import head_style
from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.words import percent
from tests.tui.app.conftest import canvas_text

ROUTES = [Route((5, 17, 32), (2, 2), 0.4), Route((5, 12, 32), (2, 0), 0.11)]


def test_a_path_is_a_line_with_the_head_of_each_hop() -> None:
    lines = draw_routes(ROUTES, str, 50, 3).lines()
    assert lines[0].split() == ["share", "5", "12", "17", "32"]
    assert lines[1].strip().startswith("40%   ●")
    assert lines[1].count("3") == 2
    assert lines[2].split()[:2] == ["11%", "⇄"]
    assert lines[2].index("3") < lines[2].index("1", lines[2].index("3"))


def test_paths_that_change_heads_stand_out_in_style_too() -> None:
    canvas = draw_routes(ROUTES, str, 50, 3)
    bold = {head_style(head, "bold") for head in (0, 2)}
    plain, crossing = (
        [int(canvas.styles[row, x]) for x, char in enumerate(canvas.lines()[row]) if char == "─"]
        for row in (1, 2)
    )
    assert set(plain) == {head_style(2)}
    assert set(crossing) == bold
    assert canvas.styles[2, 7] == STYLES.index("cursor")


def test_the_dag_of_paths_names_all_heads_of_a_hop() -> None:
    dag = routes_dag([*ROUTES, Route((5, 12, 32), (1, 0), 0.2)], str)
    assert [node.label for node in dag.nodes] == ["5", "12", "17", "32"]
    assert {(arc.start, arc.end): arc.text for arc in dag.above} == {
        (0, 2): "3", (2, 3): "3", (0, 1): "2,3", (1, 3): "1",
    }  # fmt: skip
    tall = canvas_text(draw_paths_panel(ROUTES, str, 50, 12, "blocks"))
    assert "[5]" in tall
    assert "▼" in tall
    assert "share" in tall
    assert "no path" in canvas_text(draw_paths_panel([], str, 50, 12, "blocks"))
    assert canvas_text(draw_paths_panel(ROUTES, str, 50, 12, "ascii")).isascii()


def test_shares_are_short() -> None:
    assert [percent(share) for share in (0.62, 0.041, 0.00034, 1e-9, 0.0, np.nan)] == [
        "62%", "4.1%", ".034%", "~0%", "0%", "–",
    ]  # fmt: skip


def test_slopes_colour_hops_and_sign_them() -> None:
    routes = [
        Route((5, 17, 32), (2, 2), 0.4, (0.5, -0.25)),
        Route((5, 12, 32), (2, 0), 0.1, (1e-5, 0.1)),
    ]
    canvas = draw_routes(routes, str, 50, 3)
    lines = canvas.lines()
    assert lines[1].index("3+") < lines[1].index("3-")
    assert "3+" not in lines[2]
    assert "1+" in lines[2]
    styles = {STYLES[canvas.styles[1, x]] for x, char in enumerate(lines[1]) if char == "─"}
    assert styles == {"good", "warning"}
    arcs = {(arc.start, arc.end): arc for arc in routes_dag(routes, str).above}
    assert {ends: arc.text for ends, arc in arcs.items()} == {
        (0, 2): "3+", (2, 3): "3-", (0, 1): "3", (1, 3): "1+",
    }  # fmt: skip
    assert STYLES[arcs[2, 3].style] == "warning"
