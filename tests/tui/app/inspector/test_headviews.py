"""The inspector's panels and layouts, without an app."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synergy_tui.app.inspector.headviews import (
    Thumb,
    draw_arrival,
    draw_figures,
    draw_grid,
    draw_what_if,
    order_heads,
)
from synergy_tui.app.inspector.measures import (
    UNKNOWN,
    Answer,
    Bench,
    Carriage,
    Ceiling,
    Ceilings,
    Question,
)
from synergy_tui.app.widgets.shading import head_style
from synergy_tui.experiments.attention import Snapshot
from tests.tui.app.conftest import canvas_text
from tests.tui.app.heads import EXAMPLE2, NAMES, patterns


def snapshot() -> Snapshot:
    return Snapshot("x", patterns(4, 13)[None, None], np.array([[0.4, 0.3, 0.2, 0.1]]))


@pytest.fixture(scope="module")
def answers() -> tuple[Answer, Answer]:
    """All four heads on, and head 2 off."""
    bench = Bench(snapshot())
    asked = Question(source=3)
    return bench.answer(asked), bench.answer(replace(asked, off=frozenset({1})))


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
    lines = canvas_text(canvas).splitlines()
    assert lines[0].split() == ["head", "weight", "carries", "steps", "φ_min", "diversity"]
    assert rows == [None, 0, 1, 2, 3]
    assert lines[1].split()[0] == "Σ"
    assert "off" in lines[3]
    assert lines[4].startswith("▸")
    assert canvas_text(canvas).count("★") == 1
    best = max(range(4), key=lambda head: answers[1].figures[head].fidelity)
    assert "★" in lines[2 + best]


def test_the_loss_without_a_head_stands_in_its_row(answers: tuple[Answer, Answer]) -> None:
    losses = [0.5, 0.25, 1.5, 0.125]
    canvas, _ = draw_figures(answers[0], [3, 1], None, frozenset(), 60, 8, losses_without=losses)
    lines = [line.replace("★", " ").split() for line in canvas_text(canvas).splitlines()]
    assert lines[0] == ["head", "weight", "carries", "steps", "φ_min", "loss", "w/o", "diversity"]
    assert [line[5] for line in lines[2:4]] == [".125", ".25"]


def test_figures_scroll_to_the_selected_head_and_drop_columns(
    answers: tuple[Answer, Answer],
) -> None:
    canvas, rows = draw_figures(answers[0], [0, 1, 2, 3], 3, frozenset(), 20, 4)
    assert rows[-1] == 3
    assert canvas_text(canvas).splitlines()[-1].strip() == "3 more ▴"
    assert canvas_text(canvas).splitlines()[0].split() == ["head", "weight", "carries"]


def test_figures_have_the_same_columns_in_ascii(answers: tuple[Answer, Answer]) -> None:
    for mode, name in (("blocks", "φ_min"), ("ascii", "phi")):
        canvas, _ = draw_figures(answers[0], [0, 1], None, frozenset(), 32, 5, mode)
        heading, *rows = canvas_text(canvas).splitlines()
        assert heading.split() == ["head", "weight", "carries", "steps", name]
        assert len(rows[1].replace("*", " ").replace("★", " ").split()) == 5


def test_figures_say_what_each_head_carries(answers: tuple[Answer, Answer]) -> None:
    carried = Carriage(3, 1, np.array([0.5, 0.0, 0.3, 0.2]), np.zeros((4, 4)))
    answer = replace(answers[1], carried=carried)
    lines = canvas_text(draw_figures(answer, [0, 1, 2, 3], None, frozenset({1}), 44, 9)[0])
    assert [line[11:19].strip() for line in lines.splitlines()[2:6]] == ["50%", "0%", "30%", "20%"]
    assert "nothing composes" in lines.splitlines()[7]
    unknown = canvas_text(
        draw_figures(replace(answer, carried=None), [0], None, frozenset(), 44, 9)[0]
    )
    assert unknown.splitlines()[2][11:19].strip() == "–"


CEILINGS = Ceilings(("x",), Ceiling(0.5, 2.0), Ceiling(0.25, 4.0))


def test_what_if_compares_before_and_after(answers: tuple[Answer, Answer]) -> None:
    whole, without = answers
    assert "→" not in canvas_text(draw_what_if(whole, CEILINGS, "3", 60, 9))
    shown = canvas_text(draw_what_if(without, CEILINGS, "3", 60, 9))
    assert "without 2" in shown
    assert shown.count("→") == 8
    rows = [line.split() for line in shown.splitlines()]
    assert rows[2] == ["no", "weights", "could", "exceed", ".5", "→", ".25", ".5×"]
    assert rows[6] == ["no", "weights", "could", "need", "fewer", "2", "→", "4", "2×"]
    ascii_shown = canvas_text(draw_what_if(without, None, "3", 41, 9, ascii_only=True))
    assert ascii_shown.isascii()
    assert "phi_min" in ascii_shown


def test_bounds_may_be_awaited_or_too_costly(answers: tuple[Answer, Answer]) -> None:
    awaited = canvas_text(draw_what_if(answers[1], None, "3", 60, 9)).splitlines()
    assert awaited[2].split()[-1] == "…"
    costly = Ceilings(("x",), UNKNOWN, UNKNOWN)
    shown = canvas_text(draw_what_if(answers[1], costly, "3", 60, 9)).splitlines()
    assert shown[2].split()[-1] == shown[6].split()[-1] == "–"


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
    assert "of 16" in canvas_text(canvas)


def test_a_head_that_is_off_is_crossed_out() -> None:
    canvas, _ = draw_grid([Thumb(2, patterns(1, 12)[0], ["w .1"], off=True)], 14, 8)
    assert canvas_text(canvas).splitlines()[0] == "x3 off"
    assert "▀" not in canvas_text(canvas)
    assert "░" in canvas_text(canvas)


def test_arrival_draws_each_head_that_is_on(answers: tuple[Answer, Answer]) -> None:
    def heads_drawn(answer: Answer, off: frozenset[int]) -> set[int]:
        canvas = draw_arrival(answer, 0, off, "3", 60, 12)
        used = set(canvas.styles.ravel().tolist())
        return {h for h in range(4) if used & {head_style(h), head_style(h, "bold")}}

    assert heads_drawn(answers[0], frozenset()) == {0, 1, 2, 3}
    assert heads_drawn(answers[1], frozenset({1})) == {0, 2, 3}
    assert "token 3 at the sink by step" in canvas_text(
        draw_arrival(answers[0], None, frozenset(), "3", 60, 12)
    )


def test_example_2_answers_with_the_papers_numbers() -> None:
    heads = Snapshot("x", EXAMPLE2[None, None], np.full((1, 2), 0.5), None, NAMES, True)
    answer = Bench(heads).answer(Question(source=0))
    shown = canvas_text(draw_what_if(answer, None, "u", 60, 9))
    assert ".417" in shown
    assert "1.11" in shown
    assert ".375" in shown
