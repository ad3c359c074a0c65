"""Side by side: two runs, both live, in one chart for each question, and their difference beside.

Each side has a session of its own; one cursor of steps moves over both.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from synergy_tui.app import keys, status
from synergy_tui.app.clipboard import tsv
from synergy_tui.app.dashboard import panels
from synergy_tui.app.dashboard.comparison import summarise
from synergy_tui.app.dashboard.look import KINDS, Aim, Kind, Look
from synergy_tui.app.dashboard.reading import ChartReading
from synergy_tui.app.dashboard.scales import scales
from synergy_tui.app.dashboard.screen import COMPACT, SMALLEST, TIME_KEYS, RunColumn
from synergy_tui.app.session import Copy, Mark, Session
from synergy_tui.app.sidebyside import differences
from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar, SummaryStrip, TimelineBar
from synergy_tui.app.widgets.plot import Crosshair, Panel, Plot
from synergy_tui.app.widgets.strips import Field, Summary, summary_height
from synergy_tui.experiments.beside import NAMES, Side, pair, refusal, settings_of, unlike
from synergy_tui.experiments.experiment import name_in
from synergy_tui.experiments.state import ExperimentState, RunState
from synergy_tui.words import csv_text

REDRAWS_PER_SECOND = 4
APART = "B against A"
"""What the crosshair is said to be in where it is in a difference."""


class Party:
    """One side: the experiment that is followed, and which run and moment of it is meant."""

    def __init__(self, mark: Mark, session: Session) -> None:
        self.session = session
        self.experiment = mark.experiment
        self.chosen = mark.run
        self.step = mark.step
        self._settings: dict[str, Side] = {}

    @property
    def runs(self) -> list[RunState]:
        return list(self.session.state.runs.values())

    @property
    def run(self) -> RunState | None:
        """The run that was chosen, else the one with most heads."""
        chosen = self.session.state.runs.get(self.chosen or "")
        return chosen or max(self.runs, key=lambda run: (run.heads, run.index), default=None)

    def side(self) -> Side | None:
        run = self.run
        if run is None:
            return None
        if run.name not in self._settings:
            settings = settings_of(self.experiment, run.name)
            self._settings = {run.name: Side(run, settings, self.step)}
        return self._settings[run.name]

    def next_run(self) -> None:
        names = [run.name for run in self.runs]
        if self.run is not None:
            self.chosen = names[(names.index(self.run.name) + 1) % len(names)]


def told_apart(one: Path, other: Path) -> tuple[str, str]:
    """The scenarios of two experiments or, where these are equal, how their paths end."""
    names = name_in(one.name), name_in(other.name)
    if names[0] != names[1] or one == other:
        return names
    ends = (one.name, other.name) if one.name != other.name else (str(one), str(other))
    pairs = zip(*ends, strict=False)
    alike = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = max(alike.rfind("-"), alike.rfind("/")) + 1
    return ends[0][start:], ends[1][start:]


class SideBySideScreen(ChartReading):
    """Two runs and their difference, at the step cursor."""

    BINDINGS = keys.bindings_for("sidebyside")
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    SideBySideScreen #columns { height: 1fr; layout: horizontal; }
    SideBySideScreen.-compact #columns { layout: vertical; }
    """

    def __init__(
        self, marks: tuple[Mark, Mark], *, ascii_only: bool, clock: Callable[[], float]
    ) -> None:
        sessions = [Session(mark.experiment, ascii_only=ascii_only, clock=clock) for mark in marks]
        super().__init__(sessions[0])
        self.parties = [Party(mark, session) for mark, session in zip(marks, sessions, strict=True)]
        self.same = marks[0].path == marks[1].path
        self.question = 0
        self._pair = ExperimentState()
        self._clock = clock
        self._ticked_at = clock()
        self._seen: object = None
        self._header = Header(id="header")
        self._tabs = FieldStrip(id="tabs")
        self._summary = SummaryStrip(id="summary")
        self._timeline_bar = TimelineBar(id="timeline")
        self._keys = KeyBar("sidebyside", id="keys")
        self._columns = [RunColumn(place) for place in range(2)]

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._tabs
        with Container(id="columns"):
            yield from self._columns
        yield self._summary
        yield self._timeline_bar
        yield self._keys
        yield Static(id="too-small")

    def on_mount(self) -> None:
        for party in self.parties:
            read = party.session.tail.run
            self.run_worker(read, thread=True, group="tail", exit_on_error=False)
        self.set_interval(1 / REDRAWS_PER_SECOND, self._tick)

    def on_unmount(self) -> None:
        for party in self.parties:
            party.session.tail.stop()

    @property
    def state(self) -> ExperimentState:
        """Both runs, as if one experiment had them."""
        return self._pair

    @property
    def caught_up(self) -> bool:
        """Whether both logs have been read to their ends, and drawn."""
        tails = [party.session.tail for party in self.parties]
        return all(tail.caught_up for tail in tails) and self._seen == self._versions()

    def _versions(self) -> object:
        return [(each.session.tail.version, each.session.tail.condition) for each in self.parties]

    def _tick(self) -> None:
        now = self._clock()
        passed, self._ticked_at = now - self._ticked_at, now
        moved = self.timeline.advance(passed)
        if self.is_current and (moved or self._seen != self._versions()):
            self.refresh_view()

    def update_now(self) -> None:
        if self.is_mounted:
            self.refresh_view()

    def refresh_view(self) -> None:
        with ExitStack() as locks:
            for party in self.parties:
                locks.enter_context(party.session.lock)
            self._draw()

    # What is on the screen

    @property
    def ended(self) -> bool:
        return all(party.session.ended for party in self.parties)

    @property
    def layer_count(self) -> int:
        return min((run.layers for run in self.state.runs.values()), default=1)

    @property
    def sides(self) -> tuple[Side, Side] | None:
        one, other = (party.side() for party in self.parties)
        return None if one is None or other is None else (one, other)

    def _draw(self) -> None:
        self._seen = self._versions()
        if not self.fits(SMALLEST, "Side by side", "{beside.back} goes back."):
            return
        sides = self.sides
        if sides is None:
            self._header.show(self._header_fields())
            return
        self._pair = pair(sides)
        runs = list(self._pair.runs.values())
        # Beyond the shorter of two trainings there is nothing to compare.
        common = min(run.step for run in runs)
        stops = (probe.step for run in runs for probe in run.probes if probe.step <= common)
        self.timeline.observe(common, stops)
        self._header.show(self._header_fields())
        timeless = 2 not in self._asked
        self._timeline_bar.display = not timeless
        self._timeline_bar.show(self.track())
        self._keys.hide(*TIME_KEYS if timeless else ())
        look = self.look()
        content = self._content(sides, look)
        most = max(self.size.height // (5 if self._compact else 3), 5)
        self._summary.styles.height = summary_height(content, self.size.width, most)
        self._arrange(runs)
        self._summary.show(content)
        for both, apart, question in self._charts(sides, look):
            for column, shown in zip(self._columns, (both, apart), strict=True):
                if column.charts[question].display:
                    column.charts[question].show(shown)

    def _charts(self, sides: tuple[Side, Side], look: Look) -> list[tuple[Panel, Panel, int]]:
        """For each question both runs in one chart, and their difference."""
        runs = list(self._pair.runs.values())
        axes = scales(self._pair, look)
        alike = not unlike(sides, same=self._same_run(sides))
        return [
            (
                panels.panel(question, self._pair, runs, look, axes),
                self._aimed(differences.panel(question, runs, look, axes, alike=alike), question),
                question,
            )
            for question in self._asked
        ]

    def _aimed(self, shown: Panel, question: int) -> Panel:
        """The difference with the crosshair, where its axis is the one that is read."""
        aim, plot = self.lens.aim, shown.plot
        if aim is None or aim.kind != self._kind(question) or not isinstance(plot, Plot):
            return shown
        boxed = aim.question == question and aim.run == APART
        return replace(shown, plot=replace(plot, crosshair=Crosshair(aim.at, "step", boxed)))

    def _kind(self, question: int) -> Kind:
        """The axis of a question's difference: a history, or how the signal arrives."""
        return "steps" if 2 in self._asked else KINDS[question]

    def panel_of(self, chart: Chart) -> tuple[int, str]:
        for column, name in zip(self._columns, ("", APART), strict=True):
            if chart in column.charts:
                return column.charts.index(chart), name
        raise ValueError(chart)

    def selected_chart(self) -> Chart | None:
        return self._columns[0].charts[self.question]

    def on_chart_aimed(self, message: Chart.Aimed) -> None:
        """Read a difference by its own axis."""
        question, name = self.panel_of(message.chart)
        if name and message.at is not None:
            message.prevent_default()
            self._aim(Aim(self._kind(question), message.at, question, name))

    @property
    def _asked(self) -> tuple[int, ...]:
        """Questions that can be answered: a moment of a run has no history of its loss."""
        moments = any(party.step is not None for party in self.parties)
        trained = not moments and 2 in status.rows(self._pair)
        return (0, 1, 2) if trained else (0, 1)

    def _same_run(self, sides: tuple[Side, Side]) -> bool:
        return self.same and sides[0].run.name == sides[1].run.name

    def _content(self, sides: tuple[Side, Side], look: Look) -> Summary:
        """The scoreboard, or why there is none; and the numbers of both."""
        content = summarise(self._pair, look)
        probes = [run.probe_at(look.step) for run in self._pair.runs.values()]
        at = [probe.step for probe in probes if probe is not None]
        apart = [f"probes: A at step {at[0]:,}, B at step {at[1]:,}"] if len(set(at)) == 2 else []
        if why := refusal(sides, same=self._same_run(sides)):
            return replace(content, line=why, board=(), notes=[*apart, *content.notes[-1:]])
        return replace(content, notes=[*apart, *content.notes])

    @property
    def _compact(self) -> bool:
        return self.size.width < COMPACT[0] or self.size.height < COMPACT[1]

    def _arrange(self, runs: list[RunState]) -> None:
        compact, asked = self._compact, self._asked
        self.set_class(compact, "-compact")
        self.question = min(self.question, asked[-1])
        marks = [identity(run.index).mark(self.session.ascii_only) for run in runs]
        names = [f"{mark} {run.name}" for mark, run in zip(marks, runs, strict=True)]
        self._columns[0].entitle("   ".join(names), "")
        moments = any(party.step is not None for party in self.parties)
        self._columns[1].entitle(APART if moments else f"{APART}, at equal steps", "")
        for column in self._columns:
            for question, chart in enumerate(column.charts):
                chart.display = question in asked and (not compact or question == self.question)
                chart.selected = question == self.question
        self._tabs.display = compact
        if compact:
            self._tabs.show(
                [
                    Field(
                        f" {place + 1} {panels.SHORT[place]} ",
                        "pill-quiet" if place == self.question else "muted",
                        action=f"panel({place})",
                    )
                    for place in asked
                ]
            )

    def _header_fields(self) -> list[Field]:
        names = told_apart(*(party.experiment.path for party in self.parties))
        fields = [Field("side by side", "title", weight=10)]
        for place, party in enumerate(self.parties):
            mark = identity(place)
            tail, run = party.session.tail, party.run
            at = f"{run.step:,}/{run.total_steps:,}" if run and run.total_steps else ""
            at = at if party.step is None else f"at step {party.step:,}"
            text = f"{NAMES[place]} {mark.mark(self.session.ascii_only)} {names[place]}"
            fields.append(Field(text, mark.variable, shrinks=True))
            fields.append(Field(tail.problem or tail.condition, "muted", weight=20))
            fields.append(Field(at, "muted", weight=30))
        return fields

    # What keys do

    def action_select(self, by: int) -> None:
        asked = self._asked
        self.question = asked[(asked.index(self.question) + by) % len(asked)]
        self.update_now()

    def action_panel(self, question: int) -> None:
        if question in self._asked:
            self.question = question
            self.update_now()

    def action_run(self, place: int) -> None:
        """Show the next run of one side."""
        party = self.parties[place]
        with party.session.lock:
            party.next_run()
        if len(party.runs) < 2:
            self.notify(f"{NAMES[place]} has no other run.", timeout=3)
        self.update_now()

    def action_back(self) -> None:
        """Take the crosshair away, then go back to the screen before."""
        if not self.put_aside():
            self.call_later(self.run_action, "app.back")

    def action_copy_table(self) -> None:
        content, sides = Summary("", "", ()), self.sides
        if sides is not None:
            content = self._content(sides, self.look())
        rows = [[content.line], *([cell.text for cell in row] for row in content.board)]
        rows += [[cell.text for cell in row] for row in content.table]
        self.post_message(Copy(tsv(rows) if content.line else "", "verdict and table"))

    def action_export(self) -> None:
        self.export("side-by-side", self.as_csv())

    def as_csv(self) -> str:
        """Every difference on the screen, one point per line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["A", "B", "difference", "x", "difference at x"])
        sides = self.sides
        names = [csv_text(party.experiment.id) for party in self.parties]
        for _, apart, _ in self._charts(sides, self.look()) if sides else ():
            if not isinstance(apart.plot, Plot) or not apart.plot.curves:
                continue
            for curve in apart.plot.curves[-1:]:
                for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True):
                    writer.writerow([*names, apart.detail, x, y])
        return out.getvalue()
