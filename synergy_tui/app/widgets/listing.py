"""A list of rows in sections, with a cursor; columns without room are left out.

:func:`draw_listing` is pure: sections in, a canvas out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.message import Message
from textual.strip import Strip

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import CanvasView
from synergy_tui.app.widgets.strips import Cell
from synergy_tui.app.widgets.styles import INDEX, MUTED, TITLE
from synergy_tui.words import cut, out_of_sight

GAP = 2
SHORTEST = 12
"""Characters to which a column is cut, at least, before another one is left out for it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the lightest is left out first where there is no room; weight 0 never is."""

    name: str
    weight: int = 0
    right: bool = False  # numbers stand to the right
    shrinks: bool = False  # is cut before others are left out


@dataclass(frozen=True, slots=True)
class Row:
    """A line that can be chosen, by its ``key``."""

    key: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a heading, or why there are none."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    empty: str = ""


def _lines(sections: Sequence[Section]) -> list[tuple[Section, Row | None] | None]:
    """Headings (without a row), rows, and blank lines."""
    lines: list[tuple[Section, Row | None] | None] = []
    for section in sections:
        lines += [None] if lines else []
        lines.append((section, None))
        lines += [(section, row) for row in section.rows]
        lines += [] if section.rows else [None]
    return lines


def _window(total: int, here: int, height: int) -> int:
    """The first line to be shown, so that ``here`` is in sight with lines around it."""
    return min(max(0, here - height // 2), max(0, total - height))


def fitted(section: Section, width: int) -> dict[int, int]:
    """Place → width of the columns there is room for."""
    columns = section.columns
    widths = {
        place: max(
            [len(column.name), *(len(row.cells[place].text) for row in section.rows)], default=0
        )
        for place, column in enumerate(columns)
    }

    def over() -> int:
        return sum(size + GAP for size in widths.values()) - GAP - width

    for place, column in enumerate(columns):
        if column.shrinks and over() > 0:
            widths[place] = max(min(widths[place], SHORTEST), widths[place] - over())
    while over() > 0:
        optional = [place for place in widths if columns[place].weight]
        if not optional:
            break
        del widths[min(optional, key=lambda place: columns[place].weight)]
    room = -over()
    for place, column in enumerate(columns):
        if column.shrinks and place in widths and room > 0:
            # What was cut for a column that did not fit after all is given back.
            most = max(len(row.cells[place].text) for row in section.rows) if section.rows else 0
            more = min(room, max(0, most - widths[place]))
            widths[place] += more
            room -= more
    return widths


def draw_listing(
    sections: Sequence[Section], width: int, height: int, selected: str, ascii_only: bool = False
) -> tuple[Canvas, int, list[str]]:
    """Draw as many lines as fit, the selected row among them, and how many rows are out of sight.

    Also returns the line of the selected row (-1 for none) and each line's key (or "").
    """
    canvas = Canvas.blank(width, height)
    lines = _lines(sections)
    at = {line[1].key: place for place, line in enumerate(lines) if line and line[1]}
    here = at.get(selected, -1)
    first = _window(len(lines), max(here, 0), height)
    seen = lines[first : first + height]
    covered = bool(seen and seen[0] is not None and seen[0][1] is not None and first != here)
    if covered and seen[0] is not None:
        seen[0] = (seen[0][0], None)  # its heading stays in sight
    layouts = {id(section): fitted(section, width - 2) for section in sections}
    keys = []
    for y, line in enumerate(seen):
        section, row = line or (None, None)
        keys.append(row.key if row else "")
        if section is None:
            continue
        x = 2
        for place, size in layouts[id(section)].items():
            column = section.columns[place]
            if row is None:
                if column.name:
                    text = column.name.rjust(size) if column.right else column.name
                    canvas.write(x, y, text, MUTED)
            else:
                cell = row.cells[place]
                text = cut(cell.text, size)
                style = TITLE if row.key == selected and cell.style == "text" else INDEX[cell.style]
                canvas.write(x, y, text.rjust(size) if column.right else text, style)
            x += size + GAP
        if row is None:
            canvas.write(0, y, section.title, TITLE)
            if not section.rows and y + 1 < height:
                canvas.write(2, y + 1, cut(section.empty, width - 2), MUTED)
        elif row.key == selected:
            canvas.write(0, y, ">", TITLE)
    above, below = (
        sum(line is not None and line[1] is not None for line in part)
        for part in (lines[:first], lines[first + height :])
    )
    hidden = out_of_sight(above + covered, below, ascii_only)
    room = width - len(hidden) - 2
    if height and (canvas.chars[0, max(room, 0) :] == ord(" ")).all():
        canvas.write(room + 2, 0, hidden, MUTED)
    return canvas, here - first if here >= 0 else -1, keys


class Listing(CanvasView):
    """Shows sections; keys, clicks and the wheel move its cursor."""

    DEFAULT_CSS = "Listing { height: 1fr; width: 1fr; padding: 0 1; }"

    class Moved(Message):
        """Another row is selected."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Listing.Moved)

    class Chosen(Message):
        """The selected row was clicked twice."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.sections: Sequence[Section] = ()
        self.selected = ""
        self._line = -1
        self._keys: list[str] = []

    @property
    def rows(self) -> list[Row]:
        return [row for section in self.sections for row in section.rows]

    @property
    def section(self) -> Section | None:
        """The one that the selected row is in."""
        for section in self.sections:
            if any(row.key == self.selected for row in section.rows):
                return section
        return None

    def show(self, sections: Sequence[Section]) -> None:
        """Show these; the cursor stays on its row, or where that row was."""
        before = [row.key for row in self.rows]
        self.sections = sections
        keys = [row.key for row in self.rows]
        if self.selected not in keys:
            place = before.index(self.selected) if self.selected in before else 0
            self.selected = keys[min(place, len(keys) - 1)] if keys else ""
            self.post_message(self.Moved())
        self.repaint()

    def move(self, by: int) -> None:
        """Select the row so many further down, as far as there are rows."""
        keys = [row.key for row in self.rows]
        if keys:
            place = keys.index(self.selected) if self.selected in keys else 0
            self.select(keys[min(max(0, place + by), len(keys) - 1)])

    def next_section(self) -> None:
        """Select the first row of the next section that has any."""
        filled = [section for section in self.sections if section.rows]
        here = [self.selected in (row.key for row in section.rows) for section in filled]
        if filled:
            place = here.index(True) if True in here else -1
            self.select(filled[(place + 1) % len(filled)].rows[0].key)

    def select(self, key: str) -> None:
        if key != self.selected:
            self.selected = key
            self.post_message(self.Moved())
            self.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        before = self._line
        canvas, self._line, self._keys = draw_listing(
            self.sections, width, height, self.selected, self.ascii_only
        )
        for line in {before, self._line} - {-1}:
            self._strips.pop(line, None)
            self.refresh_line(line)
        return canvas

    def refresh_line(self, y: int) -> None:
        """Send a line again whose background has changed, though not its text."""
        from textual.geometry import Region

        self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if y != self._line:
            return strip
        variables = self.app.theme_variables
        primary = Color.parse(variables["primary"])
        if primary.ansi is not None:
            bar = Style(reverse=True)
        else:
            back = Color.parse(variables["background"])
            bar = Style(bgcolor=back.blend(primary, 0.3).rich_color)
        return Strip(
            [Segment(each.text, (each.style or Style()) + bar) for each in strip],
            strip.cell_length,
        )

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and offset.y < len(self._keys) and self._keys[offset.y]:
            self.select(self._keys[offset.y])
            if event.chain == 2:
                self.post_message(self.Chosen())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-3)
