"""Every head of a run over its training: a chart for each measure, with all heads together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from textual.app import ComposeResult
from textual.containers import Grid
from textual.content import Content
from textual.widgets import Static

from synergy_tui.app import keys
from synergy_tui.app.dashboard.panels import DECADES, number
from synergy_tui.app.screens.base import TimedScreen
from synergy_tui.app.session import Session
from synergy_tui.app.themes import identity
from synergy_tui.app.timeline import Mode
from synergy_tui.app.widgets.axes import Axis, covering
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.app.widgets.frame import KeyBar, TimelineBar
from synergy_tui.app.widgets.plot import Curve, Panel, Plot
from synergy_tui.experiments.metrics import leaf
from synergy_tui.experiments.state import Probe, RunState
from synergy_tui.words import compact

SMALLEST = (40, 14)

# Title, detail, where the mixture has it, and the key of a head's own.
MEASURES = (
    ("how soon?", "mean steps to the sink", ("mixing", "hitting_time_mean"), "hitting_time_mean"),
    ("mixed when?", "mixing time, worst start", ("mixing", "mixing_time_tv_max"),
     "mixing_time_tv_max"),
    ("how clearly?", "minimax fidelity", ("fidelity", "minimax"), "fidelity_minimax"),
    ("how heavy?", "head weight", None, "weight"),
)  # fmt: skip


class HeadsScreen(TimedScreen):
    """One layer's heads as curves over training steps, or over the checkpoints of a series."""

    BINDINGS = keys.bindings_for("heads")
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    HeadsScreen #charts { grid-size: 2 2; height: 1fr; border: round $foreground 30%; }
    """

    def __init__(self, session: Session, run: str, layer: int | None = None) -> None:
        super().__init__(session)
        self.run_name = run
        self.chosen_layer = layer or 1
        self._charts = [Chart() for _ in MEASURES]
        self._grid = Grid(*self._charts, id="charts")
        self._timeline_bar = TimelineBar(id="timeline")

    def compose(self) -> ComposeResult:
        yield self._grid
        yield self._timeline_bar
        yield KeyBar("heads", id="keys")
        yield Static(id="too-small")

    def refresh_view(self) -> None:
        run = self.state.runs.get(self.run_name)
        if run is None or not self.fits(SMALLEST, "This view", "Escape leaves it."):
            return
        of = f" of {run.layers}" if run.layers else ""
        mark = identity(run.index).mark(self.session.ascii_only)
        # Content, not text: a run may have brackets in its name.
        self._grid.border_title = Content(
            f"{mark} {run.name} · layer {self.chosen_layer}{of} · every head, and all together"
        )
        self._timeline_bar.show(self.track())
        following = self.timeline.mode is Mode.FOLLOW
        step = self.timeline.step
        for place, chart in enumerate(self._charts):
            chart.show(
                panel(place, run, self.chosen_layer, step, None if following else float(step))
            )

    def action_layer(self) -> None:
        run = self.state.runs.get(self.run_name)
        self.chosen_layer = self.chosen_layer % max(run.layers if run and run.layers else 1, 1) + 1
        self.update_now()

    def action_run(self) -> None:
        names = list(self.state.runs)
        self.run_name = names[(names.index(self.run_name) + 1) % len(names)]
        self.chosen_layer = min(self.chosen_layer, self.state.runs[self.run_name].layers or 1)
        self.update_now()


def panel(measure: int, run: RunState, layer: int, step: int, cursor: float | None) -> Panel:
    """The chart of a measure (a position in :data:`MEASURES`), headed by its value at a step."""
    title, detail, path, key = MEASURES[measure]
    probes = [probe for probe in run.probes if len(probe.layers) >= layer]
    steps = np.array([probe.step for probe in probes], dtype=np.int64)
    count = max((len(_heads(probe, layer)) for probe in probes), default=0)
    curves = []
    for head in range(count):
        own = _heads_of(probes, layer, head, key)
        mark = str(head + 1)
        glyph = mark if len(mark) == 1 else ""
        curves.append(Curve(steps, own, identity(head).variable, glyph=glyph, label=mark))
    headline = ""
    if path is not None:
        together = [number(leaf(probe.layers[layer - 1], path)) for probe in probes]
        curves.append(Curve(steps, np.array(together), "text", label="all"))
        now = [value for probe, value in zip(probes, together, strict=True) if probe.step <= step]
        headline = f"all {compact(now[-1])}" if now else ""
    values = [value for curve in curves for value in curve.y.tolist() if math.isfinite(value)]
    positive = [value for value in values if value > 0]
    spread = bool(positive) and max(positive) > DECADES * min(positive)
    plot = Plot(
        Axis(0, max(float(steps[-1]) if len(steps) else 1.0, 1.0), label="step"),
        covering(values, scale="log" if spread else "linear", include=() if spread else (0.0,)),
        curves,
        cursor=cursor,
        empty="nothing was measured of this layer's heads yet",
    )
    return Panel(title, detail, headline, plot)


def _heads(probe: Probe, layer: int) -> Sequence[dict[str, object]]:
    return probe.layers[layer - 1].get("per_head") or ()  # type: ignore[return-value]


def _heads_of(probes: Sequence[Probe], layer: int, head: int, key: str) -> np.ndarray:
    """One head's measure at each probe; NaN where it has none."""
    found = [_heads(probe, layer) for probe in probes]
    return np.array(
        [number(heads[head].get(key)) if head < len(heads) else math.nan for heads in found]
    )
