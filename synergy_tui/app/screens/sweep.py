"""A sweep from above: every point with its state, a sparkline and a number for each run."""

from __future__ import annotations

import threading

from textual.app import ComposeResult
from textual.events import Click
from textual.screen import Screen
from textual.worker import get_current_worker

from synergy_tui.app import keys
from synergy_tui.app.session import Mode, OpenExperiment
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import CanvasView
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar
from synergy_tui.app.widgets.grid import MEASURES, Line, draw_grid
from synergy_tui.app.widgets.strips import Field
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.overview import Overview
from synergy_tui.words import duration

LOOK_SECONDS = 0.5


class SweepGrid(CanvasView):
    """The points of a sweep."""

    DEFAULT_CSS = "SweepGrid { height: 1fr; width: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.lines: list[Line] = []
        self.selected = 0
        self.scrolled = 0

    def paint(self, width: int, height: int) -> Canvas:
        return draw_grid(
            self.headings,
            self.lines,
            width,
            height,
            selected=self.selected,
            scrolled=self.scrolled,
            ascii_only=self.ascii_only,
        )

    def on_click(self, event: Click) -> None:
        rows = self.size.height - 1
        first = min(max(0, self.selected - rows // 2), max(0, len(self.lines) - rows))
        row = first + event.y - 1
        if event.y >= 1 and row < len(self.lines):
            self.selected = row
            self.repaint()


class SweepScreen(Screen[None]):
    """Overview of a sweep; enter opens a point's dashboard, escape comes back."""

    BINDINGS = keys.bindings_for("sweep")
    DEFAULT_CSS = "SweepScreen #detail { dock: bottom; height: 1; }"

    def __init__(self, sweep: Sweep) -> None:
        super().__init__()
        self.sweep = sweep
        self.overview = Overview(sweep)
        self.measure = MEASURES[0] if sweep.scenario().train is not None else MEASURES[1]
        self._lock = threading.Lock()
        self._running = False

    def compose(self) -> ComposeResult:
        yield Header()
        yield SweepGrid()
        yield FieldStrip(id="detail")
        yield KeyBar("sweep")

    def on_mount(self) -> None:
        columns = next((point.columns for point in self.sweep.points), {})
        self.query_one(SweepGrid).headings = list(columns)
        self.run_worker(self._read, thread=True, group="sweep", exit_on_error=False)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _read(self) -> None:
        worker = get_current_worker()
        pause = threading.Event()
        while not worker.is_cancelled:
            with self._lock:
                self.overview.update()
            self._running = self.sweep.running
            self.app.call_from_thread(self._show)
            pause.wait(LOOK_SECONDS)

    def _show(self) -> None:
        if not self.is_attached:
            return
        grid = self.query_one(SweepGrid)
        with self._lock:
            grid.lines = [
                Line(
                    name=view.point.name,
                    status=self._status(view.status),
                    progress=view.progress,
                    cells=[
                        self.measure.cell(view.state.runs.get(run)) for run in view.point.columns
                    ],
                )
                for view in self.overview.points.values()
            ]
            self._show_frame()
        grid.repaint()

    def _status(self, status: str) -> str:
        """A point that seems to run while the sweep does not run was cut short."""
        return "stopped" if status == "running" and not self._running else status

    def _show_frame(self) -> None:
        overview = self.overview
        counts = overview.counts
        done, total = counts.get("finished", 0), len(overview.points)
        wrong = counts.get("failed", 0) + counts.get("lost", 0)
        left = overview.remaining if self._running else None
        state = "RUNNING" if self._running else "DONE" if done == total else "STOPPED"
        scenario = self.sweep.scenario_title
        self.query_one(Header).show(
            [
                Field("Synergy", "title"),
                Field(scenario, "text", weight=5, shrinks=True),
                Field(f"● {state}", "good" if self._running else "muted", weight=9, right=True),
                Field(f"{done}/{total} points", "text", weight=8, right=True),
                Field(f"{wrong} failed" if wrong else "", "error", weight=9, right=True),
                Field(f"ETA {duration(left)}" if left else "", "muted", weight=4, right=True),
                Field(overview.backend, "muted", weight=1, right=True),
            ]
        )
        view = list(overview.points.values())[self.query_one(SweepGrid).selected]
        settings = ", ".join(f"{axis} {value}" for axis, value in view.point.settings.items())
        attempt = f"attempt {view.attempt}" if view.attempt > 1 else ""
        self.query_one("#detail", FieldStrip).show(
            [
                Field(f"{self.measure.name} ({self.measure.unit})", "title"),
                Field(settings, "text", weight=3),
                Field(f"seed {view.point.seed}", "muted", weight=2),
                Field(attempt, "warning", weight=4),
                Field(view.state.verdict, "muted", weight=1, shrinks=True),
            ]
        )

    def action_cursor(self, by: int) -> None:
        grid = self.query_one(SweepGrid)
        grid.selected = min(max(0, grid.selected + by), max(0, len(grid.lines) - 1))
        self._show()

    def action_columns(self, by: int) -> None:
        grid = self.query_one(SweepGrid)
        grid.scrolled = min(max(0, grid.scrolled + by), max(0, len(grid.headings) - 1))
        grid.repaint()

    def action_measure(self) -> None:
        place = MEASURES.index(self.measure)
        self.measure = MEASURES[(place + 1) % len(MEASURES)]
        self._show()

    def action_open(self) -> None:
        name = self.sweep.points[self.query_one(SweepGrid).selected].name
        experiment = self.sweep.experiment(name)
        if not experiment.events_path.exists():
            self.notify(f"{name} has not begun yet.", timeout=4)
            return
        mode: Mode = "live" if experiment.state() == "running" else "replay"
        self.post_message(OpenExperiment(experiment, mode, over=True))

    def action_stop(self) -> None:
        from synergy_tui.errors import UserError
        from synergy_tui.sweep.worker import stop

        try:
            stop(self.sweep)
        except UserError as error:
            self.notify(error.message, severity="warning")
            return
        self.notify("Stopping: every point writes a checkpoint.", timeout=6)
