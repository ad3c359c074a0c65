"""How a signal spreads, as a table of steps by nodes. No Textual here.

Few nodes get a number each; many get a shade each, the largest of the nodes that share a column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.shading import Mode, glyphs_of, level_style, levels_of
from synergy_tui.app.widgets.styles import CURSOR, MUTED, TEXT, TITLE
from synergy_tui.words import share_text

NARROWEST = 4
"""Columns that a node's number needs, its gap included."""


def lead_of(steps: int) -> int:
    """Columns before the first node: the mark of the step shown, and its number."""
    return len(str(steps - 1)) + 2


def window(step: int, last: int, rows: int) -> range:
    """The steps to show in ``rows`` rows, with ``step`` among them."""
    first = min(max(step - rows // 2, 0), max(last - rows + 1, 0))
    return range(first, min(first + rows, last + 1))


def draw_spread(
    share: npt.NDArray[np.floating],
    names: Sequence[str],
    step: int,
    best: int,
    width: int,
    height: int,
    mode: Mode = "blocks",
) -> Canvas:
    """Draw a window of steps around ``step``; ``best`` is marked.

    ``share`` is (T, n): what share of each node's state is the source's, by step.
    """
    canvas = Canvas.blank(width, height)
    steps, nodes = share.shape
    if height < 2 or width < 10:
        return canvas
    here, star = (">", "*") if mode == "ascii" else ("▸", "★")
    lead = lead_of(steps)
    room = width - lead - 1
    canvas.write(lead - 2, 0, "t", MUTED)
    shown = window(step, steps - 1, height - 1)
    size = min(room // nodes, 10)
    numbers = size >= NARROWEST
    _write_names(canvas, names, lead, size if numbers else 0, room)
    levels = levels_of(share[shown.start : shown.stop])
    for row, t in enumerate(shown, start=1):
        style = CURSOR if t == step else MUTED
        canvas.write(0, row, here if t == step else " ", style)
        canvas.write(1, row, str(t).rjust(lead - 2), style)
        if numbers:
            for node in range(nodes):
                level = int(levels[row - 1, node])
                text = share_text(float(share[t, node]), size - 1).rjust(size - 1) + " "
                shade = level_style(level) if mode == "blocks" and level > 1 else TEXT
                canvas.write(lead + node * size, row, text, shade)
            end = lead + nodes * size
        else:
            end = _write_shades(canvas, levels[row - 1], lead, row, room, mode)
        if t == best:
            canvas.write(min(end, width - 1), row, star, CURSOR)
    return canvas


def _write_names(canvas: Canvas, names: Sequence[str], lead: int, size: int, room: int) -> None:
    if size:
        for node, name in enumerate(names):
            canvas.write(lead + node * size, 0, name[: size - 1].rjust(size - 1), TITLE)
        return
    columns = _columns(len(names), room)
    ends = names[-1]
    last = int(columns[-1]) - len(ends) + 1
    free = 0
    for node, name in enumerate(names[:-1]):
        x = int(columns[node])
        if x >= free and x + len(name) < last:
            canvas.write(lead + x, 0, name, MUTED)
            free = x + len(name) + 3
    canvas.write(lead + max(last, 0), 0, ends, TITLE)


def _columns(nodes: int, room: int) -> npt.NDArray[np.intp]:
    """The last column of each node; several nodes may share one, or one take several."""
    return (
        np.ceil(np.arange(1, nodes + 1) * min(room, nodes * max(room // nodes, 1)) / nodes).astype(
            np.intp
        )
        - 1
    )


def _write_shades(
    canvas: Canvas, levels: npt.NDArray[np.uint8], lead: int, row: int, room: int, mode: Mode
) -> int:
    """Write one row of shades; return the column after it."""
    columns = _columns(len(levels), room)
    wide = int(columns[-1]) + 1
    line = np.zeros(wide, dtype=np.uint8)
    if wide >= len(levels):
        starts = np.concatenate([[0], columns[:-1] + 1])
        line = np.repeat(levels, columns - starts + 1)
    else:
        np.maximum.at(line, columns, levels)
    if mode == "blocks":
        canvas.styles[row, lead : lead + wide] = [level_style(int(level)) for level in line]
    else:
        canvas.chars[row, lead : lead + wide] = glyphs_of(line, mode)
    return lead + wide
