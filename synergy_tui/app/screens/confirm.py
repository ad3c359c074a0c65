"""A question before something cannot be undone: what would be lost, yes or no."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from synergy_tui.app import keys
from synergy_tui.app.widgets.frame import KeyBar


class ConfirmScreen(ModalScreen[bool]):
    """Asks; dismissed with whether the answer was yes. Everything but yes is no."""

    BINDINGS = keys.bindings_for("confirm")
    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; }
    ConfirmScreen #question {
        width: 72; max-width: 94%; height: auto; max-height: 90%; padding: 1 2;
        background: $panel; border: round $warning;
    }
    ConfirmScreen.-ascii-screen #question { border: ascii $foreground; }
    ConfirmScreen Static { width: 1fr; }
    ConfirmScreen KeyBar { dock: none; margin: 1 0 0 0; }
    """

    def __init__(self, question: str, consequences: str) -> None:
        super().__init__()
        self._question = question
        self._consequences = consequences

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(
                Content.assemble((f"{self._question}\n\n", "bold"), self._consequences),
                markup=False,
            )
            yield KeyBar("confirm")

    def on_mount(self) -> None:
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "-ascii-screen")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
