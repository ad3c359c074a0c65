"""One line to filter a list by what is typed: wherever a list is, with the same keys."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


def matches(query: str, *texts: str) -> bool:
    """Whether every word of ``query`` is in one of the texts, in any case."""
    texts = tuple(text.casefold() for text in texts)
    return all(any(word in text for text in texts) for word in query.casefold().split())


class _Line(Input):
    """What is typed; enter keeps it and returns to the list, escape drops it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.end_filter(False)", show=False),
        Binding("enter", "screen.end_filter(True)", show=False),
        Binding("down", "screen.cursor(1)", show=False),
        Binding("up", "screen.cursor(-1)", show=False),
    ]


class FilterBar(Horizontal):
    """The line, hidden until it is opened, shown for as long as it filters.

    Its screen draws its list by :attr:`query_text` when :class:`Sought` arrives, and mixes in
    :class:`Filtering` for the keys.
    """

    DEFAULT_CSS = """
    FilterBar { height: 1; width: 1fr; display: none; background: $panel; }
    FilterBar Static { width: auto; padding: 0 0 0 1; }
    FilterBar #found { padding: 0 1; color: $foreground 60%; }
    FilterBar Input, FilterBar Input:focus {
        width: 1fr; height: 1; border: none; padding: 0; background: $panel;
    }
    """

    class Sought(Message):
        """What is typed has changed."""

    def __init__(self) -> None:
        super().__init__()
        self._line = _Line(compact=True, select_on_focus=False)
        self._line.cursor_blink = False
        self._found = Static(id="found", markup=False)

    @property
    def query_text(self) -> str:
        """What is typed."""
        return self._line.value

    def count(self, shown: int, total: int) -> None:
        """Say how many of all are shown."""
        if self._found.is_mounted:
            self._found.update(f"{shown} of {total}")

    async def open(self) -> None:
        """Show the line; its parts are made when they are first needed."""
        self.display = True
        if not self.children:
            await self.mount(Static("/", markup=False), self._line, self._found)
        self._line.focus()

    def end(self, *, keep: bool) -> None:
        """Return to the list; without ``keep``, to all of it."""
        if not keep:
            self._line.value = ""
        self.display = bool(self._line.value)
        self.screen.set_focus(None)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Sought())


class Filtering:
    """The keys of a filter, for a screen that composes a :class:`FilterBar`."""

    async def action_filter(self) -> None:
        await self.filter_bar.open()

    def action_end_filter(self, keep: bool) -> None:
        self.filter_bar.end(keep=keep)

    @property
    def filter_bar(self) -> FilterBar:
        return self.query_one(FilterBar)  # type: ignore[attr-defined]

    @property
    def query_text(self) -> str:
        """What the list is filtered by."""
        return self.filter_bar.query_text

    def unfiltered(self) -> bool:
        """Show everything again; false where nothing was hidden."""
        if not self.query_text:
            return False
        self.filter_bar.end(keep=False)
        return True
