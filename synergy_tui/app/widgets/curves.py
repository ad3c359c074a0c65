"""Curves of a chart: what one is, its dots on a canvas, and its value at a place. No Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.canvas import Canvas, cell_dots, spans, to_cells
from synergy_tui.app.widgets.styles import INDEX

Mask = npt.NDArray[np.bool_]

APART, PERIOD = 3, 12
"""Columns between the glyphs of two curves, and between those of one curve where curves are few."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One polyline."""

    x: npt.NDArray[np.generic]  # (k,), increasing
    y: npt.NDArray[np.generic]  # (k,); a value that is not finite breaks the line
    style: str = "text"  # a name of STYLES
    faint: bool = False  # drawn beneath the others, and hidden where they pass
    glyph: str = ""  # set on the curve every few columns: tells curves apart without colour
    label: str = ""  # written beside the curve where there is room
    reads: str = ""
    """Its name beside its value at the crosshair; without one it is ``label``, and a faint curve
    is not read."""

    @property
    def name(self) -> str:
        return self.reads or ("" if self.faint else self.label)

    def reading(self, at: float) -> tuple[float, float]:
        """The newest point not after ``at`` on the x axis; NaN where there is none."""
        place = int(np.searchsorted(self.x, at, side="right")) - 1
        if place < 0:
            return math.nan, math.nan
        return float(self.x[place]), float(self.y[place])


def draw_curves(
    body: Canvas, x_axis: Axis, y_axis: Axis, curves: Sequence[Curve], ascii_only: bool
) -> tuple[list[Mask], Mask]:
    """Draw every curve.

    Returns the cells (height, width) of each, and those that hold a curve that is not faint.
    """
    across, down = cell_dots(ascii_only)
    shape = (body.height * down, body.width * across)
    strong = np.zeros(shape, dtype=bool)
    weak = np.zeros(shape, dtype=bool)
    taken = np.zeros((body.height, body.width), dtype=bool)
    masks: list[Mask] = [taken] * len(curves)
    glyphs: list[tuple[int, int, str, int]] = []
    period = max(PERIOD, APART * sum(bool(curve.glyph) for curve in curves))
    marked = 0
    for place, curve in sorted(enumerate(curves), key=lambda pair: not pair[1].faint):
        with np.errstate(over="ignore"):
            x = x_axis.place(curve.x) * (shape[1] - 1)
            y = y_axis.place(curve.y) * (shape[0] - 1)
            dots = spans(x, y, shape[1], shape[0])
        cells = dots.reshape(body.height, down, body.width, across).max(axis=(1, 3))
        masks[place] = cells
        if curve.faint:
            weak |= dots
        else:
            strong |= dots
            taken |= cells
        body.styles[cells] = INDEX[curve.style]
        if curve.glyph or (not curve.faint and np.count_nonzero(cells) == 1):
            # A dot alone in a chart would be overlooked.
            glyph = curve.glyph or ("o" if ascii_only else "•")
            glyphs += _glyph_places(cells, curve, glyph, APART * marked, period)
            marked += 1
    # A faint curve gives way in every cell that a strong one passes through: merged dots would
    # take the strong one's colour.
    characters = to_cells(strong, ascii_only)
    body.chars[...] = np.where(taken, characters, to_cells(weak, ascii_only))
    for row, column, glyph, style in glyphs:
        body.write(column, row, glyph, style)
    return masks, taken


def _glyph_places(
    cells: Mask, curve: Curve, glyph: str, shift: int, period: int
) -> list[tuple[int, int, str, int]]:
    """Where to set a glyph on a curve: so shifted that it covers no other curve's."""
    columns = np.flatnonzero(cells.any(axis=0))
    if not columns.size:
        return []
    chosen = columns[(columns - shift) % period == period // 4]
    chosen = chosen if chosen.size else columns[-1:]
    style = INDEX[curve.style]
    return [(int(np.argmax(cells[:, c])), int(c), glyph, style) for c in chosen]
