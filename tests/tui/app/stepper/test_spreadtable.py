"""A spread as a table of steps by nodes."""

from __future__ import annotations

import numpy as np

from synergy_tui.app.stepper.spreadtable import draw_spread, window
from synergy_tui.words import share_text


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
