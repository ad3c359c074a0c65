"""What the dashboard's panels show: the state at the cursor → charts. Pure, without Textual."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from synergy_tui.app.dashboard.look import KINDS, Look, smoothing_name, steps_text
from synergy_tui.app.dashboard.scales import Scales, heads
from synergy_tui.app.dashboard.tracks import arrival_curve, average, earlier, track
from synergy_tui.app.past import number
from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.axes import Axis, Floats
from synergy_tui.app.widgets.plot import Bar, Bars, Crosshair, Curve, Marker, Panel, Plot
from synergy_tui.experiments.metrics import evaluated, metric
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.words import compact, decimal, interval_text, measured

QUESTIONS = ("how soon?", "how clearly?", "has it learned?", "which graph?")
FIDELITY = ("how clearly the worst-heard token gets through, at best", "minimax fidelity")
SHORT = ("soon", "clear", "learned", "graph")
ARRIVED = 0.97
"""An arrival curve that has come this far is drawn on, level, to the end of the axis."""


def mixing_rule(state: ExperimentState, look: Look) -> str:
    """What the mixing time is the first step of, in words."""
    convention = look.convention
    starts = "worst start" if convention.aggregate == "max" else "mean over starts"
    distance = "total variation" if convention.distance == "tv" else "L1 distance"
    lead = "mixing time" if convention.source == "theory" else f"mixing time by {convention.source}"
    probes = (run.probe_at(look.step) for run in state.runs.values())
    epsilon = next((probe.overall.get("epsilon", 0.25) for probe in probes if probe), 0.25)
    if look.ascii_only:
        limit = f"at most {compact(epsilon)}"
    else:
        limit = "≤ ¼" if epsilon == 0.25 else f"≤ {compact(epsilon)}"
    return f"{lead}: {starts}, {distance} {limit}"


def arrived_by(look: Look, analysis: Mapping[str, Any]) -> str:
    """What has happened by the mixing time: who has arrived, with which share."""
    level = look.convention.arrived(number(analysis.get("epsilon", 0.25)))
    starts = "all starts" if look.convention.aggregate == "max" else "on average"
    return f"{starts} {compact(level, 3)} arrived"


def learned(run: RunState, step: int) -> tuple[float | None, float | None]:
    """Loss (nats) and accuracy (0..1) at ``step``, settled over the last reports as in verdicts."""

    def known(name: str) -> float | None:
        try:
            value = metric(run, name, step)
        except UndecidedError:
            return None
        return value if isinstance(value, float) and math.isfinite(value) else None

    return known("loss"), known("accuracy")


def panel(
    question: int, state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales
) -> Panel:
    """The panel that answers a question (a position in :data:`QUESTIONS`) for one run, or for
    several in one chart."""
    shown = _MAKERS[question](state, runs, look, axes)
    aim = look.lens.aim
    if aim is None or aim.kind != KINDS[question] or isinstance(shown.plot, Bars):
        return shown
    alone = len(runs) == 1
    boxed = aim.question == question and aim.run == (runs[0].name if alone else "")
    others = [run for run in state.runs.values() if run not in runs] if boxed else []
    crosshair = Crosshair(
        aim.at, "step", boxed, [_main(question, run, look, axes) for run in others]
    )
    return replace(shown, plot=replace(shown.plot, crosshair=crosshair))


def _main(question: int, run: RunState, look: Look, axes: Scales) -> Curve:
    """The curve of a run that is compared with other runs'."""
    colour, _, glyph = _ink(run, look, alone=False)
    if question == 0:
        probe = run.probe_at(look.step)
        nothing = np.empty(0)
        x, y = (nothing, nothing) if probe is None else _arrival_track(probe, look, axes, "mean")
    elif question == 1:
        x, y = track(run, look, ("fidelity", "minimax"))
    else:
        x, y = run.steps, average(run.steps, run.losses, look.lens.half_life(axes.whole[1]))
    return Curve(x, y, colour, glyph=glyph, label=run.name)


def headline_number(question: int, run: RunState, look: Look) -> str:
    """The number a panel is headed by, alone, for the clipboard."""
    if question == 2:
        loss, _ = learned(run, look.step)
        return "" if loss is None else repr(loss)
    probe = run.probe_at(look.step)
    if probe is None:
        return ""
    analysis = look.convention.analysis(probe, look.layer)
    value = (
        analysis["mixing"].get("hitting_time_mean")
        if question == 0
        else analysis["fidelity"].get("minimax")
    )
    return str(value)


def _ink(run: RunState, look: Look, alone: bool) -> tuple[str, str, str]:
    """Style, faint style and, beside other runs, the glyph of a run's curves."""
    place = identity(run.index)
    return place.variable, place.faint, "" if alone else place.mark(look.ascii_only)


def _how_soon(state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales) -> Panel:
    curves: list[Curve] = []
    markers: list[Marker] = []
    headline = ""
    alone = len(runs) == 1
    for run in runs:
        probe = run.probe_at(look.step)
        if probe is None:
            continue
        colour, faint, glyph = _ink(run, look, alone)
        if alone:
            for place_back, before in enumerate(earlier(run.probes, probe)):
                x, y = _arrival_track(before, look, axes, "mean")
                label = "" if place_back else f"step {before.step:,}"
                curves.append(Curve(x, y, faint, faint=True, label=label))
            for which, style in (("median", "muted"), ("worst", "text")):
                x, y = _arrival_track(probe, look, axes, which)
                curves.append(Curve(x, y, style, label=which))
        x, y = _arrival_track(probe, look, axes, "mean")
        curves.append(Curve(x, y, colour, glyph=glyph, label="mean" if alone else run.name))
        analysis = look.convention.analysis(probe, look.layer)
        mixing = analysis["mixing"]
        mixed = mixing.get(look.convention.key)
        if not math.isnan(number(mixed)):
            label = f"mixed at {measured(mixed)}" if alone else f"{glyph} {measured(mixed)}"
            longer = f"{arrived_by(look, analysis)}: {measured(mixed)}" if alone else ""
            markers.append(Marker("x", number(mixed), label, colour, longer=longer))
        steps = measured(mixing.get("hitting_time_mean"))
        headline += steps if alone else f"{glyph} {steps}  "
        if alone:
            markers += _mixing_bound(analysis)
    if curves:
        epsilon = number(_newest(runs, look).overall.get("epsilon", 0.25))
        level = look.convention.arrived(epsilon)
        markers.insert(
            0, Marker("y", level, f"{compact(level, 3)} arrived", "axis", minor=not alone)
        )
        headline = f"mean {headline.strip()} steps"
    main = _newest(runs, look).overall.get("convention") if curves else None
    what = f"arrival at the sink{_layer(look)}"
    if main not in (None, look.convention.source):
        what += f" ({main})"
    plot = Plot(axes.arrival, Axis(0, 1), curves, markers, empty=_waiting(state, runs, 0))
    return Panel(QUESTIONS[0], what, headline.strip(), plot, SHORT[0])


def _how_clearly(
    state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales
) -> Panel:
    if not any(run.learns for run in runs):
        return _clearly_bars(state, runs, look, axes)
    curves: list[Curve] = []
    markers: list[Marker] = []
    headline = ""
    alone = len(runs) == 1
    for run in runs:
        steps, values = track(run, look, ("fidelity", "minimax"))
        if not len(steps):
            continue
        colour, faint, glyph = _ink(run, look, alone)
        curves += _until(
            Curve(steps, values, colour, reads="φ") if alone else _main(1, run, look, axes),
            faint,
            look,
        )
        probe = run.probe_at(look.step)
        if probe is None:
            continue
        analysis = look.convention.analysis(probe, look.layer)
        if not alone:
            headline += f"  {glyph} {measured(analysis['fidelity'].get('minimax'))}"
            continue
        if run.heads > 1:
            x, y = track(run, look, ("synergy", "best_head_fidelity"))
            curves.insert(0, Curve(x, y, "muted", label="best single head"))
        if look.layer is None and len(probe.layers) > 1:
            for layer in range(1, len(probe.layers) + 1):
                x, y = track(run, look, ("fidelity", "minimax"), layer)
                curves.insert(0, Curve(x, y, faint, faint=True, label=f"layer {layer}"))
        markers += _fidelity_bound(analysis)
        headline = _fidelity_text(analysis)
    plot = Plot(
        axes.steps,
        axes.fidelity,
        curves,
        markers,
        _cursor(look),
        empty=_waiting(state, runs, 1),
        shares_x=True,
    )
    detail, brief = (f"{what}{_layer(look)}" for what in FIDELITY)
    return Panel(QUESTIONS[1], detail, headline.strip(), plot, SHORT[1], brief)


def _clearly_bars(
    state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales
) -> Panel:
    """A designed graph has one moment, so its heads are compared instead of its steps."""
    bars: list[Bar] = []
    headline = ""
    for run in runs:
        probe = run.probe_at(look.step)
        if probe is None:
            continue
        colour = identity(run.index).variable
        analysis = look.convention.analysis(probe, look.layer)
        value = analysis["fidelity"].get("minimax")
        each = heads(run, look)
        if len(runs) == 1:
            for head in each if len(each) > 1 else []:
                alone = head.get("fidelity_minimax")
                bars.append(Bar(f"head {head['head']}", number(alone), measured(alone), "muted"))
            headline = _fidelity_text(analysis)
        name = "together" if len(each) > 1 else "its head"
        if len(runs) > 1:
            name = f"{_ink(run, look, alone=False)[2]} {run.name}"
        bars.append(Bar(name, number(value), measured(value), colour))
    plot: Plot | Bars = Bars(bars, axes.bars)
    if not bars:
        plot = Plot(Axis(0, 1), Axis(0, 1), empty=_waiting(state, runs, 1))
    detail, brief = (f"{what}{_layer(look)}" for what in FIDELITY)
    return Panel(QUESTIONS[1], detail, headline.strip(), plot, SHORT[1], brief)


def _has_it_learned(
    state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales
) -> Panel:
    curves: list[Curve] = []
    markers: list[Marker] = []
    headline = ""
    alone = len(runs) == 1
    half_life = look.lens.half_life(axes.whole[1])
    for run in runs:
        if not len(run.steps):
            continue
        _, faint, glyph = _ink(run, look, alone)
        main = _main(2, run, look, axes)
        if alone:
            if half_life:
                curves.append(Curve(run.steps, run.losses, faint, faint=True, reads="raw"))
            main = replace(main, glyph="", label="", reads="EMA" if half_life else "loss")
        curves += _until(main, faint, look)
        loss, accuracy = learned(run, look.step)
        if not alone:
            headline += f"  {glyph} {measured(loss)}"
        else:
            of = "held-out" if evaluated(run, look.step) else "loss"
            parts = [] if loss is None else [f"{of} {compact(loss, 3)}"]
            parts += [] if accuracy is None else [f"{decimal(accuracy, '.1%')} right"]
            headline = " · ".join(parts)
    floors = {run.floor for run in runs if run.floor is not None and math.isfinite(run.floor)}
    for floor in sorted(floors):
        markers.append(Marker("y", floor, f"floor {compact(floor)}", "axis"))
    waiting = _waiting(state, runs, 2)
    if runs and not any(run.learns for run in runs):
        waiting = "nothing is trained here: the graph is given"
    plot = Plot(axes.steps, axes.loss, curves, markers, _cursor(look), empty=waiting)
    detail = f"training loss, nats · {smoothing_name(half_life)}"
    brief = f"nats · EMA {steps_text(half_life)}" if half_life else "nats, not smoothed"
    return Panel(QUESTIONS[2], detail, headline.strip(), plot, SHORT[2], brief)


def _which_graph(
    state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales
) -> Panel:
    """The frame for a graph, which is drawn where it has been loaded (`graph`)."""
    plot = Plot(Axis(0, 1), Axis(0, 1), empty=_waiting(state, runs, 3))
    return Panel(QUESTIONS[3], "", "", plot, SHORT[3])


_MAKERS = (_how_soon, _how_clearly, _has_it_learned, _which_graph)


def _until(curve: Curve, faint: str, look: Look) -> list[Curve]:
    """A curve up to the cursor, and faintly what came after."""
    if look.following:
        return [curve]
    cut = int(np.searchsorted(curve.x, look.step, side="right"))
    later = slice(max(cut - 1, 0), None)
    return [
        Curve(curve.x[later], curve.y[later], faint, faint=True, reads=curve.name),
        replace(curve, x=curve.x[:cut], y=curve.y[:cut]),
    ]


def _cursor(look: Look) -> float | None:
    return None if look.following else float(look.step)


def _arrival_track(probe: Probe, look: Look, axes: Scales, which: str) -> tuple[Floats, Floats]:
    """An arrival curve, drawn on to the end of the axis once it is within a dot of 1: it cannot
    fall, and another run's may take longer."""
    steps, values = arrival_curve(probe, look, which)
    if len(values) and values[-1] >= ARRIVED and steps[-1] < axes.arrival.high:
        return np.append(steps, axes.arrival.high), np.append(values, values[-1])
    return steps, values


def _newest(runs: Sequence[RunState], look: Look) -> Probe:
    return next(probe for run in runs if (probe := run.probe_at(look.step)) is not None)


def _mixing_bound(analysis: Mapping[str, Any]) -> list[Marker]:
    """The theory's upper bound on the mixing time, the sharper one where it is known."""
    bounds = analysis.get("bounds") or {}
    for key in ("sharper", "thm_2_9"):
        bound = bounds.get(key) or {}
        value = number(bound.get("bound"))
        if bound.get("applies") and math.isfinite(value):
            return [Marker("x", value, f"proven limit {compact(value)}", "marker", minor=True)]
    return []


def _fidelity_bound(analysis: Mapping[str, Any]) -> list[Marker]:
    """The theory's upper bound on the minimax fidelity, where it says anything (is below 1)."""
    bound = (analysis.get("bounds") or {}).get("fidelity_backward") or {}
    nodes = number(analysis.get("nodes"))
    value = number(bound.get("bound")) / nodes if nodes else math.nan
    if bound.get("applies") and value < 1:
        return [Marker("y", value, f"proven limit {compact(value)}", "marker")]
    return []


def _fidelity_text(analysis: Mapping[str, Any]) -> str:
    fidelity = analysis["fidelity"]
    text = f"φ {measured(fidelity.get('minimax'))}"
    interval = (analysis.get("intervals") or {}).get("fidelity_minimax")
    time = fidelity.get("time")  # layers have hardly one in common
    # Beside an interval there is no room for it in a column.
    return text + (interval_text(interval) or ("" if time is None else f" at t* {measured(time)}"))


def _layer(look: Look) -> str:
    return "" if look.layer is None else f", layer {look.layer}"


def _waiting(state: ExperimentState, runs: Sequence[RunState], question: int) -> str:
    """What an empty panel waits for, and what it will show then."""
    first = "training step" if question == 2 else "probe"
    failed = [run for run in runs if run.status in ("failed", "stopped")]
    if failed:
        return f"{failed[0].name} {failed[0].status} before its first {first}"
    if not runs:
        what = "waiting for the worker to start"
    elif runs[0].status == "waiting":
        what = "the worker is starting: loading torch takes a few seconds"
    elif runs[0].learns:
        what = f"waiting for the first {first}"
    else:
        what = "waiting for the engine's answer"
    if question and (not runs or runs[0].status == "waiting"):
        return _PROMISES[question]  # the first panel says it for all
    return f"{what}\n{_PROMISES[question]}"


_PROMISES = (
    "here: the share of tokens whose walk has reached the sink, the last token, step by step",
    "here: how much of the token that is heard worst reaches the sink, as training proceeds",
    "here: the loss, and the floor below which no model can go",
    "here: the nodes in the order in which information flows, and the edges of each head",
)
"""What each panel shows, for those who wait before an empty one."""
