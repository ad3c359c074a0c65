"""Widgets of the inspector and the stepper: canvases with shades and head colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual import events
from textual.message import Message

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import CanvasView
from synergy_tui.app.widgets.shading import Mode, Palette
from synergy_tui.app.widgets.styles import INDEX

if TYPE_CHECKING:
    from textual.app import App

Paint = Callable[[int, int, Mode], Canvas]
"""Draws a panel: width, height and mode in, canvas out."""


def shading_mode(app: App[object]) -> Mode:
    """How this terminal can show a shade: colours need more than sixteen of them."""
    if getattr(app, "ascii_only", False):
        return "ascii"
    few = app.console.color_system in (None, "standard", "windows")
    return "shades" if app.no_color or app.current_theme.ansi or few else "blocks"


def with_shades(view: CanvasView, named: Sequence[Style]) -> Palette:
    """The styles of a view (``named``) and those of heads and shades, in the app's theme."""
    theme = view.app.current_theme
    return Palette(
        named,
        dark=theme.dark,
        ansi=theme.ansi,
        background=None if theme.ansi else view.rich_style.bgcolor,
        few=view.app.console.color_system == "256",
    )


class ShadedPanel(CanvasView):
    """A framed panel that paints what it is given; a click asks the screen to select ``number``."""

    DEFAULT_CSS = """
    ShadedPanel { border: round $foreground 25%; border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%; padding: 0; }
    ShadedPanel.-selected { border: round $accent; border-title-color: $accent;
        border-title-style: bold; }
    .-ascii ShadedPanel { border: ascii $foreground 40%; }
    .-ascii ShadedPanel.-selected { border: ascii $accent; }
    """

    class Pointed(Message):
        """A cell of the panel was clicked (-1, -1: its frame)."""

        def __init__(self, panel: ShadedPanel, x: int, y: int, times: int) -> None:
            super().__init__()
            self.panel = panel
            self.x = x
            self.y = y
            self.times = times

    def __init__(self, number: int, *, id: str) -> None:
        super().__init__(id=id)
        self.number = number
        self._paint: Paint | None = None

    def show(self, paint: Paint, title: str, subtitle: str = "") -> None:
        """Show what ``paint`` draws from now on, under a title."""
        self._paint = paint
        # Titles are markup for Textual, and brackets in a run's name are not.
        self.border_title = title.replace("[", "\\[")
        self.border_subtitle = subtitle.replace("[", "\\[")
        self.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        if self._paint is None:
            return Canvas.blank(width, height)
        return self._paint(width, height, shading_mode(cast("App[object]", self.app)))

    def make_styles(self) -> Sequence[Style]:
        return with_shades(self, super().make_styles())

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        x, y = (-1, -1) if place is None else (place.x, place.y)
        self.post_message(self.Pointed(self, x, y, event.chain))


def say(text: str, style: str = "muted") -> Paint:
    """Paint a sentence in the middle of a panel."""
    import textwrap

    def paint(width: int, height: int, mode: Mode) -> Canvas:
        canvas = Canvas.blank(width, height)
        lines = textwrap.wrap(text, max(width - 2, 8))
        for row, line in enumerate(lines, start=max((height - len(lines)) // 2, 0)):
            canvas.write(max((width - len(line)) // 2, 0), row, line, INDEX[style])
        return canvas

    return paint
