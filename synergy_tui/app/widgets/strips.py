"""The one-line strips of the frame: header, timeline, footer; and the verdict. Pure drawing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.styles import AXIS, CURSOR, INDEX, MUTED, TEXT, TITLE
from synergy_tui.words import cut

SHORTEST = 24
"""A field that shrinks keeps at least this many characters."""


@dataclass(frozen=True, slots=True)
class Field:
    """A piece of a strip."""

    text: str
    style: str = "text"
    weight: int = 0  # the lightest is left out first where there is no room; 0 never is
    right: bool = False  # stands at the right end
    action: str = ""  # of the screen, on a click
    shrinks: bool = False  # is cut short before anything is left out
    key: str = ""  # stands before the text: the key that does what the text says

    @property
    def width(self) -> int:
        """Cells that it takes, without the gap to the next one."""
        return len(self.key) + bool(self.key) + len(self.text)


def strip(fields: Sequence[Field], width: int, gap: int = 2) -> tuple[Canvas, list[str]]:
    """Lay fields out on one row, leaving out the lightest until the rest fits.

    Also returns the action of each cell, or an empty string.
    """
    canvas = Canvas.blank(width, 1)
    actions = [""] * max(width, 0)
    kept = [field for field in fields if field.text]

    def needed() -> int:
        return sum(field.width + gap for field in kept) - gap + 2

    def shorten() -> None:
        over = needed() - width
        for place, field in enumerate(kept):
            if over > 0 and field.shrinks and len(field.text) > SHORTEST:
                room = max(len(field.text) - over, SHORTEST)
                over -= len(field.text) - room
                kept[place] = replace(field, text=cut(field.text, room))

    shorten()
    while kept and needed() > width:
        optional = [field for field in kept if field.weight]
        if not optional:
            break
        kept.remove(min(optional, key=lambda field: field.weight))

    def put(field: Field, x: int) -> None:
        canvas.write(x, 0, field.key, TITLE)
        canvas.write(x + field.width - len(field.text), 0, field.text, INDEX[field.style])
        for cell in range(max(x, 0), min(x + field.width, width)):
            actions[cell] = field.action

    x = 1
    for field in kept:
        if not field.right:
            put(field, x)
            x += field.width + gap
    x = width - 1
    for field in reversed(kept):
        if field.right:
            x -= field.width
            put(field, x)
            x -= gap
    return canvas, actions


@dataclass(frozen=True, slots=True)
class Track:
    """What the timeline draws."""

    step: int
    last: int
    total: int
    stops: npt.NDArray[np.int64]  # (k,) steps that have a probe
    lead: str  # stands at the left, if anything
    lead_style: str
    tail: str  # stands at the right


def track(line: Track, width: int, ascii_only: bool = False) -> tuple[Canvas, int, int]:
    """Draw the timeline on one row; also returns the columns of step 0 and of the last step."""
    canvas = Canvas.blank(width, 1)
    canvas.write(1, 0, line.lead, INDEX[line.lead_style])
    first = len(line.lead) + 3 if line.lead else 1
    last = width - len(line.tail) - 3
    canvas.write(width - len(line.tail) - 1, 0, line.tail, TEXT)
    if last - first < 4:
        return canvas, first, first
    dash, done, probe, knob = "-=+O" if ascii_only else "┄━┿◉"
    total = max(line.total, line.last, 1)

    def column(step: float) -> int:
        return first + round(step / total * (last - first))

    canvas.write(first, 0, dash * (last - first + 1), AXIS)
    canvas.write(first, 0, done * (column(line.last) - first + 1), MUTED)
    places = sorted({column(int(stop)) for stop in line.stops})
    if len(places) * 2 < last - first:
        for place in places:
            canvas.write(place, 0, probe, MUTED)
    canvas.write(column(line.step), 0, knob, CURSOR)
    return canvas, first, last


_LEAD = " verdict  "
SPACIOUS = 90
"""From this width on what follows the verdict's first line stands beneath its beginning."""
_Row = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: its text and style."""

    text: str
    style: str = "text"


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands beneath the panels."""

    alert: str  # trouble and what to do about it, first and unmissable
    line: str  # what is compared
    notes: Sequence[str]  # conventions and details; shown as far as there is room
    table: Sequence[Sequence[Cell]] = ()
    """Its first row names the columns, most important first; shown when all rows fit."""
    failed: Sequence[str] = ()  # what was expected and does not hold
    board: Sequence[Sequence[Cell]] = ()
    """A row for each claim: sign, name, ratio, and then what there may be room for."""


BOARD_NEEDS = 3
"""Cells of a claim that are always shown."""


def summary_height(content: Summary, width: int, most: int) -> int:
    """Rows that the summary would like to have, at most ``most``.

    Without room for the table of runs, only the verdict and its convention count; without room
    for a row for each claim, claims share rows.
    """
    convention, *others = _note_rows(content, width) or [[]]
    brief = len(_fitted(content, width, most)) + len(convention)
    enough = brief + len(_table(content.table, width))
    full = enough + sum(map(len, others))
    return min(full, most) if enough <= most else min(brief, most)


def _indent(width: int) -> int:
    """Where what follows the first line begins: under it, or at the edge of a narrow terminal."""
    return len(_LEAD) if width >= SPACIOUS else 1


def _note_rows(content: Summary, width: int) -> list[list[_Row]]:
    indent = _indent(width)
    return [
        [
            [(" " * indent, "muted"), (line, "muted")]
            for line in textwrap.wrap(note, max(width - indent - 1, 10))
        ]
        for note in content.notes
    ]


def _fitted(content: Summary, width: int, most: int) -> list[_Row]:
    """The verdict with a row for each claim or, where these do not fit, with claims in a flow."""
    rows = _verdict_rows(content, width)
    convention = (_note_rows(content, width) or [[]])[0]
    if len(rows) + len(convention) <= most or not content.board:
        return rows
    return _verdict_rows(content, width, flowing=True)


def _verdict_rows(content: Summary, width: int, *, flowing: bool = False) -> list[_Row]:
    """The alert, what is compared, the claims, and what contradicts expectations."""
    lead = _LEAD
    rows: list[_Row] = []
    if content.alert:
        for line in textwrap.wrap(content.alert, max(width - 4, 10)):
            rows.append([(" ! " if not rows else "   ", "error"), (line, "error")])
    first, *others = textwrap.wrap(
        content.line,
        max(width - 1, len(lead) + 10),
        initial_indent=lead,
        subsequent_indent=" " * _indent(width),
    ) or [lead]
    shown = cut(content.line, width - len(lead) - 1) if flowing else first[len(lead) :]
    rows.append([(lead, "title"), (shown, "text")])
    rows += [] if flowing else [[(line, "text")] for line in others]
    rows += _flow(content.board, width) if flowing else _board(content.board, width)
    indent = " " * _indent(width)
    for each in content.failed:
        for line in textwrap.wrap(each, max(width - len(indent) - 1, 10)):
            rows.append([(indent, "text"), (line, "warning")])
    return rows


def _board(board: Sequence[Sequence[Cell]], room: int) -> list[_Row]:
    """A row for each claim; cells without room are left out from the last column."""
    if not board:
        return []
    widths = [max(len(row[place].text) for row in board) for place in range(len(board[0]))]
    while len(widths) > BOARD_NEEDS and sum(width + 2 for width in widths) + 2 > room:
        widths.pop()
    laid = []
    for row in board:
        line: _Row = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=False)):
            # The ratio stands to the right, all words to the left.
            text = cell.text.rjust(width) if place == BOARD_NEEDS - 1 else cell.text.ljust(width)
            line.append((f"  {text}", cell.style))
        laid.append(line)
    return laid


def _flow(board: Sequence[Sequence[Cell]], room: int) -> list[_Row]:
    """Signs, names and ratios, as many in a row as there is room for."""
    rows: list[_Row] = []
    x = room
    for sign, name, ratio, *_ in board:
        width = len(sign.text) + len(name.text) + len(ratio.text) + 4
        if x + width > room:
            rows.append([])
            x = 0
        rows[-1] += [(f" {sign.text}", sign.style), (f" {name.text}", name.style)]
        rows[-1] += [(f" {ratio.text} ", ratio.style)]
        x += width
    return rows


def summary(content: Summary, width: int, height: int) -> Canvas:
    """Draw the alert, the verdict, the table when it fits, and the notes there is room for."""
    canvas = Canvas.blank(width, height)
    rows = _fitted(content, width, height)
    convention, *others = _note_rows(content, width) or [[]]
    table = _table(content.table, width)
    fits = len(rows) + len(convention) + len(table) <= height
    if len(rows) >= height > 1 and convention and not content.alert:
        # No number without its convention: the verdict is cut, not what it is measured by.
        rows = _cut(rows, height - 1, width)
    rows += convention
    if fits:
        rows += table
    rows = _cut(rows, height, width)
    for note in others:
        if len(rows) + len(note) > height:
            break
        rows += note
    for y, row in enumerate(rows):
        x = 0
        for text, style in row:
            canvas.write(x, y, text, INDEX[style])
            x += len(text)
    return canvas


def _cut(rows: list[_Row], most: int, width: int) -> list[_Row]:
    """The first rows; the last one says where more would follow."""
    if len(rows) <= most or most < 1:
        return rows
    *kept, last = rows[:most]
    *before, (text, style) = last
    room = width - sum(len(each) for each, _ in before) - 3
    return [*kept, [*before, (f"{text[: max(room, 0)].rstrip()} …", style)]]


def _table(table: Sequence[Sequence[Cell]], room: int) -> list[list[tuple[str, str]]]:
    """Rows of a table with aligned columns: the first column to the left, numbers to the right.

    Columns without room are left out from the last; without any column there is no table.
    """
    if not table:
        return []
    widths = [max(len(row[place].text) for row in table) for place in range(len(table[0]))]
    indent = _indent(room)
    while len(widths) > 1 and indent + sum(width + 3 for width in widths) - 3 > room - 1:
        widths.pop()
    if len(widths) == 1:
        return []
    laid = []
    for row in table:
        line = [(" " * indent + row[0].text.ljust(widths[0]), row[0].style)]
        line += [
            ("   " + cell.text.rjust(width), cell.style)
            for cell, width in zip(row[1:], widths[1:], strict=False)
        ]
        laid.append(line)
    return laid
