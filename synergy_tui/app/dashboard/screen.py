"""The dashboard: a column for each run, a row for each question, one cursor over all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from synergy_tui import words
from synergy_tui.app import keys, status
from synergy_tui.app.clipboard import tsv
from synergy_tui.app.dashboard import panels, scales, tracks
from synergy_tui.app.dashboard.comparison import summarise
from synergy_tui.app.dashboard.graph import GraphChart, Loaded, described, read_graph
from synergy_tui.app.dashboard.reading import ChartReading
from synergy_tui.app.dashboard.usage import LENGTH, SHORT, histories
from synergy_tui.app.desk import Desk
from synergy_tui.app.screens.base import TimedScreen
from synergy_tui.app.screens.marks import Marking
from synergy_tui.app.session import Copy, Mark, OpenHeads, OpenInspector, OpenStepper, Session
from synergy_tui.app.themes import GLYPHS, identity
from synergy_tui.app.timeline import Mode
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.app.widgets.filter import FilterBar, Filtering, matches
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar, SummaryStrip, TimelineBar
from synergy_tui.app.widgets.plot import Panel, Plot
from synergy_tui.app.widgets.strips import Field, summary_height
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.state import RunState
from synergy_tui.words import csv_text

COLUMNS = 4
ROOMY, HISTORY = 140, 100
"""Columns from which on the header spells everything out, and from which on it has room for the use
of the machine as a small history."""
COLUMN_WIDTH = 36
"""Columns narrower than this say too little; then fewer runs are shown at a time."""
BORDER = 6
"""Columns of a column's upper border that its title leaves."""
TIME_KEYS = tuple(key.id for key in keys.TABLE if key.group == "Time")
CHARTS_FIRST = 31
"""Rows of the screen that are not for the summary: three charts of eight or nine, and the frame."""
SMALLEST = (40, 12)
COMPACT = (76, 22)
"""Below this width or height one panel is shown at a time, with tabs."""


def _texts(run: RunState) -> list[str]:
    """What a filter of runs looks into."""
    said = [run.name, run.task or "", run.status, f"{run.heads} heads", f"seed {run.seed}"]
    return [*said, words.changes(run.interventions)]


def changed(interventions: Mapping[str, Any]) -> str:
    """What was changed about a run's heads, short enough for a title: ``λ .5, match_scale``."""
    return ", ".join(
        name
        if value is True
        else f"{name} {words.compact(value, 3)}"
        if isinstance(value, float | int)
        else f"{name} {value}"
        for key, value in interventions.items()
        for name in ["λ" if key == "head_diversity" else key]
    )


class RunColumn(Vertical):
    """The panels of one run."""

    def __init__(self, place: int) -> None:
        super().__init__(id=f"column-{place}", classes="run-column")
        self._titles = ("", "")
        self.graph = GraphChart(classes="question-3")
        self.charts = [Chart(classes=f"question-{question}") for question in range(3)]
        self.charts.append(self.graph)

    def entitle(self, title: str, subtitle: str) -> None:
        """Write on the border, if that differs: setting a title redraws the whole column."""
        if (title, subtitle) != self._titles:
            self._titles = (title, subtitle)
            # Content, not text: a run may have brackets in its name.
            self.border_title, self.border_subtitle = Content(title), Content(subtitle)

    def compose(self) -> ComposeResult:
        yield from self.charts


class DashboardScreen(Filtering, Marking, ChartReading, TimedScreen):
    """Runs beside each other, at the step cursor."""

    BINDINGS = keys.bindings_for("dashboard")
    AUTO_FOCUS = ""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.run_place = 0
        self.question = 0
        self.overlaid = False
        self.maximised = False
        # Held, not queried for: the timer may draw once more while the screen is taken down.
        self._header = Header(id="header")
        self._tabs = FieldStrip(id="tabs")
        self._summary = SummaryStrip(id="summary")
        self._timeline_bar = TimelineBar(id="timeline")
        self._keys = KeyBar("dashboard", id="keys")
        self._filter = FilterBar()
        self._columns = [RunColumn(place) for place in range(COLUMNS)]
        self._shown: list[tuple[RunColumn, list[RunState]]] = []
        self._graphs: dict[str, Snapshot | str] = {}
        self._desk: Desk[Loaded] = Desk(self.post_message, lambda error: None)

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._tabs
        with Horizontal(id="columns"):
            yield from self._columns
        yield self._summary
        yield self._timeline_bar
        yield self._filter
        yield self._keys
        yield Static(id="too-small")

    # What is on the screen

    @property
    def runs(self) -> list[RunState]:
        """Those that the filter leaves; all of them where it leaves none."""
        runs, query = list(self.state.runs.values()), self._filter.query_text
        if not query:
            return runs
        found = [run for run in runs if matches(query, *_texts(run))]
        self._filter.count(len(found), len(runs))
        return found or runs

    @property
    def selected_run(self) -> RunState | None:
        runs = self.runs
        return runs[min(self.run_place, len(runs) - 1)] if runs else None

    @property
    def compact(self) -> bool:
        """Whether there is only room for one panel at a time."""
        return self.size.width < COMPACT[0] or self.size.height < COMPACT[1]

    def refresh_view(self) -> None:
        if not self.fits(SMALLEST, "Synergy", "{app.leave} leaves; the run continues."):
            return
        look = self.look()
        now = self.session.status
        self._header.show(self._header_fields(now))
        timeless = 2 not in status.rows(self.state)
        self._timeline_bar.display = not timeless
        self._timeline_bar.show(self.track())
        self._keys.hide(*TIME_KEYS if timeless else ())
        content = summarise(self.state, look, now.advice)
        strip = self._summary
        strip.styles.height = summary_height(
            content,
            self.size.width,
            self._most_summary(trouble=bool(content.alert or content.failed)),
        )
        self.set_class(now.word == "PAUSED", "-paused")
        self._arrange()
        strip.show(content)
        axes = scales.scales(self.state, look)
        for column, runs in self._shown:
            for question, chart in enumerate(column.charts):
                if chart.display:
                    shown = panels.panel(question, self.state, runs, look, axes)
                    if chart is column.graph:
                        self._show_graph(column.graph, shown, runs)
                    else:
                        chart.show(shown)

    def _show_graph(self, chart: GraphChart, panel: Panel, runs: list[RunState]) -> None:
        """Draw the graph of the column's run, once it has been read."""
        run = runs[0] if len(runs) == 1 else self.selected_run
        graph = self._graphs.get(run.name) if run else None
        if graph is None:
            self._load_graphs()
        elif isinstance(graph, str) and isinstance(panel.plot, Plot):
            panel = replace(panel, plot=replace(panel.plot, empty=graph))
        elif isinstance(graph, Snapshot):
            lead = f"{run.name}: " if run and len(runs) > 1 else ""
            panel = replace(panel, detail=lead + described(graph))
        chart.show_graph(graph if isinstance(graph, Snapshot) else None, panel)

    def _load_graphs(self) -> None:
        """Read the graphs that are not known yet, off the event loop."""
        wanted = {
            run.name: run.probe.attention
            for run in self.runs
            if run.probe is not None and run.name not in self._graphs
        }
        if wanted and not self._desk.busy:
            experiment = self.session.experiment

            def read() -> Loaded:
                return Loaded({name: read_graph(experiment, at) for name, at in wanted.items()})

            self._desk.ask(read)

    def on_loaded(self, message: Loaded) -> None:
        self._graphs |= message.graphs
        self.update_now()

    def on_unmount(self) -> None:
        self._desk.close()

    def _most_summary(self, *, trouble: bool) -> int:
        """Rows that the summary may take from the charts; trouble may take two more.

        Charts come first: from :data:`CHARTS_FIRST` rows on each has room for names and bounds.
        """
        height = self.size.height
        if self.compact:
            most = max(height // 5, 2)
        else:
            most = max(min(height - CHARTS_FIRST, height // 3), 5)
        return most + (2 if trouble else 0)

    def _arrange(self) -> None:
        """Choose which columns and charts are displayed, and for which runs."""
        runs, asked = self.runs, status.rows(self.state)
        self.question = self.question if self.question in asked else asked[-1]
        alone = self.compact or self.maximised
        if self.overlaid or self.compact or not runs:
            groups = [runs]
        elif self.maximised:
            groups = [[run] for run in runs if run is self.selected_run]
        else:
            fit = max(1, min(COLUMNS, self.size.width // COLUMN_WIDTH))
            first = min(max(self.run_place - fit + 1, 0), max(len(runs) - fit, 0))
            groups = [[run] for run in runs[first : first + fit]]
        self._shown = list(zip(self._columns, groups, strict=False))
        for column in self._columns[len(groups) :]:
            column.display = False
        for column, group in self._shown:
            column.display = True
            paused = self.has_class("-paused")
            column.entitle(
                self._column_title(group),
                f"PAUSED at step {self.timeline.step:,}" if paused else "",
            )
            for number in range(len(GLYPHS)):
                column.set_class(
                    len(group) == 1 and group[0].index % len(GLYPHS) == number, f"-run-{number + 1}"
                )
            for question, chart in enumerate(column.charts):
                chart.display = question in asked and (not alone or question == self.question)
                chart.selected = question == self.question and (
                    len(group) != 1 or group[0] is self.selected_run
                )
        tabs = self._tabs
        tabs.display = alone
        if alone:
            names = panels.QUESTIONS
            if sum(len(names[place]) + 6 for place in asked) > self.size.width:
                names = panels.SHORT
            tabs.show(
                [
                    Field(
                        f" {number + 1} {names[place]} ",
                        "pill-quiet" if place == self.question else "muted",
                        action=f"panel({number})",
                    )
                    for number, place in enumerate(asked)
                ]
            )

    def _column_title(self, group: list[RunState]) -> str:
        ascii_only = self.session.ascii_only
        if len(group) != 1:
            marks = [f"{identity(run.index).mark(ascii_only)} {run.name}" for run in group]
            return "   ".join(marks) or "starting"
        run = group[0]
        parts = [f"{identity(run.index).mark(ascii_only)} {run.name}"]
        if run.status in ("failed", "stopped"):
            parts.append(run.status.upper())
        if run.heads:
            parts.append(f"{run.heads} head{'s' if run.heads > 1 else ''}")
        if run.interventions:
            parts.append(changed(run.interventions))
        hidden = len(self.runs) - len(self._columns_that_fit())
        if hidden > 0 and not self.maximised and run is self.selected_run:
            parts.append(f"{hidden} more: {self.session.keyed('{view.run}')}")
        if run.parameters is not None:
            known = words.counted(run.parameters, "parameter")
            room = self.size.width // max(len(self._shown), 1) - BORDER
            # Cut short it would say nothing.
            parts += [known] if len(" · ".join([*parts, known])) <= room else []
        return " · ".join(parts)

    def _columns_that_fit(self) -> list[RunState]:
        return self.runs[: max(1, min(COLUMNS, self.size.width // COLUMN_WIDTH))]

    def _header_fields(self, now: status.Status) -> list[Field]:
        state, timeline = self.state, self.timeline
        run = self.selected_run
        total = state.total_steps
        pill = f" {now.word} "
        busy = now.word in ("LIVE", "PAUSED", "STARTING")
        used = status.resources(state) if busy else []
        fields = [
            # The experiment's own name and numbers say more than the app's.
            Field("Synergy", "title", weight=21),
            Field(state.title or self.session.experiment.id, "text", weight=50, shrinks=True),
            # What is used of a device names it already, and who is done uses none.
            Field(run.device or "" if run and busy and not used else "", "muted", weight=20),
            Field(pill, now.style, right=True),
        ]
        if total:
            fields.append(Field(f"step {timeline.step:,}/{total:,}", "headline", 60, right=True))
        speed = sum(run.tokens_per_second or 0 for run in self.runs if run.status == "running")
        if speed and state.live:
            fields.append(Field(f"{words.compact(speed, 3)} tokens/s", "text", 30, right=True))
        elapsed = words.clock(self.session.elapsed)
        roomy = not used or self.size.width >= ROOMY
        fields.append(Field(f"{elapsed} elapsed" if roomy else elapsed, "muted", 28, right=True))
        if now.word in ("LIVE", "PAUSED"):
            left = status.remaining(state, self.session.pace.rate)
            fields.append(Field(left, "text", 45, right=True))
        if used and self.size.width >= HISTORY:
            length = LENGTH if roomy else SHORT
            used = histories(state, self.session.ascii_only, length)
        for place, use in enumerate(used):
            fields.append(Field(use, "muted", 25 - place, right=True))
        return fields

    def panel_of(self, chart: Chart) -> tuple[int, str]:
        """The question of a chart, and its run, where it shows just one."""
        for column, group in self._shown:
            if chart in column.charts:
                return column.charts.index(chart), group[0].name if len(group) == 1 else ""
        return self.question, ""

    def selected_chart(self) -> Chart | None:
        """The chart that keys act on."""
        charts = [chart for column, _ in self._shown for chart in column.charts]
        return next((chart for chart in charts if chart.display and chart.selected), None)

    # What keys do

    def action_select(self, runs: int, questions: int) -> None:
        """Select another panel; with one panel on the screen, the next one."""
        asked = status.rows(self.state)
        if self.compact or (self.overlaid and runs):
            questions, runs = runs or questions, 0
        count = max(len(self.runs), 1)
        self.run_place = (self.run_place + runs) % count
        self.question = asked[(asked.index(self.question) + questions) % len(asked)]
        self.update_now()

    def action_run(self, by: int) -> None:
        self.run_place = (self.run_place + by) % max(len(self.runs), 1)
        self.update_now()

    def action_panel(self, number: int) -> None:
        asked = status.rows(self.state)
        if number < len(asked):
            self.question = asked[number]
            self.update_now()

    def action_maximise(self) -> None:
        self.maximised = not self.maximised
        self.relayout()

    def action_overlay(self) -> None:
        self.overlaid = not self.overlaid
        self.relayout()

    def action_restore(self) -> None:
        """Leave one thing: the crosshair, the maximised panel, the overlay, or the screen."""
        if self.put_aside() or self.unfiltered():
            return
        if self.maximised:
            self.action_maximise()
        elif self.overlaid:
            self.action_overlay()
        else:
            self.call_later(self.run_action, "app.back")

    def on_filter_bar_sought(self) -> None:
        self.relayout()

    def action_inspect(self) -> None:
        run = self.selected_run
        if run is None or not run.probes:
            self.notify("There is nothing to inspect before the first probe.")
        elif run.kind == "designed":
            self.action_stepper()
        else:
            self.post_message(OpenInspector(run.name))

    def action_heads(self) -> None:
        run = self.selected_run
        if run is None or not run.learns or not run.probes:
            self.notify("Heads over training need a run that learns, and its first probe.")
        else:
            self.post_message(OpenHeads(run.name, self.chosen_layer))

    def action_stepper(self) -> None:
        run = self.selected_run
        if run is None or not run.probes:
            self.notify("There is nothing to step through before the first probe.")
            return
        step = self.timeline.step if run.learns else None
        self.post_message(OpenStepper(run.name, step))

    def markable(self) -> Mark | None:
        """The selected run: all its training, or the step at which the cursor was put."""
        run, timeline = self.selected_run, self.timeline
        if run is None or not run.probes:
            self.notify("There is nothing to compare before the first probe.", timeout=4)
            return None
        step = None if timeline.mode is Mode.FOLLOW or not run.learns else timeline.step
        return Mark(self.session.experiment.path, run.name, step)

    def action_copy(self) -> None:
        run = self.selected_run
        text = panels.headline_number(self.question, run, self.look()) if run else ""
        self.post_message(Copy(text, f"number {text}"))

    def action_copy_table(self) -> None:
        """The claims with what is compared, and the table of the runs."""
        content = summarise(self.state, self.look())
        rows = [[content.line], *([cell.text for cell in row] for row in content.board)]
        rows += [[note] for note in content.notes]
        rows += [[cell.text for cell in row] for row in content.table]
        self.post_message(Copy(tsv(rows), "verdict and table of runs"))

    def action_export(self) -> None:
        self.export("dashboard", self.as_csv())

    def as_csv(self) -> str:
        """Every curve on the screen, one point per line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["run", "panel", "curve", "x", "y"])
        look = self.look()
        for run in self.runs:
            for which in ("mean", "median", "worst"):
                probe = run.probe_at(look.step)
                if probe is None:
                    continue
                x, y = tracks.arrival_curve(probe, look, which)
                name = f"{which} at step {probe.step}"
                for step, value in zip(x.tolist(), y.tolist(), strict=True):
                    writer.writerow([csv_text(run.name), "arrival", name, int(step), value])
            steps, values = tracks.track(run, look, ("fidelity", "minimax"))
            upto = int(np.searchsorted(steps, look.step, side="right"))
            for step, value in zip(steps[:upto].tolist(), values[:upto].tolist(), strict=True):
                writer.writerow([csv_text(run.name), "fidelity", "minimax", step, value])
            upto = int(np.searchsorted(run.steps, look.step, side="right"))
            losses = run.losses[:upto].tolist()
            for step, value in zip(run.steps[:upto].tolist(), losses, strict=True):
                writer.writerow([csv_text(run.name), "loss", "loss", step, value])
        return out.getvalue()

    def on_chart_picked(self, message: Chart.Picked) -> None:
        question, run = self.panel_of(message.chart)
        self.question = question
        if run:
            self.run_place = list(self.state.runs).index(run)
        if message.times == 2:
            self.action_maximise()
        else:
            self.pin(message.chart, message.at)
            self.update_now()
