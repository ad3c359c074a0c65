"""Widgets of the frame that every screen can use: header, timeline, footer, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.message import Message
from textual.timer import Timer

from synergy_tui.app import keys
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import CanvasView
from synergy_tui.app.widgets.strips import Field, Summary, Track, strip, summary, track


class FieldStrip(CanvasView):
    """A line of fields; those with an action answer to clicks."""

    DEFAULT_CSS = "FieldStrip { height: 1; width: 1fr; }"
    gap = 2

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.fields: Sequence[Field] = ()
        self._actions: list[str] = []

    def show(self, fields: Sequence[Field]) -> None:
        self.fields = fields
        self.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        canvas, self._actions = strip(self.fields, width, self.gap)
        return canvas

    async def on_click(self, event: events.Click) -> None:
        if 0 <= event.x < len(self._actions) and self._actions[event.x]:
            await self.screen.run_action(self._actions[event.x])


class Header(FieldStrip):
    """Name of the scenario, state, step, pace."""

    DEFAULT_CSS = "Header { dock: top; height: 1; background: $panel; }"


class KeyBar(FieldStrip):
    """The footer: the keys of the screen called ``name``, made from the table of keys."""

    DEFAULT_CSS = "KeyBar { dock: bottom; height: 1; background: $panel; }"

    def __init__(self, name: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table = name
        self._hidden: frozenset[str] = frozenset()
        self._saying: Timer | None = None

    def say(self, message: str, severity: str, seconds: float) -> bool:
        """Show a message in place of the keys for some seconds; false where it does not fit."""
        if "\n" in message or len(message) + 2 > self.size.width:
            return False
        self._stop_saying()
        self.show([Field(message, "warning" if severity in ("warning", "error") else "headline")])
        self._saying = self.set_timer(seconds, self._show_keys)
        return True

    def _stop_saying(self) -> None:
        if self._saying is not None:
            self._saying.stop()
            self._saying = None

    def on_mount(self) -> None:
        """Show the keys once the app's keymap is known."""
        self.hide()

    def hide(self, *ids: str) -> None:
        self._hidden = frozenset(ids)
        if self._saying is None:
            self._show_keys()

    def _show_keys(self) -> None:
        self._stop_saying()
        keymap = getattr(self.app, "keymap", {})
        self.show(key_fields(self.table, keymap, self._hidden, self.ascii_only))


def key_fields(
    screen: str,
    keymap: Mapping[str, str],
    hidden: frozenset[str] = frozenset(),
    ascii_only: bool = False,
) -> list[Field]:
    """Footer of a screen as fields: what is less useful is left out first."""
    rows = [key for key in keys.footer_for(screen) if key.id not in hidden]

    def named(key: keys.Key) -> str:
        pair = [key, keys.BY_ID[key.pair]] if key.pair else [key]
        return " ".join(keys.shown(each, keymap, ascii_only=ascii_only) for each in pair)

    return [
        Field(
            key.label,
            style="muted",
            weight=1000 - key.footer,
            action=key.action,
            key=named(key),
        )
        for key in rows
    ]


class TimelineBar(CanvasView):
    """Where the step cursor stands in the run; a click moves it."""

    DEFAULT_CSS = "TimelineBar { dock: bottom; height: 1; }"

    class Sought(Message):
        """The timeline was clicked at a share (0..1) of the run."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._track: Track | None = None
        self._ends = (0, 0)

    def show(self, line: Track) -> None:
        self._track = line
        self.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        if self._track is None:
            return Canvas.blank(width, height)
        canvas, *ends = track(self._track, width, self.ascii_only)
        self._ends = (ends[0], ends[1])
        return canvas

    def on_click(self, event: events.Click) -> None:
        first, last = self._ends
        if first <= event.x <= last and last > first:
            self.post_message(self.Sought((event.x - first) / (last - first)))


class SummaryStrip(CanvasView):
    """The verdict in words and numbers, and trouble first."""

    DEFAULT_CSS = "SummaryStrip { height: 3; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content = Summary("", "", ())

    def show(self, content: Summary) -> None:
        self.content = content
        self.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        return summary(self.content, width, height)
