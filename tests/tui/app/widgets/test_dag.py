"""DAGs, paths and spreads as text: strings in, strings out."""

from __future__ import annotations

from hypothesis import given, strategies as st

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
from tests.tui.app.conftest import canvas_text

NODES = [Node(name, value) for name, value in zip("uvwτ", ["1", ".5", ".25", "0"], strict=True)]
LINE = [Arc(0, 1, "1"), Arc(1, 2, "1"), Arc(2, 3, "1")]
BRANCHES = [Arc(0, 2, "2"), Arc(1, 2, "2"), Arc(1, 3, "2"), Arc(2, 3, "2")]


def test_example_2_is_drawn_as_the_paper_draws_it() -> None:
    canvas, shown = draw_dag(Dag(NODES, LINE, BRANCHES), 24, 9)
    assert shown == 7
    assert canvas_text(canvas) == (
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
    assert canvas_text(canvas).isascii()
    assert canvas_text(canvas).count("v") >= 4


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
