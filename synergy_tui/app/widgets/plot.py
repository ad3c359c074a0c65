"""A line chart as characters: what to draw, and the drawing. No Textual here.

:func:`draw` is a pure function of a :class:`Plot` and a size, so a test gives arrays and compares
lines of text (:func:`text`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.canvas import Canvas, cell_dots, spans, to_cells
from synergy_tui.app.widgets.styles import AXIS, CURSOR, INDEX, MUTED, TEXT, TITLE

READABLE = 60
"""Characters per line in an empty chart, at most."""

FLAT = 3
"""Rows up to which a chart gives the row of an axis that is beneath it anyway to its curves."""

WIDE, GUTTER = 30, 4
"""From this width on the y axis takes at least so many columns: charts in a column line up."""

LONGER = 48
"""Columns from which on a chart has room for the longer names of markers."""

ROOMY = 6
"""Rows from which on a chart has room for the names of its curves and for minor markers."""

_LINES = {"vertical": "│", "tick": "┤", "corner": "└", "floor": "─", "dash": "┄", "stem": "┊"}
_ASCII_LINES = {"vertical": "|", "tick": "+", "corner": "+", "floor": "-", "dash": "-", "stem": ":"}


@dataclass(frozen=True, slots=True)
class Curve:
    """One polyline."""

    x: npt.NDArray[np.generic]  # (k,), increasing
    y: npt.NDArray[np.generic]  # (k,); a value that is not finite breaks the line
    style: str = "text"  # a name of STYLES
    faint: bool = False  # drawn beneath the others, and hidden where they pass
    glyph: str = ""  # set on the curve every dozen columns: tells curves apart without colour
    label: str = ""  # written beside the curve where there is room


@dataclass(frozen=True, slots=True)
class Marker:
    """A dashed line across the chart at a value of one axis, with its name.

    One that is ``minor`` is left out of charts with less than :data:`ROOMY` rows; the ``longer``
    name is taken from :data:`LONGER` columns on.
    """

    axis: Literal["x", "y"]
    at: float
    label: str
    style: str = "marker"
    minor: bool = False
    longer: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything a chart shows."""

    x: Axis
    y: Axis
    curves: Sequence[Curve] = ()
    markers: Sequence[Marker] = ()
    cursor: float | None = None  # where the step cursor stands on the x axis
    empty: str = ""  # what to say when there is no curve; one paragraph per line
    shares_x: bool = False  # the chart beneath has the same x axis: leave it out where rows are few


@dataclass(frozen=True, slots=True)
class Bar:
    """One named value of a bar chart; ``note`` is written after the bar in place of the value."""

    name: str
    value: float
    note: str
    style: str = "text"


@dataclass(frozen=True, slots=True)
class Bars:
    """Named values as horizontal bars on the scale 0 … ``high``."""

    bars: Sequence[Bar]
    high: float


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart under a line of text."""

    title: str  # the question it answers
    detail: str  # muted, after the title; dropped when there is no room
    headline: str  # the number that answers, at the right end of the line
    plot: Plot | Bars
    short: str = ""  # title for narrow panels
    brief: str = ""  # detail for narrow panels


def draw(plot: Plot, width: int, height: int, ascii_only: bool = False) -> Canvas:
    """Draw ``plot`` into ``width`` × ``height`` cells.

    The last row is the x axis; tick labels of the y axis take the columns at the left. With less
    than 3 rows or 8 columns there is no room for axes and only the curves are drawn.
    """
    canvas = Canvas.blank(width, height)
    if width < 1 or height < 1:
        return canvas
    if not plot.curves:
        _write_empty(canvas, plot.empty)
        return canvas
    lines = _ASCII_LINES if ascii_only else _LINES
    if width < 8 or height < 3:
        body = Canvas(canvas.chars, canvas.styles)
    else:
        rows = height if plot.shares_x and height <= FLAT else height - 1
        gutter = _draw_axes(canvas, plot, lines, rows)
        body = Canvas(canvas.chars[:rows, gutter:], canvas.styles[:rows, gutter:])
    taken = _draw_curves(body, plot, ascii_only)
    _draw_markers(body, plot, taken, lines)
    return canvas


def draw_panel(
    panel: Panel, width: int, height: int, ascii_only: bool = False, selected: bool = False
) -> Canvas:
    """Draw a panel: one line of text, then its chart."""
    canvas = Canvas.blank(width, height)
    if width < 1 or height < 1:
        return canvas
    mark = (">" if ascii_only else "▸") if selected else " "
    title = panel.title if len(panel.title) + len(panel.headline) + 3 <= width else panel.short
    canvas.write(0, 0, mark, CURSOR)
    canvas.write(1, 0, title, TITLE)
    room = width - len(title) - len(panel.headline) - 4
    detail = panel.detail if len(panel.detail) < room else panel.brief or panel.detail
    if len(detail) <= room:
        canvas.write(len(title) + 3, 0, detail, MUTED)
    canvas.write(width - len(panel.headline), 0, panel.headline, INDEX["headline"])
    if height > 1:
        plot = panel.plot
        drawer = draw_bars if isinstance(plot, Bars) else draw
        chart = drawer(plot, width, height - 1, ascii_only)  # type: ignore[arg-type]
        canvas.chars[1:], canvas.styles[1:] = chart.chars, chart.styles
    return canvas


def draw_bars(chart: Bars, width: int, height: int, ascii_only: bool = False) -> Canvas:
    """Draw bars, one per row; those for which there is no row are counted in the last one."""
    canvas = Canvas.blank(width, height)
    shown = list(chart.bars)
    if len(shown) > height:
        shown = shown[: max(height - 1, 0)]
        canvas.write(1, height - 1, f"and {len(chart.bars) - len(shown)} more", MUTED)
    names = max((len(bar.name) for bar in shown), default=0)
    notes = max((len(bar.note) for bar in shown), default=0)
    room = max(width - names - notes - 3, 0)
    gap = 2 if 2 * len(shown) < height else 1
    for place, bar in enumerate(shown):
        row = place * gap + (gap - 1)
        style = INDEX[bar.style]
        share = bar.value / chart.high if chart.high > 0 and np.isfinite(bar.value) else 0.0
        eighths = round(min(max(share, 0.0), 1.0) * room * 8)
        if ascii_only:
            drawn = "#" * round(eighths / 8)
        else:
            drawn = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        canvas.write(1 + names - len(bar.name), row, bar.name, style)
        canvas.write(names + 2, row, drawn, style)
        canvas.write(names + 3 + len(drawn), row, bar.note, TEXT)
    return canvas


def text(plot: Plot, width: int, height: int, ascii_only: bool = False) -> list[str]:
    """The chart as lines of text, without colour."""
    return draw(plot, width, height, ascii_only).lines()


def _write_empty(canvas: Canvas, message: str) -> None:
    """Write what is waited for in the middle, broken into lines that fit."""
    room = max(min(canvas.width - 2, READABLE), 1)
    first, *others = [_balanced(part, room) for part in message.split("\n")]
    rows = [(row, MUTED) for row in first]
    for part in others:
        # What else is said waits until there is room for all of it, with a gap.
        if len(rows) + 1 + len(part) <= canvas.height:
            rows += [("", AXIS), *((row, AXIS) for row in part)]
    top = max((canvas.height - len(rows)) // 2, 0)
    for offset, (row, style) in enumerate(rows):
        canvas.write(max((canvas.width - len(row)) // 2, 0), top + offset, row, style)


def _balanced(text: str, width: int) -> list[str]:
    """``text`` in as few lines as it needs, of about the same length."""
    lines = textwrap.wrap(text, width)
    while width > 1 and len(shorter := textwrap.wrap(text, width - 1)) == len(lines):
        lines, width = shorter, width - 1
    return lines


def _draw_axes(canvas: Canvas, plot: Plot, lines: dict[str, str], rows: int) -> int:
    """Draw the y axis beside ``rows`` rows, and the x axis where there is a row left.

    Returns the columns that the y axis takes.
    """
    style = AXIS
    ticks = plot.y.ticks(max(2, min((rows + 1) // 2, 8)))
    gutter = max((len(label) for _, label in ticks), default=0) + 1
    if canvas.width >= WIDE:
        gutter = max(gutter, GUTTER)
    for row in range(rows):
        canvas.write(gutter - 1, row, lines["vertical"], style)
    free = set(range(rows))
    for value, label in ticks:
        row = _row(plot.y, value, rows)
        if row in free:
            free -= {row}
            canvas.write(gutter - 1 - len(label), row, label, style)
            canvas.write(gutter - 1, row, lines["tick"], style)
    if rows == canvas.height:
        return gutter
    canvas.write(gutter - 1, rows, lines["corner"], style)
    across = canvas.width - gutter
    canvas.write(gutter, rows, lines["floor"] * across, style)
    name = f" {plot.x.label}" if plot.x.label else ""
    if len(name) > across * 0.6:
        name = ""
    limit = across - len(name)
    canvas.write(gutter + limit, rows, name, style)
    end = -1
    for value, label in plot.x.ticks(max(2, across // (8 if plot.x.scale == "linear" else 6))):
        middle = round(float(plot.x.place(value)) * (across - 1))
        start = min(max(middle - len(label) // 2, 0), across - len(label))
        if start > end and start + len(label) < limit:
            canvas.write(gutter + start, rows, label, style)
            end = start + len(label)
    return gutter


def _row(axis: Axis, value: float, rows: int) -> int:
    """The row in which a value of the y axis lies; outside 0..rows-1 when it is off the chart."""
    place = float(axis.place(value))
    if not np.isfinite(place):
        return -1
    dots = rows * 4
    return rows - 1 - int(np.floor(np.rint(place * (dots - 1)) / 4))


def _draw_curves(body: Canvas, plot: Plot, ascii_only: bool) -> npt.NDArray[np.bool_]:
    """Draw every curve; return which cells hold a curve that is not faint."""
    across, down = cell_dots(ascii_only)
    shape = (body.height * down, body.width * across)
    strong = np.zeros(shape, dtype=bool)
    weak = np.zeros(shape, dtype=bool)
    taken = np.zeros((body.height, body.width), dtype=bool)
    glyphs: list[tuple[int, int, str, int]] = []
    for curve in sorted(plot.curves, key=lambda curve: not curve.faint):
        x = plot.x.place(curve.x) * (shape[1] - 1)
        y = plot.y.place(curve.y) * (shape[0] - 1)
        dots = spans(x, y, shape[1], shape[0])
        blocks = dots.reshape(body.height, down, body.width, across)
        cells: npt.NDArray[np.bool_] = blocks.max(axis=(1, 3))
        if curve.faint:
            weak |= dots
        else:
            strong |= dots
            taken |= cells
        body.styles[cells] = INDEX[curve.style]
        if curve.glyph or (not curve.faint and np.count_nonzero(cells) == 1):
            # A dot alone in a chart would be overlooked.
            point = "o" if ascii_only else "•"
            glyphs += _glyph_places(cells, curve, curve.glyph or point, len(glyphs))
    # A faint curve gives way in every cell that a strong one passes through: merged dots would
    # take the strong one's colour.
    characters = to_cells(strong, ascii_only)
    body.chars[...] = np.where(taken, characters, to_cells(weak, ascii_only))
    for row, column, glyph, style in glyphs:
        body.write(column, row, glyph, style)
    return taken


def _glyph_places(
    cells: npt.NDArray[np.bool_], curve: Curve, glyph: str, shift: int
) -> list[tuple[int, int, str, int]]:
    """Where to set a glyph on a curve: every dozen columns, shifted so that they do not collide."""
    columns = np.flatnonzero(cells.any(axis=0))
    if not columns.size:
        return []
    chosen = columns[(columns + 3 * shift) % 12 == 6]
    chosen = chosen if chosen.size else columns[-1:]
    style = INDEX[curve.style]
    return [(int(np.argmax(cells[:, c])), int(c), glyph, style) for c in chosen]


@dataclass(frozen=True, slots=True)
class _Label:
    """A name, its style, the places for it (row, column), best first, and how many cells of curves
    it may cover at most."""

    text: str
    style: int
    places: list[tuple[int, int]]
    most: int


def _draw_markers(
    body: Canvas, plot: Plot, taken: npt.NDArray[np.bool_], lines: dict[str, str]
) -> None:
    """Draw dashed lines in cells that no strong curve needs, then their labels."""
    uprights: list[_Label] = []
    levels: list[_Label] = []
    level_rows = {
        _row(plot.y, marker.at, body.height) for marker in plot.markers if marker.axis == "y"
    }
    rows = sorted(range(body.height), key=lambda row: row in level_rows)
    roomy = body.height >= ROOMY
    for marker in plot.markers:
        if marker.minor and not roomy:
            continue
        style = INDEX[marker.style]
        name = marker.longer if marker.longer and body.width >= LONGER else marker.label
        if marker.axis == "y":
            row = _row(plot.y, marker.at, body.height)
            if not 0 <= row < body.height:
                continue
            free = np.zeros_like(taken)
            free[row] = ~taken[row]
            body.fill(free, lines["dash"], style)
            right = body.width - len(name)
            places = [(r, c) for r in (row, row - 1, row + 1) for c in (right, 1, right // 2)]
            levels.append(_Label(name, style, places, len(name) // 2))
        else:
            place = float(plot.x.place(marker.at))
            if np.isnan(place) or place < 0:
                continue
            if place > 1:
                label = f"{name} {'->' if lines is _ASCII_LINES else '→'}"
                right = body.width - len(label)
                places = [(row, right) for row in rows]
                uprights.append(_Label(label, style, places, len(label)))
                continue
            column = round(place * (body.width - 1))
            free = np.zeros_like(taken)
            free[:, column] = ~taken[:, column]
            body.fill(free, lines["stem"], style)
            sides = (column + 2, column - 1 - len(name))
            places = [(row, side) for row in rows for side in sides]
            uprights.append(_Label(name, style, places, len(name)))
    # An upright's name must stand beside it; a level's has the whole width.
    labels = uprights + levels + (_curve_labels(body, plot) if roomy else [])
    if plot.cursor is not None:
        place = float(plot.x.place(plot.cursor))
        if 0 <= place <= 1:
            free = np.zeros_like(taken)
            column = round(place * (body.width - 1))
            free[:, column] = ~taken[:, column]
            body.fill(free, lines["vertical"], CURSOR)
    written = np.zeros_like(taken)
    for each in labels:
        _write_label(body, each, taken, written)


def _curve_labels(body: Canvas, plot: Plot) -> list[_Label]:
    """Labels of curves with places above and below them, from the right to the left."""
    labels = []
    for curve in plot.curves:
        if not curve.label or not len(curve.x):
            continue
        columns = np.arange(body.width - len(curve.label) - 1, 0, -3)
        placed = plot.x.place(curve.x)
        # Not farther right than just behind the curve's end: it would seem to belong elsewhere.
        columns = columns[columns <= placed[-1] * (body.width - 1) + 2]
        shares = columns / max(body.width - 1, 1)
        heights = np.interp(shares, placed, plot.y.place(curve.y))
        places = []
        for column, height in zip(columns.tolist(), heights.tolist(), strict=True):
            if np.isfinite(height):
                row = body.height - 1 - int(np.floor(height * (body.height - 0.25)))
                behind = column > placed[-1] * (body.width - 1)
                if curve.faint and not behind and body.styles[row, column] != INDEX[curve.style]:
                    continue  # it is hidden here
                places += [(row, column)] if behind else [(row - 1, column), (row + 1, column)]
        # The name of a faint curve stands back, but must be legible.
        style = INDEX["muted" if curve.faint else curve.style]
        labels.append(_Label(curve.label, style, places, len(curve.label) // 2))
    return labels


def _write_label(
    body: Canvas, label: _Label, taken: npt.NDArray[np.bool_], written: npt.NDArray[np.bool_]
) -> None:
    """Write a label at the first of the places that covers the fewest cells of curves.

    It keeps two cells from what is ``written``: two labels side by side would read as one.
    """
    size = len(label.text)
    best, least = None, label.most
    for row, column in label.places:
        if not (0 <= row < body.height and 0 <= column <= body.width - size):
            continue
        if written[row, max(column - 2, 0) : column + size + 2].any():
            continue
        covered = int(taken[row, column : column + size].sum())
        if covered < least:
            best, least = (row, column), covered
        if not covered:
            break
    if best is not None:
        row, column = best
        body.write(column, row, label.text, label.style)
        written[row, column : column + size] = True
