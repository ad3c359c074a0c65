"""What happened when: warnings, ends of runs, expectations, and the worker's own log."""

from __future__ import annotations

import os

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from synergy_tui import words
from synergy_tui.app import keys
from synergy_tui.app.screens.base import LiveScreen, ReadingScreen
from synergy_tui.app.session import Session
from synergy_tui.app.widgets.filter import FilterBar, matches
from synergy_tui.app.widgets.frame import KeyBar
from synergy_tui.files import open_own

WORKER_BYTES = 32 * 1024
"""How much of the end of the worker's log is shown."""


class LogScreen(LiveScreen, ReadingScreen):
    """Messages of the experiment, the newest last."""

    BINDINGS = keys.bindings_for("log")
    DEFAULT_CSS = """
    LogScreen VerticalScroll { padding: 1 2; }
    LogScreen Static { width: 1fr; }
    LogScreen KeyBar { dock: bottom; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._worker_log = ""

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(id="messages")
        yield FilterBar()
        yield KeyBar("log")

    def on_mount(self) -> None:
        self.run_worker(self._read, thread=True, exit_on_error=False)

    def _read(self) -> None:
        try:
            descriptor = open_own(self.session.experiment.log_path, os.O_RDONLY)
            with os.fdopen(descriptor, "rb") as file:
                file.seek(max(0, file.seek(0, 2) - WORKER_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            text = "(none: the run has no worker of its own)"
        except OSError as error:
            text = f"(no worker log: {error.strerror})"
        self.app.call_from_thread(self._show_worker_log, text)

    def _show_worker_log(self, text: str) -> None:
        self._worker_log = text.strip()
        self.update_now()

    def refresh_view(self) -> None:
        state, text = self.state, Text()
        text.append(f"{state.title or self.session.experiment.id}\n", style="bold")
        text.append(f"{self.session.experiment.path}\n\n", style="dim")
        if trouble := self.session.status.trouble:
            text.append(f"{trouble}\n\n", style="bold red")
        text.append("Warnings\n", style="bold")
        for when, run, message in state.warnings:
            text.append(f"  {words.clock(when):>8}  ", style="dim")
            text.append(f"{run + ': ' if run else ''}{message}\n", style="yellow")
        if not state.warnings:
            text.append("  none\n", style="dim")
        text.append("\nRuns\n", style="bold")
        for each in state.runs.values():
            reason = f": {each.reason}" if each.reason else ""
            text.append(f"  {each.name} {each.status} at step {each.step:,}{reason}\n")
        if state.expectations:
            text.append("\nExpectations\n", style="bold")
            for event in state.expectations:
                holds = bool(event.get("holds"))
                style = "" if holds else "bold red"
                text.append(f"  {'holds' if holds else 'FAILS':<6}{event['that']}\n", style=style)
        garbled = self.session.tail.garbled
        if garbled:
            text.append(f"\n{garbled} lines of the event log could not be read.\n", style="yellow")
        text.append("\nWorker's log\n", style="bold")
        text.append(self._worker_log or "  empty", style="dim")
        if query := self.query_text:
            lines = text.split("\n")
            found = [line for line in lines if matches(query, line.plain)]
            self.filter_bar.count(len(found), len(lines))
            text = Text("\n").join(found)
        self.query_one("#messages", Static).update(text)

    def on_filter_bar_sought(self) -> None:
        self.update_now()
