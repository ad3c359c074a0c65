"""The inspector's panels and layouts, without an app."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from synergy_tui.app.inspector.headviews import (
    Thumb,
    draw_arrival,
    draw_figures,
    draw_grid,
    draw_what_if,
    order_heads,
)
from synergy_tui.app.inspector.measures import Answer, Bench, Question
from synergy_tui.app.screens.arrange import (
    ARRIVAL,
    FIRST_STAGE,
    HEADS,
    MAP,
    MAPS,
    PANELS,
    PATHS,
    RESPONSE,
    WEIGHTS,
    WHAT_IF,
    arrange_inspector,
    arrange_stepper,
)
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.shading import head_style
from synergy_tui.experiments.attention import Snapshot
from tests.tui.app.heads import EXAMPLE2, NAMES, patterns


def snapshot() -> Snapshot:
    return Snapshot("x", patterns(4, 13)[None, None], np.array([[0.4, 0.3, 0.2, 0.1]]))


@pytest.fixture(scope="module")
def answers() -> tuple[Answer, Answer]:
    """All four heads on, and head 2 off."""
    bench = Bench(snapshot())
    asked = Question(source=3)
    return bench.answer(asked), bench.answer(replace(asked, off=frozenset({1})))


def text(canvas: Canvas) -> str:
    return "\n".join(line.rstrip() for line in canvas.lines())


def test_heads_are_sorted_by_what_is_asked(answers: tuple[Answer, Answer]) -> None:
    figures = answers[0].figures
    assert order_heads(figures, "index") == [0, 1, 2, 3]
    assert order_heads(figures[::-1], "weight") == [0, 1, 2, 3]
    for key in ("diversity", "fidelity"):
        values = [getattr(figures[head], key) for head in order_heads(figures, key)]
        assert values == sorted(values, reverse=True)


def test_figures_are_a_row_for_each_head_and_one_for_the_mixture(
    answers: tuple[Answer, Answer],
) -> None:
    canvas, rows = draw_figures(answers[1], [0, 1, 2, 3], 2, frozenset({1}), 44, 8)
    lines = text(canvas).splitlines()
    assert lines[0].split() == ["head", "weight", "steps", "φ_min", "diversity"]
    assert rows == [None, 0, 1, 2, 3]
    assert lines[1].split()[0] == "Σ"
    assert "off" in lines[3]
    assert lines[4].startswith("▸")
    assert text(canvas).count("★") == 1
    best = max(range(4), key=lambda head: answers[1].figures[head].fidelity)
    assert "★" in lines[2 + best]


def test_figures_scroll_to_the_selected_head_and_drop_columns(
    answers: tuple[Answer, Answer],
) -> None:
    canvas, rows = draw_figures(answers[0], [0, 1, 2, 3], 3, frozenset(), 20, 4)
    assert rows[-1] == 3
    assert text(canvas).splitlines()[0].split() == ["head", "weight"]


def test_what_if_compares_before_and_after(answers: tuple[Answer, Answer]) -> None:
    whole, without = answers
    assert "→" not in text(draw_what_if(whole, "3", 60, 9))
    shown = text(draw_what_if(without, "3", 60, 9))
    assert "without 2" in shown
    assert shown.count("→") == 6
    assert "×" in shown
    ascii_shown = text(draw_what_if(without, "3", 41, 9, ascii_only=True))
    assert ascii_shown.isascii()
    assert "phi_min" in ascii_shown


def test_small_multiples_are_all_there_and_clickable() -> None:
    maps = patterns(9, 33)
    thumbs = [Thumb(head, maps[head], ["w .1"], selected=head == 4) for head in range(9)]
    canvas, tiles = draw_grid(thumbs, 60, 30)
    assert set(tiles) == set(range(9))
    for head, (x, y, width, height) in tiles.items():
        assert canvas.lines()[y][x:].startswith(str(head + 1))
        assert x + width <= 60
        assert y + height <= 30
    x, y, width, _ = tiles[4]
    assert set(canvas.styles[y, x : x + width].tolist()) == {head_style(4, "reverse")}


def test_small_multiples_that_do_not_fit_turn_pages() -> None:
    maps = patterns(16, 33)
    thumbs = [Thumb(head, maps[head], selected=head == 15) for head in range(16)]
    canvas, tiles = draw_grid(thumbs, 20, 11)
    assert 15 in tiles
    assert 0 not in tiles
    assert "of 16" in text(canvas)


def test_a_head_that_is_off_is_crossed_out() -> None:
    canvas, _ = draw_grid([Thumb(2, patterns(1, 12)[0], ["w .1"], off=True)], 14, 8)
    assert text(canvas).splitlines()[0] == "x3 off"
    assert "▀" not in text(canvas)
    assert "░" in text(canvas)


def test_arrival_draws_each_head_that_is_on(answers: tuple[Answer, Answer]) -> None:
    def heads_drawn(answer: Answer, off: frozenset[int]) -> set[int]:
        canvas = draw_arrival(answer, 0, off, "3", 60, 12)
        used = set(canvas.styles.ravel().tolist())
        return {h for h in range(4) if used & {head_style(h), head_style(h, "bold")}}

    assert heads_drawn(answers[0], frozenset()) == {0, 1, 2, 3}
    assert heads_drawn(answers[1], frozenset({1})) == {0, 2, 3}
    assert "token 3 at the sink by step" in text(
        draw_arrival(answers[0], None, frozenset(), "3", 60, 12)
    )


def test_example_2_answers_with_the_papers_numbers() -> None:
    heads = Snapshot("x", EXAMPLE2[None, None], np.full((1, 2), 0.5), None, NAMES, True)
    answer = Bench(heads).answer(Question(source=0))
    shown = text(draw_what_if(answer, "u", 60, 9))
    assert ".417" in shown
    assert "1.11" in shown
    assert ".375" in shown


rooms = st.tuples(st.integers(40, 300), st.integers(9, 90))


def overlaps(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


@settings(max_examples=200)
@given(rooms, st.integers(1, 16), st.integers(2, 130), st.permutations(range(6)), st.booleans())
def test_inspector_panels_cover_the_screen_and_never_each_other(
    room: tuple[int, int], heads: int, nodes: int, recent: list[int], alone: bool
) -> None:
    places = arrange_inspector(*room, heads, nodes, recent, alone)
    assert sum(w * h for _, _, w, h in places.values()) == room[0] * room[1]
    for number, place in places.items():
        assert place[0] + place[2] <= room[0]
        assert place[1] + place[3] <= room[1]
        assert place[2] >= 20
        assert place[3] >= 4
        assert not any(overlaps(place, b) for a, b in places.items() if a != number)
    if alone:
        assert list(places) == [recent[0]]


def test_the_inspector_uses_the_room_there_is() -> None:
    recent = [WHAT_IF, MAP, PATHS, ARRIVAL, HEADS, MAPS]
    assert set(arrange_inspector(60, 17, 8, 33, recent, False)) == {WHAT_IF}
    assert set(arrange_inspector(80, 21, 8, 33, recent, False)) == {WHAT_IF, MAP, HEADS}
    assert set(arrange_inspector(120, 37, 8, 33, recent, False)) == set(range(6)) - {ARRIVAL}
    assert set(arrange_inspector(200, 57, 8, 33, recent, False)) == set(range(len(PANELS)))
    map_place = arrange_inspector(120, 37, 8, 33, recent, False)[MAP]
    assert map_place[2] - 2 >= 33 + 3


@settings(max_examples=200)
@given(rooms, st.integers(1, 16), st.integers(2, 130))
def test_stepper_panels_never_overlap(room: tuple[int, int], heads: int, nodes: int) -> None:
    stages, places = arrange_stepper(*room, heads, nodes)
    assert {FIRST_STAGE + place for place in range(stages)} <= set(places)
    assert stages <= heads + 1
    for number, place in places.items():
        assert place[0] + place[2] <= room[0]
        assert place[1] + place[3] <= room[1]
        assert place[3] >= 3
        assert not any(overlaps(place, b) for a, b in places.items() if a != number)


def test_the_stepper_puts_single_heads_beside_the_mixture() -> None:
    assert arrange_stepper(80, 22, 2, 4)[0] == 3
    assert arrange_stepper(60, 18, 2, 4)[0] == 2
    assert arrange_stepper(200, 57, 8, 4)[0] == 7
    assert arrange_stepper(200, 57, 1, 4)[0] == 1
    assert {WEIGHTS, RESPONSE} <= set(arrange_stepper(80, 22, 2, 4)[1])
