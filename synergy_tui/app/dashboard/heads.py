"""Every head of a run over its training, or over the checkpoints of a series: one curve a head."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace

import numpy as np
from textual.app import ComposeResult
from textual.widgets import Static

from synergy_tui import words
from synergy_tui.app import keys
from synergy_tui.app.clipboard import tsv
from synergy_tui.app.dashboard.look import Look
from synergy_tui.app.dashboard.reading import ChartReading
from synergy_tui.app.dashboard.scales import inside, scales, upright
from synergy_tui.app.dashboard.tracks import track
from synergy_tui.app.past import heads_at, number
from synergy_tui.app.session import Copy, OpenInspector, Session
from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.axes import Axis, Floats
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar, TimelineBar
from synergy_tui.app.widgets.plot import Crosshair, Curve, Panel, Plot
from synergy_tui.app.widgets.strips import Field
from synergy_tui.experiments.state import RunState
from synergy_tui.words import csv_text, measured

SMALLEST = (40, 12)
QUESTION = 1
"""Of the dashboard's questions the one whose x axis this chart has: training steps."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of each head alone."""

    key: str  # in a head's record
    title: str
    detail: str
    mixture: tuple[str, str] | None = None  # where the record of the layer has it of all heads


MEASURES = (
    Measure(
        "hitting_time_mean", "how soon?", "mean steps to the sink", ("mixing", "hitting_time_mean")
    ),
    Measure(
        "mixing_time_tv_max",
        "mixed when?",
        "mixing time: worst start, total variation",
        ("mixing", "mixing_time_tv_max"),
    ),
    Measure("fidelity_minimax", "how clearly?", "minimax fidelity", ("fidelity", "minimax")),
    Measure("weight", "how heavy?", "weight in the mixture"),
    Measure("loss_without", "how needed?", "loss without the head, nats"),
)


class HeadsScreen(ChartReading):
    """The heads of one layer of a run, by one measure, at the step cursor."""

    BINDINGS = keys.bindings_for("heads")
    AUTO_FOCUS = ""
    DEFAULT_CSS = "HeadsScreen { layout: vertical; }"

    question = QUESTION

    def __init__(self, session: Session, run: str, layer: int | None = None) -> None:
        super().__init__(session)
        self.run_name = run
        self.chosen_layer = layer or 1
        self.measure_place = 0
        self._header = Header(id="header")
        self._legend = FieldStrip(id="legend")
        self._chart = Chart(id="heads")
        self._timeline_bar = TimelineBar(id="timeline")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._legend
        yield self._chart
        yield self._timeline_bar
        yield KeyBar("heads", id="keys")
        yield Static(id="too-small")

    @property
    def run_shown(self) -> RunState | None:
        return self.state.runs.get(self.run_name)

    @property
    def listed(self) -> list[Measure]:
        """The measures that the run's probes have."""
        run = self.run_shown
        return [] if run is None else known_measures(run)

    @property
    def measure(self) -> Measure:
        listed = self.listed or list(MEASURES)
        return listed[self.measure_place % len(listed)]

    def refresh_view(self) -> None:
        run = self.run_shown
        if run is None or not self.fits(SMALLEST, "This view", "{heads.back} leaves it."):
            return
        look = self.look()
        status = self.session.status
        mark = identity(run.index).mark(self.session.ascii_only)
        fields = [
            Field(f"{mark} {run.name}", identity(run.index).variable, weight=50, shrinks=True),
            Field(f"layer {self.chosen_layer} of {run.layers}", "text", weight=40),
            Field("every head over training", "muted", weight=20),
            Field(f" {status.word} ", status.style, right=True),
        ]
        self._header.show(fields)
        self._timeline_bar.show(self.track())
        self._legend.show(legend(run, self.chosen_layer or 1, self.size.width, look.ascii_only))
        axis = scales(self.state, look).steps
        self._chart.selected = True
        self._chart.show(panel(run, self.measure, look, axis))

    def panel_of(self, chart: Chart) -> tuple[int, str]:
        return QUESTION, self.run_name

    def selected_chart(self) -> Chart | None:
        return self._chart

    # What keys do

    def action_measure(self) -> None:
        self.measure_place = (self.measure_place + 1) % max(len(self.listed), 1)
        self.update_now()

    def action_layer(self) -> None:
        run = self.run_shown
        self.chosen_layer = (self.chosen_layer or 1) % max(run.layers if run else 1, 1) + 1
        self.update_now()

    def action_run(self, by: int) -> None:
        names = [run.name for run in self.state.runs.values() if run.learns]
        self.run_name = names[(names.index(self.run_name) + by) % len(names)]
        self.chosen_layer = min(self.chosen_layer or 1, self.state.runs[self.run_name].layers)
        self.update_now()

    def action_inspect(self) -> None:
        self.post_message(OpenInspector(self.run_name))

    def action_back(self) -> None:
        """Take the crosshair away; without one, leave the screen."""
        if not self.put_aside():
            self.call_later(self.run_action, "app.back")

    def action_copy_table(self) -> None:
        """The chosen measure: a row for each probe, a column for each head."""
        run = self.run_shown
        rows: list[list[str]] = []
        if run is not None:
            steps, heads = tracks_of(run, self.chosen_layer or 1, self.measure.key)
            names = [f"head {head}" for head in range(1, len(heads) + 1)]
            rows = [["step", *names]]
            for step, values in zip(steps.tolist(), heads.T.tolist(), strict=True):
                rows.append([str(step), *map(repr, values)])
        self.post_message(Copy(tsv(rows) if rows[1:] else "", f"table of {self.measure.detail}"))

    def action_export(self) -> None:
        self.export(f"heads-{self.run_name}", self.as_csv())

    def as_csv(self) -> str:
        """Every measure of every head of the run at each of its probes up to the cursor."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        listed, run = self.listed, self.run_shown
        writer.writerow(["run", "step", "layer", "head", *(each.key for each in listed)])
        for probe in run.probes if run else ():
            for layer, analysis in enumerate(probe.layers, start=1):
                for place, head in enumerate(analysis.get("per_head") or (), start=1):
                    if run is not None and probe.step <= self.timeline.step:
                        values = [number(head.get(each.key)) for each in listed]
                        writer.writerow([csv_text(run.name), probe.step, layer, place, *values])
        return out.getvalue()

    def on_chart_picked(self, message: Chart.Picked) -> None:
        self.pin(message.chart, message.at)


def known_measures(run: RunState) -> list[Measure]:
    """The measures that the newest probe has of its heads."""
    layers = run.probe.layers if run.probe else ()
    heads = [head for layer in layers for head in layer.get("per_head") or ()]
    return [each for each in MEASURES if any(each.key in head for head in heads)]


def legend(run: RunState, layer: int, width: int, ascii_only: bool) -> list[Field]:
    """Every head by its mark and colour, as many as ``width`` has room for, the first first."""
    count = len(tracks_of(run, layer, MEASURES[0].key)[1])
    fields = [
        Field(f"{identity(head).mark(ascii_only)} {head + 1}", identity(head).variable)
        for head in range(count)
    ]
    room = width - 2 - len(f"of {count} heads")
    while fields and sum(field.width + FieldStrip.gap for field in fields) > room:
        fields.pop()
    shown = words.counted(count, "head") if len(fields) == count else f"of {count} heads"
    return [*fields, Field(shown if count else "", "muted")]


def tracks_of(run: RunState, layer: int, key: str) -> tuple[np.ndarray, Floats]:
    """A measure of each head of a layer (from 1): (k,) steps and (heads, k) values, NaN where a
    probe has none."""
    steps = np.array([probe.step for probe in run.probes], dtype=np.int64)
    found = [heads_at(probe, layer, key) for probe in run.probes]
    values = np.full((max(map(len, found), default=0), len(found)), math.nan)
    for place, heads in enumerate(found):
        values[: len(heads), place] = heads
    return steps, values


def panel(run: RunState, measure: Measure, look: Look, axis: Axis) -> Panel:
    """The curves of a measure: each head's, and that of all heads together where it has one."""
    steps, heads = tracks_of(run, look.layer or 1, measure.key)
    curves = []
    for head, each in enumerate(heads):
        own = identity(head)
        glyph = own.mark(look.ascii_only)
        curves.append(Curve(steps, each, own.variable, glyph=glyph, label=f"head {head + 1}"))
    values = [*heads]
    headline = ""
    if measure.mixture is not None:
        _, together = track(run, look, measure.mixture)
        values.append(together)
        curves.append(Curve(steps, together, "text", label="all heads"))
        seen = together[steps <= look.step]
        headline = f"all heads {measured(seen[-1])}" if len(seen) else ""
    shown = [inside(steps, each, axis) for each in values]
    plot = Plot(
        axis,
        # Shares, and losses, of heads lie close together and far from 0.
        upright(shown, look, [0.0] if measure.mixture and not look.lens.windows else []),
        curves if len(heads) else (),
        cursor=None if look.following else float(look.step),
        empty="no head of this layer has been measured yet",
    )
    if look.lens.aim is not None:
        plot = replace(plot, crosshair=Crosshair(look.lens.aim.at, "step"))
    return Panel(measure.title, measure.detail, headline, plot, measure.title)
