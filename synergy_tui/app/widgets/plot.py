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

from synergy_tui.app.widgets.ascii import to_ascii
from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.bars import Bar, Bars, draw_bars
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.crosshair import Crosshair, draw_box, has_box, one_line, read
from synergy_tui.app.widgets.curves import Curve, Mask, draw_curves
from synergy_tui.app.widgets.labels import Board, Label
from synergy_tui.app.widgets.styles import AXIS, CURSOR, INDEX, MUTED, TITLE

__all__ = [
    "Axis", "Bar", "Bars", "Crosshair", "Curve", "Marker", "Panel", "Plot",
    "body_of", "draw", "draw_bars", "draw_panel", "text",
]  # fmt: skip

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

LOG = "log"
"""How a logarithmic axis is named."""

_LINES = {"vertical": "│", "tick": "┤", "corner": "└", "floor": "─", "dash": "┄", "stem": "┊"}
_ASCII_LINES = {"vertical": "|", "tick": "+", "corner": "+", "floor": "-", "dash": "-", "stem": ":"}


@dataclass(frozen=True, slots=True)
class Marker:
    """A dashed line across the chart at a value of one axis, with its name.

    One that is ``minor`` is left out of charts with less than :data:`ROOMY` rows; the ``longer``
    name is taken from :data:`LONGER` columns on, where there is a place for it.
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
    crosshair: Crosshair | None = None


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

    The last row is the x axis, from 3 rows on; tick labels of the y axis take the columns at the
    left, from 2 rows and 8 columns on. With less only the curves are drawn.
    """
    return _drawn(plot, width, height, ascii_only)[0]


def _drawn(plot: Plot, width: int, height: int, ascii_only: bool) -> tuple[Canvas, list[str]]:
    """The chart, and the names of upright lines that found no place in it."""
    canvas = Canvas.blank(width, height)
    if width < 1 or height < 1:
        return canvas, []
    if not plot.curves:
        _write_empty(canvas, plot.empty)
        return canvas, []
    left, rows = body_of(plot, width, height)
    if left:
        _draw_axes(canvas, plot, ascii_only, left, rows)
    body = Canvas(canvas.chars[:rows, left:], canvas.styles[:rows, left:])
    cells, taken = draw_curves(body, plot.x, plot.y, plot.curves, ascii_only)
    return canvas, _draw_markers(body, plot, cells, taken, ascii_only)


def body_of(plot: Plot, width: int, height: int) -> tuple[int, int]:
    """Columns that the y axis takes at the left of the curves, and rows of the curves."""
    if width < 8 or height < 2:
        return 0, height
    rows = height if height < 3 or (plot.shares_x and height <= FLAT) else height - 1
    gutter = max((len(label) for _, label in _y_ticks(plot, rows)), default=0) + 1
    return max(gutter, GUTTER) if width >= WIDE else gutter, rows


def _y_ticks(plot: Plot, rows: int) -> tuple[tuple[float, str], ...]:
    return plot.y.ticks(max(2, min((rows + 1) // 2, 8)))


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
    headline = to_ascii(panel.headline) if ascii_only else panel.headline
    plot = panel.plot
    aim = None if isinstance(plot, Bars) else plot.crosshair
    if aim is not None and not isinstance(plot, Bars) and height > 1:
        readings, rows = read(plot.curves, aim), body_of(plot, width, height - 1)[1]
        if not has_box(aim, readings, rows):
            headline = one_line(readings, aim, width - len(title) - 3)
    unnamed: list[str] = []
    if height > 1:
        if isinstance(plot, Bars):
            chart = draw_bars(plot, width, height - 1, ascii_only)
        else:
            chart, unnamed = _drawn(plot, width, height - 1, ascii_only)
        canvas.chars[1:], canvas.styles[1:] = chart.chars, chart.styles
    title, detail = _heading(panel, title, [] if aim else unnamed, width - len(headline) - 4)
    canvas.write(1, 0, title, TITLE)
    canvas.write(len(title) + 3, 0, detail, MUTED)
    canvas.write(width - len(headline), 0, headline, INDEX["headline"])
    return canvas


def _heading(panel: Panel, title: str, unnamed: Sequence[str], room: int) -> tuple[str, str]:
    """Title and detail in ``room`` characters.

    What a line in the chart is comes first as a detail where it has no name beside it.
    """
    for name in unnamed:
        for each in (title, panel.short):
            if each and len(each) + len(name) <= room:
                return each, name
    room -= len(title)
    detail = panel.detail if len(panel.detail) < room else panel.brief or panel.detail
    return title, detail if len(detail) <= room else ""


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


def _draw_axes(canvas: Canvas, plot: Plot, ascii_only: bool, gutter: int, rows: int) -> None:
    """Draw the y axis beside ``rows`` rows, and the x axis where there is a row left."""
    lines = _ASCII_LINES if ascii_only else _LINES
    canvas.chars[:rows, gutter - 1] = ord(lines["vertical"])
    canvas.styles[:rows, gutter - 1] = AXIS
    free = set(range(rows))
    for value, label in _y_ticks(plot, rows):
        row = _row(plot.y, value, rows)
        if row in free:
            free -= {row}
            canvas.write(gutter - 1 - len(label), row, label, AXIS)
            canvas.write(gutter - 1, row, lines["tick"], AXIS)
    if plot.y.logarithmic and gutter > len(LOG):
        # Beneath the axis; where there is nothing beneath it, between its numbers.
        row = rows if rows < canvas.height else max(free, default=-1)
        canvas.write(gutter - 1 - len(LOG), row, LOG, AXIS)
    if rows == canvas.height:
        return
    canvas.write(gutter - 1, rows, lines["corner"], AXIS)
    across = canvas.width - gutter
    canvas.write(gutter, rows, lines["floor"] * across, AXIS)
    name, labels = _x_labels(plot.x, across)
    canvas.write(gutter + across - len(name), rows, name, AXIS)
    for start, label in labels:
        canvas.write(gutter + start, rows, label, AXIS)


def _x_labels(axis: Axis, across: int) -> tuple[str, list[tuple[int, str]]]:
    """The longest name of the x axis that leaves room for two numbers, and those (column, text)."""
    mark = f", {LOG}" if axis.logarithmic else ""
    placed: list[tuple[int, str]] = []
    for name in (f" {axis.label}{mark}", f" {axis.short}{mark}", ""):
        if not name.strip(" ,"):
            continue
        for apart in (8, 6, 4):
            placed = _spaced(axis, across, across - len(name), across // apart)
            if len(placed) > 1:
                return name, placed
    return "", _spaced(axis, across, across, across // 8)


def _spaced(axis: Axis, across: int, limit: int, most: int) -> list[tuple[int, str]]:
    """Numbers under an axis of so many columns, apart from one another and before ``limit``."""
    placed: list[tuple[int, str]] = []
    end = -1
    for value, label in axis.ticks(max(2, most)):
        middle = round(axis.spot(value) * (across - 1))
        start = min(max(middle - len(label) // 2, 0), across - len(label))
        if start > end and start + len(label) <= limit:
            placed.append((start, label))
            end = start + len(label)
    return placed


def _row(axis: Axis, value: float, rows: int) -> int:
    """The row in which a value of the y axis lies; outside 0..rows-1 when it is off the chart."""
    place = axis.spot(value)
    if np.isnan(place):
        return -1
    dots = rows * 4
    return rows - 1 - int(np.floor(np.rint(place * (dots - 1)) / 4))


def _draw_markers(
    body: Canvas, plot: Plot, cells: list[Mask], taken: Mask, ascii_only: bool
) -> list[str]:
    """Draw dashed lines in cells that no strong curve needs, then the crosshair and all names.

    Returns the names of upright lines, but for minor ones, for which there was no place.
    """
    board = Board(body, cells)
    lines = _ASCII_LINES if ascii_only else _LINES
    uprights: list[tuple[list[Label], bool]] = []
    levels: list[list[Label]] = []
    shown = [marker for marker in plot.markers if body.height >= ROOMY or not marker.minor]
    flat = {_row(plot.y, marker.at, body.height) for marker in shown if marker.axis == "y"}
    rows = sorted(range(body.height), key=lambda row: row in flat)
    for marker in shown:
        long = [marker.longer] if marker.longer and body.width >= LONGER else []
        style, names = INDEX[marker.style], []
        for name in (*long, marker.label):
            if marker.axis == "y":
                names += _level(body, plot.y, marker, name, style, taken, lines)
            else:
                names += _upright(body, plot.x, marker, name, style, taken, lines, rows)
        if marker.axis == "y":
            levels.append(names)
        else:
            uprights.append((names, marker.minor))
    if plot.cursor is not None:
        _vertical(body, plot.x, plot.cursor, taken, lines["vertical"])
    if plot.crosshair is not None:
        column = _vertical(body, plot.x, plot.crosshair.at, taken, lines["vertical"])
        readings = read(plot.curves, plot.crosshair)
        if column is not None and has_box(plot.crosshair, readings, body.height):
            draw_box(body, board, readings, plot.crosshair, column, taken)
    # An upright's name must stand beside it; a level's has the whole width.
    unnamed = [
        names[-1].text
        for names, minor in uprights
        if names and not any(board.write(each) for each in names) and not minor
    ]
    for names in levels:
        any(board.write(each) for each in names)
    if body.height >= ROOMY:
        for each in _curve_labels(body, plot):
            board.write(each)
    return unnamed


def _vertical(body: Canvas, axis: Axis, at: float, taken: Mask, line: str) -> int | None:
    """Draw the upright line of a cursor; its column, if it is on the chart."""
    place = axis.spot(at)
    if not 0 <= place <= 1:
        return None
    column = round(place * (body.width - 1))
    free = np.zeros_like(taken)
    free[:, column] = ~taken[:, column]
    body.fill(free, line, CURSOR)
    return column


def _level(
    body: Canvas, axis: Axis, marker: Marker, name: str, style: int, taken: Mask,
    lines: dict[str, str],
) -> list[Label]:  # fmt: skip
    """Draw a marker of the y axis; its label."""
    row = _row(axis, marker.at, body.height)
    if axis.scale == "log" and marker.at <= 0:
        # It has no place on the axis: its name points to where it would be.
        name, row = f"{name} {'v' if lines is _ASCII_LINES else '↓'}", body.height - 1
    elif 0 <= row < body.height:
        free = np.zeros_like(taken)
        free[row] = ~taken[row]
        body.fill(free, lines["dash"], style)
    else:
        return []
    right = body.width - len(name)
    columns = [right, 1, *range(right - 3, 1, -3)]
    return [Label(name, style, [(r, c) for r in (row, row - 1, row + 1) for c in columns])]


def _upright(
    body: Canvas, axis: Axis, marker: Marker, name: str, style: int, taken: Mask,
    lines: dict[str, str], rows: Sequence[int],
) -> list[Label]:  # fmt: skip
    """Draw a marker of the x axis; its label, in one of ``rows``."""
    place = axis.spot(marker.at)
    if np.isnan(place) or place < 0:
        return []
    if place > 1:
        name = f"{name} {'->' if lines is _ASCII_LINES else '→'}"
        return [Label(name, style, [(row, body.width - len(name)) for row in rows])]
    column = round(place * (body.width - 1))
    free = np.zeros_like(taken)
    free[:, column] = ~taken[:, column]
    body.fill(free, lines["stem"], style)
    sides = (column + 2, column - 1 - len(name))
    return [Label(name, style, [(row, side) for row in rows for side in sides])]


def _curve_labels(body: Canvas, plot: Plot) -> list[Label]:
    """Labels of curves with places above and below them, from the right to the left."""
    labels = []
    for own, curve in enumerate(plot.curves):
        if not curve.label or not len(curve.x):
            continue
        name = f"{curve.glyph} {curve.label}".strip()
        columns = np.arange(body.width - len(name) - 1, 0, -2)
        placed = plot.x.place(curve.x)
        end = placed[-1] * (body.width - 1)
        # Not farther right than just behind the curve's end: it would seem to belong elsewhere.
        columns = columns[columns <= end + 2]
        shares = columns / max(body.width - 1, 1)
        heights = np.interp(shares, placed, plot.y.place(curve.y))
        places, inside = [], []
        for column, height in zip(columns.tolist(), heights.tolist(), strict=True):
            if 0 <= height <= 1:
                row = body.height - 1 - int(np.floor(height * (body.height - 0.25)))
                behind = column > end
                row = max(row, 0)
                if curve.faint and not behind and body.styles[row, column] != INDEX[curve.style]:
                    continue  # it is hidden here
                near = [(row, column)] if behind else [(row - 1, column), (row + 1, column)]
                places += near
                inside += [] if behind else [(row, column)]
        # The name of a faint curve stands back, but must be legible.
        style = INDEX["muted" if curve.faint else curve.style]
        labels.append(Label(name, style, places + inside, own, marked=bool(curve.glyph)))
    return labels
