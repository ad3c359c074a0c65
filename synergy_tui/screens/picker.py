"""Where to begin: the scenarios that can be run, and the experiments that were."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from synergy_tui import keys, library
from synergy_tui.errors import UserError
from synergy_tui.experiment import Experiment, list_experiments, summary
from synergy_tui.widgets.frame import Header, KeyBar
from synergy_tui.widgets.strips import Field

MOST = 200
"""How many of the newest experiments are listed."""
NARROW = 76

_STYLES = {
    "running": ("●", "green"),
    "finished": ("✓", "green"),
    "failed": ("✗", "red"),
    "stopped": ("■", "yellow"),
    "dead": ("?", "red"),
    "new": ("…", "dim"),
}
_ASCII = {"running": "o", "finished": "+", "failed": "x", "stopped": "#", "dead": "?", "new": "."}


class PickerScreen(Screen[None]):
    """A list of scenarios and experiments, and what is known of the one under the cursor.

    Parameters
    ----------
    home
        Folder of the experiments.
    """

    BINDINGS = keys.bindings_for("picker")
    DEFAULT_CSS = """
    PickerScreen #list { width: 2fr; border: none; padding: 0 1; background: $background; }
    PickerScreen #about { width: 3fr; padding: 1 2; border-left: solid $foreground 20%; }
    PickerScreen.-narrow #about { display: none; }
    PickerScreen.-narrow #list { width: 1fr; }
    PickerScreen.-ascii-screen #about { border-left: ascii $foreground; }
    """

    def __init__(self, home: str | Path | None = None) -> None:
        super().__init__()
        self._home = home
        self._entries: dict[str, library.Entry] = {}
        self._found: dict[str, dict[str, Any]] = {}
        self._problem = ""
        self._starting = False

    def compose(self) -> ComposeResult:
        """The list at the left, the details at the right."""
        yield Header()
        with Horizontal():
            yield OptionList(id="list", markup=False)
            with VerticalScroll(id="about", can_focus=False):
                yield Static(id="details", markup=False)
        yield KeyBar("picker")

    def on_mount(self) -> None:
        """Begin to look."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "-ascii-screen")
        self.query_one(Header).show(
            [Field("Synergy", "title"), Field("what shall we look at?", "muted", weight=1)]
        )
        self.query_one("#details", Static).update("Looking for scenarios and experiments …")
        self.action_reload()

    def on_resize(self, event: events.Resize) -> None:
        """Drop the details in narrow terminals."""
        self.set_class(event.size.width < NARROW, "-narrow")

    def action_reload(self) -> None:
        """Look again, off the event loop."""
        self.run_worker(self._look, thread=True, exclusive=True, exit_on_error=False)

    def _look(self) -> None:
        entries = library.scenarios()
        problem = ""
        try:
            found = list_experiments(self._home)[-MOST:]
        except UserError as error:
            found, problem = [], error.message
        told = [summary(experiment) for experiment in reversed(found)]
        self.app.call_from_thread(self._show, entries, told, problem)

    def _show(self, entries: list[library.Entry], told: list[dict[str, Any]], problem: str) -> None:
        self._entries = {f"scenario:{entry.path}": entry for entry in entries}
        self._found = {f"experiment:{each['path']}": each for each in told}
        self._problem = problem
        listed = self.query_one("#list", OptionList)
        kept = listed.highlighted
        listed.clear_options()
        listed.add_option(Option(Text("SCENARIOS", style="bold dim"), disabled=True))
        for name, entry in self._entries.items():
            style = "" if not entry.problem else "red"
            listed.add_option(Option(Text(f"  {entry.path.stem}", style=style), id=name))
        if not entries:
            listed.add_option(Option(Text("  none in ./scenarios", style="dim"), disabled=True))
        listed.add_option(Option(Text("EXPERIMENTS", style="bold dim"), disabled=True))
        for name, each in self._found.items():
            listed.add_option(Option(self._line(each), id=name))
        if not told:
            nothing = problem or "none yet: choose a scenario above"
            listed.add_option(Option(Text(f"  {nothing}", style="dim"), disabled=True))
        listed.highlighted = kept if kept else 1
        listed.focus()

    def _line(self, each: dict[str, Any]) -> Text:
        glyph, style = _STYLES.get(each["state"], ("?", ""))
        if getattr(self.app, "ascii_only", False):
            glyph = _ASCII.get(each["state"], "?")
        line = Text()
        line.append(f"{glyph} ", style=style)
        line.append(f"{each['scenario']}  ")
        line.append(age(each["started"]), style="dim")
        return line

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show what is known of the line under the cursor."""
        self.query_one("#details", Static).update(self._about(event.option_id or ""))

    def _about(self, name: str) -> Text:
        text = Text()
        if name in self._entries:
            entry = self._entries[name]
            text.append(f"{entry.title}\n\n", style="bold")
            if entry.problem:
                text.append(f"{entry.path}: {entry.problem}\n", style="red")
                return text
            if entry.description:
                text.append(f"{entry.description}\n\n")
            if entry.runs:
                text.append(f"runs   {', '.join(entry.runs)}\n")
            if entry.sweep:
                text.append("a sweep of many experiments: synergy sweep runs it\n")
            text.append(f"file   {entry.path}\n", style="dim")
            if not entry.sweep:
                text.append("\nenter runs it; it goes on when you leave.\n", style="dim")
        elif name in self._found:
            each = self._found[name]
            text.append(f"{each['scenario']}\n\n", style="bold")
            if each.get("verdict"):
                text.append(f"{each['verdict']}\n\n")
            glyph, style = _STYLES.get(each["state"], ("?", ""))
            del glyph
            text.append(f"state    {each['state']}\n", style=style)
            text.append(f"started  {age(each['started'])}\n")
            text.append(f"id       {each['id']}\n", style="dim")
            text.append(f"folder   {each['path']}\n", style="dim")
            if each["state"] == "dead":
                text.append(f"\nIts worker is gone. Go on with: synergy resume {each['id']}\n")
        return text

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Run or open the chosen line."""
        self._open(event.option_id or "")

    def action_open(self) -> None:
        """Run or open the line under the cursor."""
        listed = self.query_one("#list", OptionList)
        if listed.highlighted is not None:
            self._open(listed.get_option_at_index(listed.highlighted).id or "")

    def action_cursor_down(self) -> None:
        """Go a line down."""
        self.query_one("#list", OptionList).action_cursor_down()

    def action_cursor_up(self) -> None:
        """Go a line up."""
        self.query_one("#list", OptionList).action_cursor_up()

    def _open(self, name: str) -> None:
        if name in self._found:
            state = self._found[name]["state"]
            self._follow(Experiment(self._found[name]["path"]), state)
        elif name in self._entries and not self._starting:
            entry = self._entries[name]
            if entry.sweep:
                self.notify(f"A sweep is run by: synergy sweep {entry.path}", timeout=8)
                return
            self._starting = True
            self.query_one("#details", Static).update(f"Starting {entry.title} …")
            self.run_worker(
                lambda: self._start(entry.path), thread=True, exit_on_error=False, group="start"
            )

    def _start(self, path: Path) -> None:
        """Make the experiment and start its worker: reading and forking, off the event loop."""
        from synergy_tui.experiment import create_experiment
        from synergy_tui.launch import launch
        from synergy_tui.scenario import load_scenario

        try:
            experiment = create_experiment(load_scenario(path), self._home)
            launch(experiment)
        except UserError as error:
            self.app.call_from_thread(self._refuse, error)
            return
        self.app.call_from_thread(self._follow, experiment, "running")

    def _refuse(self, error: UserError) -> None:
        self._starting = False
        text = Text(error.message, style="red")
        if error.hint:
            text.append(f"\n\n{error.hint}", style="default")
        self.query_one("#details", Static).update(text)
        if self.has_class("-narrow"):
            self.notify(error.message, severity="error", timeout=15)

    def _follow(self, experiment: Experiment, state: str) -> None:
        from synergy_tui.app import SynergyApp

        assert isinstance(self.app, SynergyApp)
        self._starting = False
        live = state in ("running", "new")
        self.app.open_experiment(experiment, "live" if live else "replay")


def age(started: str, now: datetime.datetime | None = None) -> str:
    """How long ago a moment (ISO 8601) was, for a person."""
    from synergy_tui.presentation import ago

    try:
        then = datetime.datetime.fromisoformat(started)
    except ValueError:
        return ""
    now = datetime.datetime.now(datetime.UTC) if now is None else now
    return f"{ago((now - then).total_seconds())} ago"
