"""The grid of a sweep: one row per point, one column per run; a curve and a number per cell.

Pure drawing: views in, a canvas out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.styles import INDEX, MUTED, TEXT, TITLE
from synergy_tui.experiments.state import RunState
from synergy_tui.sweep.measures import Measure
from synergy_tui.words import compact, cut

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"
GLYPHS = {
    "waiting": ("·", ".", "muted"),
    "running": ("●", "o", "run-1"),
    "finished": ("✓", "+", "good"),
    "failed": ("✗", "x", "error"),
    "lost": ("✗", "x", "error"),
    "stopped": ("■", "#", "warning"),
}
SPARK = 8
SHORT_SPARK = 3
VALUE = 8


@dataclass(frozen=True)
class Cell:
    """One run of one point: its curve, and its newest number as text."""

    curve: npt.NDArray[np.float64]
    text: str


@dataclass(frozen=True)
class Line:
    """One point: name, status, share done, and a cell for each column (``None``: not begun)."""

    name: str
    status: str
    progress: float
    cells: Sequence[Cell | None]
    mark: str = ""  # stands in place of the state's glyph


def cell_of(measure: Measure, run: RunState | None) -> Cell | None:
    """The cell of a run; nothing while there is no number."""
    if run is None:
        return None
    value = measure.value(run)
    return None if math.isnan(value) else Cell(measure.curve(run), compact(value, 3))


def spark(
    curve: npt.NDArray[np.float64],
    width: int,
    ascii_only: bool = False,
    ends: tuple[float, float] | None = None,
) -> str:
    """A curve as ``width`` characters, logarithmic where it spans more than a factor of 20.

    With ``ends`` these are the lowest and the highest character, and it is linear.

    Each character is the mean of its stretch; a stretch without a finite number is a blank, and so
    is a single number, which has no shape.
    """
    if curve.size < 2:
        return " " * width
    parts = (
        np.array_split(curve, width)
        if curve.size >= width
        else [curve[[i]] for i in range(curve.size)]
    )
    means = np.array(
        [part[np.isfinite(part)].mean() if np.isfinite(part).any() else math.nan for part in parts]
    )
    known = means[np.isfinite(means)]
    if not known.size:
        return " " * width
    if ends is None and known.min() > 0 and known.max() > 20 * known.min():
        means, known = np.log(means), np.log(known)
    low, high = ends or (known.min(), known.max())
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    share = (means - low) / (high - low) if high > low else np.zeros(means.size)
    text = "".join(
        " " if math.isnan(each) else blocks[min(len(blocks) - 1, int(each * len(blocks)))]
        for each in share
    )
    return text.ljust(width)


def draw_grid(
    headings: Sequence[str],
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    selected: int,
    scrolled: int = 0,
    ascii_only: bool = False,
) -> Canvas:
    """Draw as many points as fit, the selected one among them, and as many columns as fit.

    Sparklines are shortened before a column is left out. ``scrolled`` leaves columns out on the
    left, as far as others then come into sight.
    """
    canvas = Canvas.blank(width, height)
    if height < 2 or width < 10:
        return canvas
    label = min(max((len(line.name) for line in lines), default=0), max(12, width // 3))
    left = label + 9  # glyph, name, share done
    share = (width - left) // max(1, len(headings))
    length = min(SPARK, max(SHORT_SPARK, share - VALUE - 3))
    cell = length + 1 + VALUE + 2
    across = min(len(headings), max(1, (width - left) // cell))
    start = min(max(0, scrolled), len(headings) - across)
    shown = range(start, start + across)
    muted, text_style = MUTED, TEXT
    canvas.write(2, 0, "point", muted)
    for at, column in enumerate(shown):
        # Over the number; a longer name reaches over the curve.
        heading = cut(headings[column], cell - 2)
        over = max(0, length + 1 - max(0, len(heading) - VALUE))
        canvas.write(left + at * cell + over, 0, heading, muted)
    before, after = ("<", ">") if ascii_only else ("◂", "▸")
    if start:
        canvas.write(left - 5, 0, f"{before} {start}"[:5], muted)
    if hidden := len(headings) - start - across:
        canvas.write(width - 5, 0, f"{hidden} {after}".rjust(5), muted)
    rows = height - 1
    first = min(max(0, selected - rows // 2), max(0, len(lines) - rows))
    for row, line in enumerate(lines[first : first + rows], start=1):
        glyph, plain, style = GLYPHS.get(line.status, GLYPHS["waiting"])
        here = first + row - 1 == selected
        lead = line.mark[:1] or (plain if ascii_only else glyph)
        canvas.write(0, row, lead, TITLE if line.mark else INDEX[style])
        canvas.write(2, row, cut(line.name, label), TITLE if here else text_style)
        if line.status == "running":
            canvas.write(label + 3, row, f"{line.progress:4.0%}", muted)
        for at, column in enumerate(shown):
            x, each = left + at * cell, line.cells[column]
            if each is None:
                canvas.write(x + length + 1, row, "–", muted)
                continue
            style_name = identity(column).variable
            canvas.write(x, row, spark(each.curve, length, ascii_only), INDEX[style_name])
            canvas.write(x + length + 1, row, each.text[:VALUE], text_style)
        if here:
            canvas.write(1, row, ">", TITLE)
    return canvas
