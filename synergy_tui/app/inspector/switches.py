"""Which head hands over to which on the faintest node's way to the sink, as a small heat map."""

from __future__ import annotations

import numpy as np

from synergy_tui.app.inspector.measures import Carriage
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.shading import (
    Mode,
    glyphs_of,
    head_style,
    level_style,
    levels_of,
    pair_styles,
)
from synergy_tui.app.widgets.styles import MUTED, TEXT
from synergy_tui.words import compact

CELL = 5
"""Columns of an entry that is written as a number."""


def draw_switches(carried: Carriage | None, width: int, height: int, mode: Mode) -> Canvas:
    """Draw a line of words and the switch matrix, as numbers where they fit, else as shades.

    Blank where there is no room.
    """
    canvas = Canvas.blank(width, height)
    if carried is None or height < 1 or len(carried.share) < 2:
        return canvas
    if carried.time == 1:
        canvas.write(1, 0, "t* = 1: nothing composes"[: width - 1], MUTED)
        return canvas
    heads = len(carried.share)
    levels = levels_of(carried.switch, top=float(carried.switch.max()))
    if height >= heads + 2 and width >= 4 + CELL * heads:
        rows = heads + 2
        _write_numbers(canvas, carried, levels, mode)
    elif mode == "blocks" and height >= (heads + 1) // 2 + 1 and width >= 4 + 2 * heads:
        rows = (heads + 1) // 2 + 1
        padded = np.repeat(np.vstack([levels, np.zeros_like(levels[:1])]), 2, axis=1)
        upper, lower = padded[0 : 2 * (rows - 1) : 2], padded[1 : 2 * (rows - 1) + 1 : 2]
        # An odd number of heads leaves the last half row empty.
        canvas.chars[1:rows, 4 : 4 + 2 * heads] = np.where(upper > 0, ord("▀"), ord(" "))
        canvas.styles[1:rows, 4 : 4 + 2 * heads] = pair_styles(upper, lower)
        for row in range(rows - 1):
            canvas.write(1, row + 1, str(2 * row + 1).rjust(2), head_style(2 * row))
    else:
        return canvas
    canvas.write(1, 0, "switches: to row from column"[: width - 1], MUTED)
    return canvas


def _write_numbers(canvas: Canvas, carried: Carriage, levels: np.ndarray, mode: Mode) -> None:
    for head in range(len(levels)):
        number = str(head + 1)
        canvas.write(4 + CELL * (head + 1) - 1 - len(number), 1, number, head_style(head))
        canvas.write(1, head + 2, number.rjust(2), head_style(head))
        for before in range(len(levels)):
            level = int(levels[head, before])
            value = float(carried.switch[head, before])
            text = ("~0" if 0 < value < 0.01 else compact(value)).rjust(CELL - 1)
            style = level_style(level) if mode == "blocks" else TEXT
            if mode == "shades":
                text = chr(int(glyphs_of(levels[head, before], mode))) + text[1:]
            canvas.write(4 + CELL * before, head + 2, text, style)
