"""A sweep from above: groups with means and intervals, points with curves, and the verdicts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import get_current_worker

from synergy_tui.app import keys
from synergy_tui.app.clipboard import tsv
from synergy_tui.app.screens.changes import begin
from synergy_tui.app.screens.marks import Marking
from synergy_tui.app.session import Copy, Mark, Mode, OpenExperiment
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import CanvasView
from synergy_tui.app.widgets.filter import FilterBar, Filtering, matches
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar
from synergy_tui.app.widgets.grid import Line, cell_of, draw_grid
from synergy_tui.app.widgets.groups import draw_groups
from synergy_tui.app.widgets.strips import Field
from synergy_tui.errors import UserError
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.measures import LOSS, MEASURES, STEPS
from synergy_tui.sweep.overview import Overview, PointView
from synergy_tui.words import clean, duration, measured, span

if TYPE_CHECKING:
    from synergy_tui.report.sweeps import Row

LOOK_SECONDS = 0.5
JUDGE_SECONDS = 5.0
"""Between two reports on a sweep that runs, at least; more where a report takes long."""
WIDE, TALL = 118, 34
"""From here on the verdicts stand beside the tables, and both tables are shown at once."""
STATUSES = ("", "running", "failed", "stopped", "finished", "waiting")
SORTS = ("as planned", "by value", "by state")
_MARKS = {
    "supported": ("✔", "+", "$text-success"),
    "contradicted": ("✘", "x", "$text-error"),
    "no effect": ("≈", "~", "$foreground"),
}
_UNDECIDED = ("?", "?", "$foreground 60%")


class Groups(CanvasView):
    """The groups of a sweep."""

    DEFAULT_CSS = "Groups { height: 1fr; width: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.selected = 0
        self.better = ""

    def paint(self, width: int, height: int) -> Canvas:
        return draw_groups(
            self.rows,
            width,
            height,
            better=self.better,
            selected=self.selected,
            ascii_only=self.ascii_only,
        )


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


class SweepScreen(Filtering, Marking, Screen[None]):
    """A sweep; enter goes from a group to its points and to a point, escape comes back.

    One thread reads the logs, another computes the statistics; neither holds up the keys.
    """

    BINDINGS = keys.bindings_for("sweep")
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    SweepScreen #detail { height: 1; }
    SweepScreen #tables { width: 1fr; height: 1fr; }
    SweepScreen #verdicts { width: 1fr; height: 1fr; padding: 0 1; }
    SweepScreen.-wide #verdicts { width: 46; border-left: solid $foreground 20%; }
    SweepScreen.-wide.-ascii-screen #verdicts { border-left: ascii $foreground; }
    SweepScreen.-tall Groups { height: 3fr; }
    SweepScreen.-tall SweepGrid { height: 2fr; border-top: solid $foreground 20%; }
    SweepScreen.-tall.-ascii-screen SweepGrid { border-top: ascii $foreground; }
    """

    def __init__(self, sweep: Sweep) -> None:
        super().__init__()
        self.sweep = sweep
        self.overview = Overview(sweep)
        self.measure = LOSS if sweep.scenario().train is not None else STEPS
        self.view = "groups"
        self.status = self.group = ""
        self.sort = SORTS[0]
        self.judged: list[tuple[str, str]] | None = None
        self.trouble = ""
        self._rows: list[Row] = []
        self._shown: list[PointView] = []
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._running = False

    def compose(self) -> ComposeResult:
        yield Header()
        with Horizontal():
            with Vertical(id="tables"):
                yield Groups()
                yield SweepGrid()
            with VerticalScroll(id="verdicts", can_focus=False):
                yield Static(markup=False)
        yield FieldStrip(id="detail")
        yield FilterBar()
        yield KeyBar("sweep")

    def on_mount(self) -> None:
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "-ascii-screen")
        columns = next((point.columns for point in self.sweep.points), {})
        self.query_one(SweepGrid).headings = list(columns)
        for work in (self._read, self._judge):
            self.run_worker(work, thread=True, group="sweep", exit_on_error=False)
        self._show_verdicts()
        self._arrange()

    def on_unmount(self) -> None:
        self._due.set()

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self._show)

    # What the threads do

    def _read(self) -> None:
        """Follow the logs."""
        worker = get_current_worker()
        pause = threading.Event()
        while not worker.is_cancelled:
            try:
                with self._lock:
                    self.overview.update()
                self._running = self.sweep.running
            except (UserError, OSError) as error:
                self.trouble = str(getattr(error, "message", error))
            self.app.call_from_thread(self._show)
            pause.wait(LOOK_SECONDS)

    def _judge(self) -> None:
        """Compute groups and verdicts when more points have finished or the measure changed."""
        from synergy_tui.report.sweeps import group_rows, standing, values_of

        worker = get_current_worker()
        seen: tuple[int, str] | None = None
        judged, rest = -1, 0.0
        while not worker.is_cancelled:
            with self._lock:
                done, measure = self.overview.counts.get("finished", 0), self.measure
                values = values_of(self.overview, measure) if seen != (done, measure.key) else None
            if values is not None:
                rows = group_rows(values, measure)
                seen = (done, measure.key)
                self.app.call_from_thread(self._take_rows, rows)
            if done != judged and time.monotonic() >= rest:
                begun, judged = time.monotonic(), done
                try:
                    found, trouble = standing(self.sweep), ""
                except UserError as error:
                    found, trouble = [], error.message
                now = time.monotonic()
                rest = now + max(JUDGE_SECONDS, 10 * (now - begun))
                self.app.call_from_thread(self._take_verdicts, found, trouble)
            self._due.wait(LOOK_SECONDS)
            self._due.clear()

    def _take_rows(self, rows: list[Row]) -> None:
        self._rows = rows
        self._show()

    def _take_verdicts(self, found: list[tuple[str, str]], trouble: str) -> None:
        self.judged = found
        self._show_verdicts(trouble)

    # What is shown

    def _arrange(self) -> None:
        """Show what there is room for: the tables, the verdicts, or the one that was chosen."""
        wide, tall = self.size.width >= WIDE, self.size.height >= TALL
        self.set_class(wide, "-wide")
        self.set_class(tall, "-tall")
        if wide and self.view == "verdicts":
            self.view = "groups"
        tables = self.view != "verdicts"
        self.query_one("#verdicts").display = wide or not tables
        self.query_one("#tables").display = tables
        self.query_one(Groups).display = tall or self.view == "groups"
        self.query_one(SweepGrid).display = tall or self.view == "points"

    def _show(self) -> None:
        if not self.is_attached:
            return
        grid, table = self.query_one(SweepGrid), self.query_one(Groups)
        table.better = self.measure.better.partition(" ")[0]
        query = self.query_text
        table.rows = [row for row in self._rows if matches(query, row.group, row.run)]
        table.selected = min(table.selected, max(0, len(table.rows) - 1))
        with self._lock:
            self._shown = self._chosen()
            grid.lines = [
                Line(
                    name=view.point.name,
                    status=self._status(view),
                    progress=view.progress,
                    mark=self.letters(self.sweep.experiment(view.point.name).path),
                    cells=[
                        cell_of(self.measure, view.state.runs.get(run))
                        for run in view.point.columns
                    ],
                )
                for view in self._shown
            ]
            grid.selected = min(grid.selected, max(0, len(grid.lines) - 1))
            self._show_header()
            self._show_detail()
            self.query_one(KeyBar).hide(*(() if self._running else ("sweep.stop",)))
            shown = (
                (table.rows, self._rows)
                if self.view == "groups"
                else (self._shown, self.overview.points)
            )
            self.filter_bar.count(len(shown[0]), len(shown[1]))
        grid.repaint()
        table.repaint()

    def _chosen(self) -> list[PointView]:
        """The points that the filters leave, in the order that was chosen."""
        views = [
            view
            for view in self.overview.points.values()
            if self.group in ("", view.point.group or "all points")
            and self.status in ("", self._status(view))
            and matches(self.query_text, *self._texts(view))
        ]
        if self.sort == "by state":
            views.sort(key=lambda view: STATUSES.index(self._status(view)))
        elif self.sort == "by value":
            views.sort(key=self._last_value)
        return views

    def _texts(self, view: PointView) -> list[str]:
        """What a filter looks into."""
        point = view.point
        settings = [f"{axis} {value}" for axis, value in point.settings.items()]
        said = [point.name, point.group, f"seed {point.seed}", self._status(view), view.reason]
        return [*said, *settings, *point.columns]

    def _last_value(self, view: PointView) -> tuple[bool, float]:
        """Sorts by the number of the last run; points without one come last."""
        run = view.state.runs.get(list(view.point.columns)[-1])
        value = float("nan") if run is None else self.measure.value(run)
        return (value != value, value if value == value else 0.0)

    def _status(self, view: PointView) -> str:
        """A point that seems to run while the sweep does not run was cut short."""
        if view.status == "running" and not self._running:
            return "stopped"
        return "failed" if view.status == "lost" else view.status

    def _show_header(self) -> None:
        overview = self.overview
        counts = overview.counts
        done, total = counts.get("finished", 0), len(overview.points)
        wrong = counts.get("failed", 0) + counts.get("lost", 0)
        left = overview.remaining if self._running else None
        state = "RUNNING" if self._running else "FINISHED" if done == total else "STOPPED"
        if not self._running and counts.get("waiting") == total:
            state = "NOT STARTED"  # yet, or stopped before its first point
        self.query_one(Header).show(
            [
                Field("Synergy", "title"),
                Field(clean(self.sweep.scenario_title), "text", weight=5, shrinks=True),
                Field(f"● {state}", "good" if self._running else "muted", weight=9, right=True),
                Field(f"{done}/{total} points", "text", weight=8, right=True),
                Field(f"{wrong} failed" if wrong else "", "error", weight=9, right=True),
                Field(f"{duration(left)} left" if left else "", "muted", weight=4, right=True),
                Field(overview.backend, "muted", weight=1, right=True),
            ]
        )

    def _show_detail(self) -> None:
        measure = self.measure
        fields = [
            Field(self.trouble, "error"),
            Field(f"{measure.name} ({measure.unit})", "title", weight=7),
        ]
        table = self.query_one(Groups)
        if self.view == "groups" and table.rows:
            row = table.rows[table.selected]
            against = span(row.ratio_interval)
            fields += [
                Field(f"{row.group}, {row.run}", "text", weight=6),
                Field(f"mean {measured(row.mean)} {span(row.interval)}", "text", weight=5),
                Field(
                    f"{measure.better} {row.reference}: {measured(row.ratio)}× {against}"
                    if row.ratios.size
                    else "",
                    "text",
                    weight=7,
                ),
            ]
        elif self._shown:
            view = self._shown[self.query_one(SweepGrid).selected]
            settings = ", ".join(f"{axis} {value}" for axis, value in view.point.settings.items())
            attempt = f"attempt {view.attempt}" if view.attempt > 1 else ""
            only = " · ".join(filter(None, (self.group, self.status)))
            fields += [
                Field(f"only {only}" if only else "", "warning", weight=8),
                Field(self.sort if self.sort != SORTS[0] else "", "warning", weight=7),
                Field(settings, "text", weight=3),
                Field(f"seed {view.point.seed}", "muted", weight=2),
                Field(attempt, "warning", weight=4),
                Field(clean(view.reason), "error", weight=9, shrinks=True),
                Field(clean(view.state.verdict), "muted", weight=1, shrinks=True),
            ]
        else:
            none = f"no point is {self.status}" if self.status else "no point matches"
            fields.append(Field(none, "warning"))
        self.query_one("#detail", FieldStrip).show(fields)

    def _show_verdicts(self, trouble: str = "") -> None:
        ascii_only = bool(getattr(self.app, "ascii_only", False))
        done = self.overview.counts.get("finished", 0)
        known = f", {done} of {len(self.overview.points)} points finished"
        heading = f"Verdicts{known if self.judged is not None else ''}\n\n"
        parts: list[tuple[str, str] | str] = [(heading, "bold")]
        if self.judged is None:
            parts.append(("computing …", "$foreground 60%"))
        elif not self.judged:
            parts.append((trouble, "$foreground 60%"))
        for verdict, sentence in self.judged or []:
            mark, plain, style = _MARKS.get(verdict, _UNDECIDED)
            parts += [(f"{plain if ascii_only else mark} {verdict}\n", style)]
            parts.append(f"{clean(sentence)}\n\n")
        self.query_one("#verdicts Static", Static).update(Content.assemble(*parts))

    # Keys

    def action_view(self, by: int) -> None:
        views = ["groups", "points"] + ([] if self.size.width >= WIDE else ["verdicts"])
        self.view = views[(views.index(self.view) + by) % len(views)]
        self._arrange()
        self.call_after_refresh(self._show)

    def action_cursor(self, by: int) -> None:
        if self.view == "verdicts":
            self.query_one("#verdicts", VerticalScroll).scroll_relative(y=by)
            return
        table: Groups | SweepGrid = self.query_one(Groups)
        count = len(self.query_one(Groups).rows)
        if self.view == "points":
            table = self.query_one(SweepGrid)
            count = len(self._shown)
        table.selected = min(max(0, table.selected + by), max(0, count - 1))
        self._show()

    def action_columns(self, by: int) -> None:
        grid = self.query_one(SweepGrid)
        grid.scrolled = min(max(0, grid.scrolled + by), max(0, len(grid.headings) - 1))
        grid.repaint()

    def action_measure(self) -> None:
        place = MEASURES.index(self.measure)
        self.measure = MEASURES[(place + 1) % len(MEASURES)]
        if self.measure is LOSS and self.sweep.scenario().train is None:
            self.measure = STEPS
        self._due.set()
        self._show()

    def action_sort(self) -> None:
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self._to_points()

    def action_state(self) -> None:
        """Show only points in the next state that some point is in."""
        with self._lock:
            found = {self._status(view) for view in self.overview.points.values()}
        states = [status for status in STATUSES if status in found | {""}]
        place = states.index(self.status) if self.status in states else -1
        self.status = states[(place + 1) % len(states)]
        self._to_points()

    def _to_points(self) -> None:
        self.view = "points"
        self._arrange()
        self.call_after_refresh(self._show)

    async def action_back(self) -> None:
        """Undo one thing: the filters, then the choice of a table, then the screen."""
        if self.unfiltered():
            return
        if self.status or self.group:
            self.status = self.group = ""
        if self.view != "groups":
            self.view = "groups"
            self._arrange()
            self.call_after_refresh(self._show)
            return
        await self.run_action("app.back")

    def action_open(self) -> None:
        if self.view == "groups" and (rows := self.query_one(Groups).rows):
            self.group = rows[self.query_one(Groups).selected].group
            self._to_points()
            return
        if self.view != "points" or not self._shown:
            return
        name = self._shown[self.query_one(SweepGrid).selected].point.name
        experiment = self.sweep.experiment(name)
        if not experiment.events_path.exists():
            self.notify(f"{name} has not begun yet.", timeout=4)
            return
        mode: Mode = "live" if experiment.state() == "running" else "replay"
        self.post_message(OpenExperiment(experiment, mode, over=True))

    def action_copy_table(self) -> None:
        """Copy the table that the cursor is in, as it is drawn but whole."""
        grid, groups = self.query_one(SweepGrid), self.query_one(Groups)
        if self.view == "points":
            rows = [["point", "state", *grid.headings]]
            for line in grid.lines:
                numbers = [cell.text if cell else "" for cell in line.cells]
                rows.append([line.name, line.status, *numbers])
        else:
            better = f"{groups.better}, times"
            rows = [["group", "run", "seeds", "mean", "95%", better, "95%"]]
            for row in groups.rows:
                mean = [str(row.samples), measured(row.mean), span(row.interval)]
                ratio = [measured(row.ratio), span(row.ratio_interval)] if row.ratios.size else []
                rows.append([row.group, row.run, *mean, *ratio])
        self.post_message(Copy(tsv(rows), f"table of {self.view}"))

    def markable(self) -> Mark | None:
        if self.view != "points" or not self._shown:
            self.notify("Points are marked: tab goes to them.", timeout=4)
            return None
        name = self._shown[self.query_one(SweepGrid).selected].point.name
        return Mark(self.sweep.experiment(name).path)

    def show_marks(self) -> None:
        self._show()

    def action_stop(self) -> None:
        begin(self, "stop", self.sweep, lambda: None)

    def on_filter_bar_sought(self) -> None:
        self._show()
