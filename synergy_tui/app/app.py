"""The Textual app: attaches to an experiment's log, shows it, and never computes.

A thread tails the log (`tail`); one timer redraws what is visible, at most four
times a second; keys redraw at once. Leaving the app leaves the run alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import Screen

from synergy_tui.app import alerts, clipboard, keymap, keys, terminal, themes
from synergy_tui.app.screens.base import LiveScreen
from synergy_tui.app.session import (
    Copy,
    Mark,
    Mode,
    OpenExperiment,
    OpenHeads,
    OpenInspector,
    OpenSideBySide,
    OpenStepper,
    OpenSweep,
    Session,
)
from synergy_tui.app.widgets.ascii import AsciiFilter
from synergy_tui.app.widgets.clean import CleanFilter
from synergy_tui.app.widgets.frame import KeyBar
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.words import clean_lines

if TYPE_CHECKING:
    from synergy_tui.sweep.directory import Sweep

REDRAWS_PER_SECOND = 4


class Grown(Message):
    """The log has grown; messages that wait in the queue collapse into one."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Grown)


class SynergyApp(App[None]):
    """The app on an experiment; without one, the picker over those in ``home``.

    ``opening`` makes the first screen where it is neither the picker nor a dashboard; ``keymap``
    replaces the user's ``keys.toml``; ``clock`` (seconds, monotonic) is injected by tests.
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
        self.session: Session | None = None
        self.keymap: dict[str, str] = {}
        self.marks: list[Mark] = []
        """What is marked to be compared side by side, on any screen; two at most."""
        self._first = None if experiment is None else OpenExperiment(experiment, mode)
        self._given_keymap = keymap
        self._opening = opening
        self._first_theme = (
            theme
            or os.environ.get("SYNERGY_THEME")
            or (themes.first_theme(self.console.color_system))
        )
        self._clock = clock
        self._ascii_filter = AsciiFilter()
        self._clean_filter = CleanFilter()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, what keeps text from steering the terminal, and one for ASCII."""
        filters = [*super().get_line_filters(), self._clean_filter]
        return [*filters, self._ascii_filter] if self.ascii_only else filters

    # Start and end

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.RUN_VARIABLES

    def on_mount(self) -> None:
        """Set up themes and keys, then open what was asked for."""
        for theme in themes.themes():
            self.register_theme(theme)
        known = self._first_theme in self.available_themes
        self.theme = self._first_theme if known else themes.DEFAULT
        self.set_class(self.ascii_only, "-ascii")
        self._load_keys()
        self.set_interval(1 / REDRAWS_PER_SECOND, self._tick)
        if self._opening is not None:
            self.push_screen(self._opening())
        elif self._first is None:
            self.action_picker()
        else:
            self.on_open_experiment(self._first)

    def _load_keys(self) -> None:
        """Take the user's own keys, and say what about them does not work as meant."""
        if self._given_keymap is not None:
            self.keymap = self._given_keymap
        else:
            try:
                found = keymap.load_keymap()
            except UserError as error:
                found = keymap.Keymap({}, (f"{error.message}\n{error.hint or ''}",))
            self.keymap = found.keys
            if found.warnings:
                text = "\n".join(found.warnings)
                # Once there is a screen, whose bar of keys has room for a short one.
                self.call_after_refresh(self.notify, text, severity="warning", timeout=10)
        self.set_keymap(self.keymap)

    def on_open_experiment(self, message: OpenExperiment) -> None:
        """Follow an experiment from now on, and show its dashboard."""
        from synergy_tui.app.dashboard.screen import DashboardScreen

        self._stop_reading()
        self.session = Session(
            message.experiment,
            message.mode,
            ascii_only=self.ascii_only,
            keymap=self.keymap,
            grown=lambda: self.post_message(Grown()),
            clock=self._clock,
        )
        read = self.session.tail.run
        self.run_worker(read, name="tail", group="tail", thread=True, exit_on_error=False)
        screen = DashboardScreen(self.session)
        if message.over:
            self.push_screen(screen)
            return
        while len(self.screen_stack) > 2:
            self.pop_screen()
        if len(self.screen_stack) == 2:
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def on_open_sweep(self, message: OpenSweep) -> None:
        """Show a sweep; back from it is the picker, where it was chosen."""
        from synergy_tui.app.screens.sweep import SweepScreen

        self._stop_reading()
        self.push_screen(SweepScreen(message.sweep))

    def on_open_side_by_side(self, message: OpenSideBySide) -> None:
        """Show two runs over the screen in front, to which back leads."""
        from synergy_tui.app.sidebyside.screen import SideBySideScreen

        self.push_screen(
            SideBySideScreen(message.marks, ascii_only=self.ascii_only, clock=self._clock)
        )

    def toggle_mark(self, mark: Mark) -> None:
        """Mark what is to be compared, or take its mark off; of more than two the oldest goes."""
        if mark in self.marks:
            self.marks.remove(mark)
            return
        self.marks = [*self.marks[-1:], mark]

    def _stop_reading(self) -> None:
        if self.session is not None:
            self.session.tail.stop()

    def on_unmount(self) -> None:
        self._stop_reading()

    def on_grown(self) -> None:
        """Draw the first data at once; later ones wait for the timer."""
        if self.session is not None and self.session.seen_version < 0:
            self._tick()

    def _tick(self) -> None:
        session = self.session
        if session is None or not self.screen_stack:
            return
        with session.lock:
            screen = self.screen
            changed = session.tick()
            news = ""
            if changed and session.tail.caught_up:
                news = session.alerts.news(session.state, live=session.mode == "live")
            if changed and isinstance(screen, LiveScreen) and screen.is_running:
                screen.refresh_view()
        if news:
            self.alert(news)

    def alert(self, text: str) -> None:
        """Call somebody back to the terminal, unless that is turned off."""
        if alerts.wanted() and self._driver is not None and not self.is_headless:
            self._driver.write(alerts.sequence(text))
            self._driver.flush()

    # Going places

    def action_leave(self) -> None:
        text = "" if self.session is None else self.session.farewell()
        # A command must stay one line, to be copied, however narrow the terminal is.
        farewell = Text(clean_lines(text), no_wrap=True, overflow="ignore")
        self.exit(message=farewell if text else None)

    async def action_back(self) -> None:
        """Back to the screen before; the last screen stays."""
        if len(self.screen_stack) > 2:
            self.pop_screen()

    def action_picker(self) -> None:
        from synergy_tui.app.screens.picker import PickerScreen

        self.push_screen(PickerScreen(self.home))

    def action_help(self) -> None:
        from synergy_tui.app.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(
                HelpScreen(table_name(self.screen), self.keymap, ascii_only=self.ascii_only)
            )

    def action_show_log(self) -> None:
        from synergy_tui.app.screens.log import LogScreen

        if self.session is not None:
            self.push_screen(LogScreen(self.session))

    def on_open_inspector(self, message: OpenInspector) -> None:
        from synergy_tui.app.inspector.screen import InspectorScreen

        if self.session is not None:
            self.push_screen(InspectorScreen(self.session, message.run))

    def on_open_heads(self, message: OpenHeads) -> None:
        from synergy_tui.app.dashboard.heads import HeadsScreen

        if self.session is not None:
            self.push_screen(HeadsScreen(self.session, message.run, message.layer))

    def on_open_stepper(self, message: OpenStepper) -> None:
        from synergy_tui.app.stepper.screen import StepperScreen

        if self.session is not None:
            self.push_screen(
                StepperScreen(
                    self.session,
                    message.run,
                    step=message.step,
                    layer=message.layer,
                    input=message.input,
                    source=message.source,
                )
            )

    def notify(self, message: str, **options: Any) -> None:
        """Show a short message in the bar of keys, where it covers nothing that a key changes.

        What does not fit there is shown as Textual does, without reading markup in it.
        """
        for bar in self.screen.query(KeyBar):
            if bar.say(message, options.get("severity", ""), options.get("timeout") or 4.0):
                return
        super().notify(message, **{**options, "markup": False})

    def on_copy(self, message: Copy) -> None:
        """Put text on the clipboard, and say how that went."""
        text, what = message.text, message.what
        if not text:
            self.notify(f"There is no {what} to copy yet.", severity="warning", timeout=3)
        elif clipboard.in_tmux():
            self.run_worker(lambda: self._copy_in_tmux(text, what), thread=True)
        else:
            self.copy_to_clipboard(text)
            self.notify(f"Sent the {what} to the terminal's clipboard", timeout=3)

    def _copy_in_tmux(self, text: str, what: str) -> None:
        where = clipboard.load_into_tmux(text)
        if where:
            self.call_from_thread(self.notify, f"Copied the {what} to {where}", timeout=3)
        else:
            failed = f"tmux did not take the {what}: nothing was copied"
            self.call_from_thread(self.notify, failed, severity="warning", timeout=6)

    def action_next_theme(self) -> None:
        place = themes.NAMES.index(self.theme) if self.theme in themes.NAMES else -1
        self.theme = themes.NAMES[(place + 1) % len(themes.NAMES)]
        self.notify(f"theme: {self.theme}", timeout=2)

    def set_theme(self, name: str) -> None:
        self.theme = name

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: every key of the screen, and the themes."""
        for key in keys.rows_for(table_name(screen)):
            if key.id != "app.palette":
                yield SystemCommand(
                    f"{key.label} ({keys.shown(key, self.keymap, ascii_only=self.ascii_only)})",
                    keys.filled(key.help, self.keymap, ascii_only=self.ascii_only),
                    lambda action=key.action: self.call_later(screen.run_action, action),
                )
        ours = list(themes.NAMES)
        for name in ours + sorted(set(self.available_themes) - set(ours)):
            yield SystemCommand(
                f"theme: {name}", "Use these colours", lambda name=name: self.set_theme(name)
            )


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
    """Run the app in this terminal until it is left; the exit code is not 0 after a crash."""
    return _run(lambda: SynergyApp(experiment, mode, ascii_only=ascii_only, home=home))


def open_sweep(sweep: Sweep, *, ascii_only: bool | None = None) -> int:
    """Run the app on a sweep until it is left; the sweep continues without it."""
    from synergy_tui.app.screens.sweep import SweepScreen

    code = _run(lambda: SynergyApp(opening=lambda: SweepScreen(sweep), ascii_only=ascii_only))
    if sweep.running:
        echo(
            f"The sweep continues. Come back with: synergy attach {sweep.reference}\n"
            f"                       Stop it with: synergy stop {sweep.reference}",
            err=True,
        )
    else:
        echo(
            f"Look at it again with: synergy attach {sweep.reference}\n"
            f"               Report: synergy report {sweep.reference}",
            err=True,
        )
    return code


def _run(make: Callable[[], SynergyApp]) -> int:
    terminal.require_terminal()
    terminal.follow_size()
    app = make()
    app.run()
    return int(ExitCode.RUN_FAILED if app.return_code else ExitCode.OK)
