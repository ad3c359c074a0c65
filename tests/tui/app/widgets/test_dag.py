"""DAGs, paths and spreads as text: strings in, strings out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from synergy_tui.app.inspector.pathmap import Route, draw_paths_panel, draw_routes, routes_dag
from synergy_tui.app.stepper.spreadtable import draw_spread, window
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.dag import (
    Arc,
    Dag,
    Node,
    draw_dag,
    has_boxes,
    keep_strongest,
    lanes_of,
    natural_height,
)
from synergy_tui.app.widgets.shading import head_style
from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.words import percent, share_text

NODES = [Node(name, value) for name, value in zip("uvwτ", ["1", ".5", ".25", "0"], strict=True)]
LINE = [Arc(0, 1, "1"), Arc(1, 2, "1"), Arc(2, 3, "1")]
BRANCHES = [Arc(0, 2, "2"), Arc(1, 2, "2"), Arc(1, 3, "2"), Arc(2, 3, "2")]


def text(canvas: Canvas) -> str:
    return "\n".join(line.rstrip() for line in canvas.lines())


def test_example_2_is_drawn_as_the_paper_draws_it() -> None:
    canvas, shown = draw_dag(Dag(NODES, LINE, BRANCHES), 24, 9)
    assert shown == 7
    assert text(canvas) == (
        "  ╭─1──╮ ╭─1──╮ ╭─1──╮\n"
        "  │    ▼ │    ▼ │    ▼\n"
        " u      v      w      τ\n"
        " 1      .5    .25     0\n"
        "  │      │    ▲ │    ▲\n"
        "  │      ├─2──┤ ╰─2──┤\n"
        "  ╰────2─┼────╯      │\n"
        "         ╰─────2─────╯\n"
    )


def test_ascii_is_ascii() -> None:
    nodes = [Node(name) for name in ("u", "v", "w", "sink")]
    canvas, _ = draw_dag(Dag(nodes, LINE, BRANCHES), 40, 9, "ascii")
    assert text(canvas).isascii()
    assert text(canvas).count("v") >= 4


def test_short_arcs_lie_inside_long_ones() -> None:
    assert lanes_of(LINE) == [0, 0, 0]
    lanes = lanes_of(BRANCHES)
    assert lanes[1] == lanes[3] == 0
    assert sorted([lanes[0], lanes[2]]) == [1, 2]
    assert natural_height(Dag(NODES, LINE, BRANCHES)) == 8


arcs = st.lists(
    st.tuples(st.integers(0, 28), st.integers(1, 5), st.floats(0, 1)).map(
        lambda each: Arc(each[0], min(each[0] + each[1], 29), "1", strength=each[2])
    ),
    max_size=40,
)


@given(arcs)
def test_no_two_arcs_of_a_lane_overlap(drawn: list[Arc]) -> None:
    lanes = lanes_of(drawn)
    for one in range(len(drawn)):
        for other in range(one):
            if lanes[one] == lanes[other]:
                a, b = drawn[one], drawn[other]
                assert a.end <= b.start or b.end <= a.start


@given(arcs, st.integers(0, 6))
def test_the_strongest_arcs_stay(drawn: list[Arc], lanes: int) -> None:
    kept = keep_strongest(drawn, lanes)
    assert max(lanes_of(kept), default=-1) < max(lanes, 0) or not kept
    left = sorted((arc.strength for arc in drawn), reverse=True)[len(kept) :]
    assert not kept or not left or min(arc.strength for arc in kept) >= left[0]


@given(arcs, st.integers(1, 120), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_any_dag_fits_any_room(
    drawn: list[Arc], width: int, height: int, nodes: int, below: bool
) -> None:
    fitting = [arc for arc in drawn if arc.end < nodes]
    labels = [Node(str(node), level=1 + node) for node in range(nodes)]
    dag = Dag(labels, [] if below else fitting, fitting if below else [])
    canvas, shown = draw_dag(dag, width, height)
    assert canvas.chars.shape == (height, width)
    assert 0 <= shown <= len(fitting)


def test_many_nodes_become_columns_of_shade_with_the_labels_that_fit() -> None:
    nodes = [Node(str(node), level=2 * node + 1) for node in range(32)]
    chain = [Arc(node, node + 1, "1") for node in range(31)]
    assert not has_boxes(nodes, 40)
    canvas, shown = draw_dag(Dag(nodes, chain), 40, 6, "ascii")
    lines = canvas.lines()
    assert shown == 31
    shades = next(line for line in lines if "@@" in line)
    assert shades[:32].count(" ") == 0
    assert lines[lines.index(shades) + 1].split()[-1] == "31"


def test_dags_beside_each_other_stand_on_one_line() -> None:
    rows = []
    for dag in (Dag(NODES, LINE), Dag(NODES, [], BRANCHES), Dag(NODES, LINE, BRANCHES)):
        lines = draw_dag(dag, 30, 9, above=2)[0].lines()
        rows.append(next(y for y, line in enumerate(lines) if "w" in line))
    assert rows == [2, 2, 2]


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
    tall = text(draw_paths_panel(ROUTES, str, 50, 12, "blocks"))
    assert "[5]" in tall
    assert "▼" in tall
    assert "share" in tall
    assert "no path" in text(draw_paths_panel([], str, 50, 12, "blocks"))
    assert text(draw_paths_panel(ROUTES, str, 50, 12, "ascii")).isascii()


def test_shares_are_short() -> None:
    assert [percent(share) for share in (0.62, 0.041, 0.00034, 1e-9, 0.0, np.nan)] == [
        "62%", "4.1%", ".034%", "~0%", "0%", "–",
    ]  # fmt: skip


def line_spread() -> np.ndarray:
    matrix = np.eye(4) / 2 + np.eye(4, k=-1) / 2
    matrix[0, 0] = 1
    states = [np.eye(4)[0]]
    for _ in range(12):
        states.append(matrix @ states[-1])
    return np.array(states)


def test_a_spread_is_a_table_of_numbers_with_the_step_and_the_best_marked() -> None:
    lines = draw_spread(line_spread(), "uvwτ", 3, 5, 24, 5).lines()
    assert [line.rstrip() for line in lines] == [
        "  t   u   v   w   τ",
        "  1   1  .5   0   0",
        "  2   1 .75 .25   0",
        "▸ 3   1 .88  .5 .12",
        "  4   1 .94 .69 .31",
    ]
    assert "★" in draw_spread(line_spread(), "uvwτ", 5, 5, 24, 5).lines()[3]


def test_a_spread_over_many_nodes_is_shaded_and_keeps_its_peaks() -> None:
    share = np.zeros((20, 200))
    share[7, 113] = 1.0
    lines = draw_spread(share, [str(node) for node in range(200)], 7, 9, 60, 9, "ascii").lines()
    assert "".join(lines).count("@") == 1
    row = next(line for line in lines if "@" in line)
    assert row.startswith("> 7 ")
    assert lines[0].split()[-1] == "199"
    assert "\n".join(lines).isascii()


def test_the_window_of_steps_holds_the_one_shown() -> None:
    assert list(window(0, 100, 5)) == [0, 1, 2, 3, 4]
    assert list(window(50, 100, 5)) == [48, 49, 50, 51, 52]
    assert list(window(100, 100, 5)) == [96, 97, 98, 99, 100]
    assert list(window(2, 3, 9)) == [0, 1, 2, 3]


def test_numbers_fit_their_column() -> None:
    assert [share_text(value, 3) for value in (1.0, 0.0625, 0.001, 0.0, 0.5)] == [
        "1", ".06", "<1%", "0", ".5",
    ]  # fmt: skip
