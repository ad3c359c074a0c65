"""A list of rows in sections, with a cursor; columns without room are left out.

:func:`draw_listing` is pure: sections in, a canvas out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
FEWEST = 3
"""Lines that a section needs; with less only that of the selected row is shown."""


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


def _shares(sections: Sequence[Section], height: int) -> list[int]:
    """Lines for the rows of each section: equal parts, and what one leaves for those before."""
    wanted = [max(len(section.rows), 1) for section in sections]
    room = height - 2 * len(sections) + 1  # a heading each, and a blank line between them
    shares = [min(each, max(room // len(sections), 1)) for each in wanted]
    for place, each in enumerate(wanted):
        shares[place] += max(min(each - shares[place], room - sum(shares)), 0)
    return shares


def _laid(
    sections: Sequence[Section], height: int, selected: str
) -> Iterator[tuple[Section, int, Sequence[Row]]]:
    """Each section with its rows that are shown, the selected one among them, from which on."""
    chosen = [any(row.key == selected for row in section.rows) for section in sections]
    if height < FEWEST * len(sections) and any(chosen):
        sections = [sections[chosen.index(True)]]
    for section, share in zip(sections, _shares(sections, height), strict=True):
        rows = section.rows
        at = next((place for place, row in enumerate(rows) if row.key == selected), 0)
        first = min(max(0, at - share // 2), max(0, len(rows) - share))
        yield section, first, rows[first : first + share]


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
    """Draw as many rows of each section as fit, and how many are out of sight.

    Also returns the line of the selected row (-1 for none) and each line's key (or "").
    """
    canvas = Canvas.blank(width, height)
    keys = [""] * height
    y = 0
    for section, first, rows in _laid(sections, height, selected):
        layout = fitted(section, width - 2)
        names = [Cell(column.name, "muted") for column in section.columns]
        _draw_row(canvas, y, section, names, layout)
        canvas.write(0, y, section.title, TITLE)
        hidden = out_of_sight(first, len(section.rows) - first - len(rows), ascii_only)
        if y < height and (canvas.chars[y, max(width - len(hidden) - 2, 0) :] == ord(" ")).all():
            canvas.write(width - len(hidden), y, hidden, MUTED)
        if not rows:
            canvas.write(2, y + 1, cut(section.empty, width - 2), MUTED)
        for row in rows:
            y += 1
            _draw_row(canvas, y, section, row.cells, layout, chosen=row.key == selected)
            if y < height:
                keys[y] = row.key
        y += 2 if rows else 3
    return canvas, keys.index(selected) if selected in keys and selected else -1, keys


def _draw_row(
    canvas: Canvas,
    y: int,
    section: Section,
    cells: Sequence[Cell],
    layout: dict[int, int],
    *,
    chosen: bool = False,
) -> None:
    x = 2
    for place, size in layout.items():
        cell = cells[place]
        text = cut(cell.text, size)
        text = text.rjust(size) if section.columns[place].right else text
        canvas.write(x, y, text, TITLE if chosen and cell.style == "text" else INDEX[cell.style])
        x += size + GAP
    if chosen:
        canvas.write(0, y, ">", TITLE)


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
