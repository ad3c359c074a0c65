"""The Textual app: attaches to an experiment's log, shows it, and never computes.

A thread tails the log (`tail`); one timer redraws what is visible, at most four
times a second; keys redraw at once. Leaving the app leaves the run alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import Screen

from synergy_tui.app import keys, status, terminal, themes
from synergy_tui.app.screens.base import LiveScreen
from synergy_tui.app.tail import Tail
from synergy_tui.app.timeline import Timeline
from synergy_tui.app.widgets.ascii import AsciiFilter
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState

REDRAWS_PER_SECOND = 4
PACE_WINDOW = 20.0
"""Seconds of the log over which the pace is measured."""
SHORTEST_PACE = 3.0
"""Seconds that must have been watched for it; before, the pace since the start is taken."""

Mode = Literal["live", "replay"]


class Grown(Message):
    """The log has grown; messages that wait in the queue collapse into one."""

    def can_replace(self, message: Message) -> bool:
        """Take the place of another one that waits."""
        return isinstance(message, Grown)


class SynergyApp(App[None]):
    """The app.

    Parameters
    ----------
    experiment
        What to open; without one the picker is shown.
    mode
        ``replay`` calls a finished experiment a replay.
    ascii_only
        Draw with ASCII characters; by default, as the terminal needs.
    home
        Folder of experiments for the picker; see :func:`synergy_tui.files.home`.
    theme
        Name of the theme to start with.
    keymap
        The user's keys; by default read from ``keys.toml``.
    clock
        Seconds, monotonic; injected by tests.
    opening
        Makes the first screen, where it is neither the picker nor a dashboard.
    """

    CSS_PATH = "app.tcss"
    TITLE = "Synergy"
    BINDINGS: ClassVar[list[BindingType]] = []
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        experiment: Experiment | None = None,
        mode: Mode = "live",
        *,
        ascii_only: bool | None = None,
        home: str | Path | None = None,
        theme: str | None = None,
        keymap: dict[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        opening: Callable[[], Screen[None]] | None = None,
    ) -> None:
        if not terminal.has_colour():
            os.environ.setdefault("NO_COLOR", "1")
        super().__init__()
        self.animation_level = "none"
        self.ascii_only = terminal.prefers_ascii() if ascii_only is None else ascii_only
        self.home = home
        self.experiment = experiment
        self.mode: Mode = mode
        self.timeline = Timeline()
        self.tail: Tail | None = None
        self.keymap: dict[str, str] = {}
        self._given_keymap = keymap
        self._opening = opening
        self._first_theme = theme or os.environ.get("SYNERGY_THEME") or themes.DEFAULT
        self._clock = clock
        self._ticked_at = clock()
        self._seen_version = -1
        self._told = ("", 0)
        self._progress: deque[tuple[float, int]] = deque()
        self._ascii_filter = AsciiFilter()
        self._no_state = ExperimentState()
        self._no_lock = threading.Lock()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, and one for terminals without braille and boxes."""
        filters = list(super().get_line_filters())
        return [*filters, self._ascii_filter] if self.ascii_only else filters

    # Start and end

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Run colours for themes that define none."""
        return themes.RUN_VARIABLES

    def on_mount(self) -> None:
        """Set up themes and keys, then open what was asked for."""
        for theme in themes.themes():
            self.register_theme(theme)
        known = self._first_theme in self.available_themes
        self.theme = self._first_theme if known else themes.DEFAULT
        self.set_class(self.ascii_only, "-ascii")
        try:
            given = self._given_keymap
            self.keymap = keys.load_keymap() if given is None else given
            self.set_keymap(self.keymap)
        except UserError as error:
            self.notify(f"{error.message}\n{error.hint or ''}", severity="warning", timeout=15)
        self.set_interval(1 / REDRAWS_PER_SECOND, self._tick)
        if self._opening is not None:
            self.push_screen(self._opening())
        elif self.experiment is None:
            self.action_picker()
        else:
            self.open_experiment(self.experiment, self.mode)

    def open_experiment(
        self, experiment: Experiment, mode: Mode = "live", *, over: bool = False
    ) -> None:
        """Follow ``experiment`` from now on, and show its dashboard.

        ``over`` keeps the screen that is in front, to come back to; else all are left.
        """
        from synergy_tui.app.dashboard.screen import DashboardScreen

        self._stop_tail()
        self.experiment, self.mode = experiment, mode
        self.timeline = Timeline()
        self._progress.clear()
        self._seen_version = -1
        self.tail = Tail(experiment, grown=self._tell_grown, clock=self._clock)
        self.run_worker(self.tail.run, name="tail", group="tail", thread=True, exit_on_error=False)
        screen = DashboardScreen(experiment, self.tail.state, self.timeline)
        if over:
            self.push_screen(screen)
            return
        while len(self.screen_stack) > 2:
            self.pop_screen()
        if len(self.screen_stack) == 2:
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def _tell_grown(self) -> None:
        """In the tail's thread: wake the app."""
        self.post_message(Grown())

    def _stop_tail(self) -> None:
        if self.tail is not None:
            self.tail.stop()

    def on_unmount(self) -> None:
        """Let the reading thread end."""
        self._stop_tail()

    def farewell(self) -> str:
        """What is said after leaving: whether something goes on, and how to come back."""
        if self.experiment is None or self.tail is None:
            return ""
        name = self.experiment.id
        if self.tail.condition in ("running", "new"):
            return (
                f"The run goes on. Come back with: synergy attach {name}\n"
                f"                    Stop it with: synergy stop {name}"
            )
        if self.tail.condition in ("dead", "stopped"):
            return (
                f"Go on with the run: synergy resume {name}\n"
                f"   Look at it again: synergy replay {name}"
            )
        return f"Look at it again with: synergy replay {name}"

    # Redrawing

    @property
    def state(self) -> ExperimentState:
        """What the log says so far."""
        return self._no_state if self.tail is None else self.tail.state

    @property
    def state_lock(self) -> threading.Lock:
        """Held while somebody reads or changes :attr:`state`."""
        return self._no_lock if self.tail is None else self.tail.lock

    @property
    def status(self) -> status.Status:
        """The experiment's state as one word, and what to do about it."""
        if self.tail is None:
            return status.Status("", "pill-quiet")
        return status.status_of(
            self.tail.state,
            self.tail.condition,
            self.timeline,
            silent_for=self.tail.silent_for,
            replay=self.mode == "replay",
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the experiment started; a live one's clock runs between events too."""
        if self.tail is None:
            return 0.0
        live = self.state.live and self.tail.condition == "running"
        return self.state.elapsed + (self.tail.silent_for if live else 0.0)

    def on_grown(self) -> None:
        """Draw the first data at once; later ones wait for the timer."""
        if self._seen_version < 0:
            self._tick()

    def _tick(self) -> None:
        now = self._clock()
        passed, self._ticked_at = now - self._ticked_at, now
        tail = self.tail
        if tail is None or not self.screen_stack:
            return
        with tail.lock:
            version = tail.version
            grown = version != self._seen_version
            if grown:
                self._seen_version = version
                self._observe(tail.state)
            moved = self.timeline.advance(passed)
            told = (self.status.word, int(self.elapsed))
            screen = self.screen
            if (grown or moved or told != self._told) and isinstance(screen, LiveScreen):
                if not screen.is_running:
                    return
                self._told = told
                screen.refresh_view()

    def _observe(self, state: ExperimentState) -> None:
        """Tell the timeline what there is now, and how fast it comes."""
        stops = (probe.step for run in state.runs.values() for probe in run.probes)
        progress = self._progress
        progress.append((state.elapsed, state.step))
        while len(progress) > 2 and progress[-1][0] - progress[0][0] > PACE_WINDOW:
            progress.popleft()
        seconds = progress[-1][0] - progress[0][0]
        steps = progress[-1][1] - progress[0][1]
        if not state.live or seconds < SHORTEST_PACE or steps <= 0:
            seconds, steps = state.elapsed, state.step
        self.timeline.observe(state.step, stops, steps / seconds if seconds > 0 else None)

    # Going places

    def action_leave(self) -> None:
        """Leave, saying what goes on."""
        text = self.farewell()
        self.exit(message=Text(text) if text else None)

    async def action_back(self) -> None:
        """Back to the screen before; the last screen stays."""
        if len(self.screen_stack) > 2:
            self.pop_screen()

    def action_picker(self) -> None:
        """Choose a scenario or an experiment."""
        from synergy_tui.app.screens.picker import PickerScreen

        self.push_screen(PickerScreen(self.home))

    def action_help(self) -> None:
        """Show every key of the screen, and how to read the panels."""
        from synergy_tui.app.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(table_name(self.screen), self.keymap))

    def action_show_log(self) -> None:
        """Show warnings, errors and the worker's log."""
        from synergy_tui.app.screens.log import LogScreen

        if self.experiment is not None:
            self.push_screen(LogScreen(self.experiment, self.state))

    def action_next_theme(self) -> None:
        """Go to the next of our themes."""
        place = themes.NAMES.index(self.theme) if self.theme in themes.NAMES else -1
        self.theme = themes.NAMES[(place + 1) % len(themes.NAMES)]
        self.notify(f"theme: {self.theme}", timeout=2)

    def set_theme(self, name: str) -> None:
        """Use the theme called ``name``."""
        self.theme = name

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: every key of the screen, and the themes."""
        for key in keys.rows_for(table_name(screen)):
            if key.id != "app.palette":
                yield SystemCommand(
                    f"{key.label} ({keys.shown(key, self.keymap)})",
                    key.help,
                    lambda action=key.action: self.call_later(screen.run_action, action),
                )
        ours = list(themes.NAMES)
        for name in ours + sorted(set(self.available_themes) - set(ours)):
            yield SystemCommand(
                f"theme: {name}", "Use these colours", lambda name=name: self.set_theme(name)
            )

    # Taking things away

    def export_screen(self, name: str, table: str | None = None) -> None:
        """Write the screen as SVG, and ``table`` as CSV, into the experiment's ``exports`` folder.

        Parameters
        ----------
        name
            Beginning of the file names; the step is added.
        table
            Contents of the CSV file.
        """
        if self.experiment is None:
            return
        folder = self.experiment.path / "exports"
        stem = folder / f"{name}-step-{self.timeline.step}"
        title = f"Synergy · {self.state.title or self.experiment.id}"
        try:
            folder.mkdir(exist_ok=True)
            files = [stem.with_suffix(".svg")]
            files[0].write_text(self.export_screenshot(title=title), encoding="utf-8")
            if table is not None:
                files.append(stem.with_suffix(".csv"))
                files[1].write_text(table, encoding="utf-8")
        except OSError as error:
            self.notify(f"Could not write: {error}", severity="error", timeout=10)
            return
        names = " and ".join(file.name for file in files)
        self.notify(f"Wrote {names} in {folder}", timeout=8)


def table_name(screen: Screen[Any]) -> str:
    """The name under which a screen stands in the table of keys: ``HelpScreen`` is ``help``."""
    return type(screen).__name__.removesuffix("Screen").lower()


def open_app(
    experiment: Experiment | None = None,
    mode: Mode = "live",
    *,
    ascii_only: bool | None = None,
    home: str | Path | None = None,
) -> int:
    """Run the app in this terminal until it is left.

    Returns
    -------
    int
        Exit code for the shell; not 0 after a crash of the app.

    Raises
    ------
    UserError
        There is no terminal, or it cannot be drawn on.
    """
    terminal.require_terminal()
    terminal.follow_size()
    app = SynergyApp(experiment, mode, ascii_only=ascii_only, home=home)
    app.run()
    return app.return_code or 0
