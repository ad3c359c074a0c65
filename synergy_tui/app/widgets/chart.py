"""The chart widget: a `plot.Panel`, redrawn only where it changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from synergy_tui.app.themes import chart_styles
from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.bars import Bars
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.crosshair import nearest, neighbour
from synergy_tui.app.widgets.plot import Panel, Plot, body_of, draw_panel
from synergy_tui.app.widgets.styles import STYLES

_newest: tuple[str, list[Style]] | None = None
"""The theme last drawn with, and its styles: all widgets share them."""

_NOTHING = Panel("", "", "", Plot(Axis(0, 1), Axis(0, 1)))


def strip_of(canvas: Canvas, row: int, styles: Sequence[Style]) -> Strip:
    """One row of a canvas as a strip: a segment for each stretch of one style."""
    line = canvas.chars[row].astype("<u4").tobytes().decode("utf-32-le")
    numbers = canvas.styles[row]
    edges = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), len(line)]
    segments = [
        Segment(line[start:stop], styles[numbers[start]])
        for start, stop in zip(starts, stops, strict=True)
        if stop > start
    ]
    return Strip(segments, len(line))


class CanvasView(Widget):
    """Shows a canvas and sends the terminal only the stretches that changed.

    A subclass gives :meth:`paint` and calls :meth:`repaint` when what it shows may have changed.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._canvas: Canvas | None = None
        self._strips: dict[int, Strip] = {}
        self._styles: Sequence[Style] = ()

    def paint(self, width: int, height: int) -> Canvas:
        """Draw what the widget shows; styles are positions in :meth:`make_styles`."""
        raise NotImplementedError

    def make_styles(self) -> Sequence[Style]:
        """The styles that the canvas refers to; asked again when the theme changes."""
        global _newest
        app = self.app
        if _newest is None or _newest[0] != app.theme:
            _newest = (app.theme, chart_styles(app.theme_variables, STYLES))
        behind = Style(bgcolor=self.background_colors[1].rich_color)
        return [behind + style for style in _newest[1]]

    @property
    def ascii_only(self) -> bool:
        """Whether the terminal is to be given ASCII only."""
        return bool(getattr(self.app, "ascii_only", False))

    def repaint(self) -> None:
        """Draw again and refresh the parts that differ from what is on the screen."""
        size = self.size
        if not (self.is_attached and self.display and size.width and size.height):
            self._canvas = None
            return
        old, new = self._canvas, self.paint(size.width, size.height)
        self._canvas = new
        if old is None or old.chars.shape != new.chars.shape:
            self._strips.clear()
            self.refresh()
            return
        differs = (old.chars != new.chars) | (old.styles != new.styles)
        regions = []
        for row in np.flatnonzero(differs.any(axis=1)).tolist():
            columns = np.flatnonzero(differs[row])
            first, last = int(columns[0]), int(columns[-1])
            regions.append(Region(first, row, last - first + 1, 1))
            self._strips.pop(row, None)
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        size = self.size
        if self._canvas is None or self._canvas.chars.shape != (size.height, size.width):
            self._canvas = self.paint(size.width, size.height)
            self._strips.clear()
        if y >= self._canvas.height:
            return Strip.blank(size.width)
        strip = self._strips.get(y)
        if strip is None:
            if not self._styles:
                self._styles = self.make_styles()
            strip = self._strips[y] = strip_of(self._canvas, y, self._styles)
        return strip

    def notify_style_update(self) -> None:
        """Forget cached styles when the theme changes."""
        super().notify_style_update()
        self._styles = ()
        self._strips.clear()


class Chart(CanvasView):
    """One panel of the dashboard; ``selected`` where the keys act on it."""

    DEFAULT_CSS = "Chart { height: 1fr; width: 1fr; }"
    selected: reactive[bool] = reactive(False)

    class Picked(Message):
        """The panel was clicked; twice maximises it.

        ``at`` is the point of a curve nearest to the click, if that was in the chart.
        """

        def __init__(self, chart: Chart, times: int, at: float | None) -> None:
            super().__init__()
            self.chart = chart
            self.times = times
            self.at = at

    class Aimed(Message):
        """The mouse is over a point of a curve, at ``at`` on the x axis, or over none."""

        def __init__(self, chart: Chart, at: float | None) -> None:
            super().__init__()
            self.chart = chart
            self.at = at

        def can_replace(self, message: Message) -> bool:
            # Drawing takes longer than the mouse needs for the next cell.
            return isinstance(message, Chart.Aimed)

    class Scrolled(Message):
        """The wheel was turned over a chart: ``closer`` or farther."""

        def __init__(self, chart: Chart, closer: bool) -> None:
            super().__init__()
            self.chart = chart
            self.closer = closer

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.panel = _NOTHING
        self._aimed: float | None = None

    def show(self, panel: Panel) -> None:
        self.panel = panel
        self.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        return draw_panel(self.panel, width, height, self.ascii_only, self.selected)

    def watch_selected(self) -> None:
        self.repaint()

    def aim(self, column: int) -> float | None:
        """The x of the point of a curve nearest to a column of the widget, if there is one."""
        plot = self.panel.plot
        if isinstance(plot, Bars):
            return None
        left, _ = body_of(plot, self.size.width, self.size.height - 1)
        share = (column - left) / max(self.size.width - left - 1, 1)
        return nearest(plot.curves, plot.x, share) if 0 <= share <= 1 else None

    def next_to(self, at: float | None, by: int) -> float | None:
        """The point at least ``by`` columns from that at ``at``; without one, the last point."""
        plot = self.panel.plot
        if isinstance(plot, Bars):
            return None
        left, _ = body_of(plot, self.size.width, self.size.height - 1)
        if at is None:
            return nearest(plot.curves, plot.x, 1.0)
        return neighbour(plot.curves, plot.x, at, by, max(self.size.width - left - 1, 1))

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Picked(self, event.chain, self.aim(event.x) if event.y else None))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._aim_at(self.aim(event.x))

    def on_leave(self) -> None:
        self._aim_at(None)

    def _aim_at(self, at: float | None) -> None:
        if at != self._aimed:
            self._aimed = at
            self.post_message(self.Aimed(self, at))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Scrolled(self, closer=True))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Scrolled(self, closer=False))
