"""All keys of a screen, from the one table, and how to read the panels."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from synergy_tui import keys
from synergy_tui.widgets.frame import KeyBar

READING = """\
How soon?  A walker starts at each token and follows attention towards the sink, the last token. \
The curve is the share that has arrived after so many diffusion steps: the mean over tokens, the \
median, and the worst token. Faint curves are earlier probes of the same run. The dashed upright \
line is the mixing time under the convention that c chooses; "steps to sink" is the expected \
number of steps, exact, averaged over starts.

How clearly?  The minimax fidelity φ: of the token that is heard worst, the largest share of the \
sink's state it ever makes up. Above the grey curve, the heads together are clearer than the best \
of them alone: that is synergy. Square brackets hold 95 % intervals over the probe's inputs.

Has it learned?  Training loss, smoothed, over the raw values; the dashed line is the loss that no \
model can go below on this task.

All columns share their axes. Every number stands under the convention named in the verdict.
"""


class HelpScreen(Screen[None]):
    """Keys and reading help for the screen it was called from.

    Parameters
    ----------
    table
        Name of that screen in the table of keys.
    keymap
        The user's remapping.
    """

    BINDINGS = keys.bindings_for("help")
    DEFAULT_CSS = """
    HelpScreen VerticalScroll { padding: 1 2; }
    HelpScreen Static { width: 1fr; max-width: 100; }
    HelpScreen KeyBar { dock: bottom; }
    """

    def __init__(self, table: str, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._table = table
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll():
            yield Static(self._text())
        yield KeyBar("help")

    def _text(self) -> Text:
        text = Text()
        group = ""
        for key in keys.rows_for(self._table):
            if key.group != group:
                group = key.group
                text.append(f"\n{group}\n" if text else f"{group}\n", style="bold")
            text.append(f"  {keys.shown(key, self._keymap, every=True):<12}", style="bold")
            text.append(f"{key.help}")
            text.append(f"  {key.id}\n", style="dim")
        if self._table == "dashboard":
            text.append("\nReading the panels\n", style="bold")
            text.append(READING)
        text.append("\nYour own keys\n", style="bold")
        text.append(f'Write lines such as  "time.pause" = "p"  into {keys.keymap_path()}.\n')
        return text
