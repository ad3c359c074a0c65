"""What the dashboard's panels show: the state at the cursor → charts. Pure, without Textual."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.axes import Axis, Floats, covering
from synergy_tui.app.widgets.plot import Bar, Bars, Curve, Marker, Panel, Plot
from synergy_tui.experiments.conventions import Convention
from synergy_tui.experiments.metrics import evaluated, leaf, metric
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.words import compact, interval_text, measured

QUESTIONS = ("how soon?", "how clearly?", "has it learned?")
FIDELITY = ("how clearly the worst-heard token gets through, at best", "minimax fidelity")
SHORT = ("soon", "clear", "learned")
ARRIVED = 0.97
"""An arrival curve that has come this far is drawn on, level, to the end of the axis."""
EARLIER = 4
"""How many earlier arrival curves are drawn faintly behind the newest."""
DECADES = 100.0
"""Fidelities with a larger ratio than this get a logarithmic axis, unless the user objects."""
LONG = 250
"""Arrival curves longer than this many steps get a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the panels look at the state."""

    step: int  # of the cursor
    following: bool  # whether the cursor is at the newest step by itself; then it is not drawn
    convention: Convention
    layer: int | None = None  # from 1; None for all together
    logarithmic: bool | None = None
    """Axes of fidelity and loss; None: a log axis for a fidelity that spans decades."""
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Scales:
    """Axes shared by all runs, so that columns can be compared by eye."""

    arrival: Axis
    steps: Axis
    fidelity: Axis
    loss: Axis
    bars: float
    """The end of the scale where fidelities are drawn as bars."""


def number(value: Any) -> float:
    """A metric as a float: NaN for what is missing, infinity for a censored time."""
    if value is None or isinstance(value, bool):
        return math.nan
    if isinstance(value, str):
        return math.inf if value.startswith(">") or value == "inf" else math.nan
    return float(value)


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


def scales(state: ExperimentState, look: Look) -> Scales:
    """Axes that hold every run at the cursor and all of its past and future."""
    runs = list(state.runs.values())
    ends = [
        _arrival(probe, look)["steps"][-1]
        for run in runs
        if (probe := run.probe_at(look.step))
        if _arrival(probe, look).get("steps")
    ]
    longest = max((float(end) for end in ends), default=1.0)
    scale = "log1p" if longest > LONG else "linear"
    total = max(state.total_steps or 0, state.step, 1)
    tracks = [track(run, look, ("fidelity", "minimax"))[1] for run in runs]
    best = [track(run, look, ("synergy", "best_head_fidelity"))[1] for run in runs]
    losses = [value for run in runs for value in _extent(run.losses)]
    floors = [run.floor for run in runs if run.floor is not None]
    clear = [value for values in [*tracks, *best] for value in _extent(values)]
    alone = [number(head.get("fidelity_minimax")) for run in runs for head in _heads(run, look)]
    known = [value for value in [*clear, *alone] if math.isfinite(value)]
    logarithmic = _spans_decades(tracks) if look.logarithmic is None else look.logarithmic
    return Scales(
        arrival=Axis(0, max(longest, 1.0), scale=scale, label="diffusion steps"),  # type: ignore[arg-type]
        steps=Axis(0, total, label="training step"),
        fidelity=covering(
            clear,
            scale="log" if logarithmic else "linear",
            include=[0.0],
        ),
        loss=covering(
            losses,
            scale="log" if look.logarithmic else "linear",
            include=[0.0, *floors],
        ),
        bars=max(known, default=0.0) or 1.0,
    )


def panel(
    question: int, state: ExperimentState, runs: Sequence[RunState], look: Look, axes: Scales
) -> Panel:
    """The panel that answers a question (a position in :data:`QUESTIONS`) for one run, or for
    several in one chart."""
    make = (_how_soon, _how_clearly, _has_it_learned)[question]
    return make(state, runs, look, axes)


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
            for place_back, earlier in enumerate(_earlier(run.probes, probe)):
                x, y = _arrival_track(earlier, look, axes, "mean")
                label = "" if place_back else f"step {earlier.step}"
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
        curves += _until(steps, values, look, colour, faint, glyph, "" if alone else run.name)
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
        heads = _heads(run, look)
        if len(runs) == 1:
            for head in heads if len(heads) > 1 else []:
                alone = head.get("fidelity_minimax")
                bars.append(Bar(f"head {head['head']}", number(alone), measured(alone), "muted"))
            headline = _fidelity_text(analysis)
        name = run.name if len(runs) > 1 else "together" if len(heads) > 1 else "its head"
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
    for run in runs:
        if not len(run.steps):
            continue
        colour, faint, glyph = _ink(run, look, alone)
        if alone:
            curves.append(Curve(run.steps, run.losses, faint, faint=True))
        curves += _until(
            run.steps, smooth(run.losses), look, colour, faint, glyph, "" if alone else run.name
        )
        loss, accuracy = learned(run, look.step)
        if not alone:
            headline += f"  {glyph} {measured(loss)}"
        else:
            of = "held-out" if evaluated(run, look.step) else "loss"
            parts = [] if loss is None else [f"{of} {compact(loss, 3)}"]
            parts += [] if accuracy is None else [f"{accuracy:.1%} right"]
            headline = " · ".join(parts)
    floors = {run.floor for run in runs if run.floor is not None and math.isfinite(run.floor)}
    for floor in sorted(floors):
        markers.append(Marker("y", floor, f"floor {compact(floor)}", "axis"))
    waiting = _waiting(state, runs, 2)
    if runs and not any(run.learns for run in runs):
        waiting = "nothing is trained here: the graph is given"
    plot = Plot(axes.steps, axes.loss, curves, markers, _cursor(look), empty=waiting)
    return Panel(QUESTIONS[2], "training loss, nats", headline.strip(), plot, SHORT[2])


def smooth(values: Floats, share: float = 0.04) -> Floats:
    """Centred running mean over a share of the points (at least 5); shorter at the ends."""
    size = len(values)
    half = max(2, int(size * share / 2))
    if size < 8:
        return values
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    index = np.arange(size)
    # The same reach on both sides, so that the ends are not dragged towards the middle.
    reach = np.minimum(half, np.minimum(index, size - 1 - index))
    low, high = index - reach, index + reach + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums[high] - sums[low]) / (counts[high] - counts[low])


def _until(
    steps: np.ndarray,
    values: Floats,
    look: Look,
    colour: str,
    faint: str,
    glyph: str,
    label: str,
) -> list[Curve]:
    """A curve up to the cursor, and faintly what came after."""
    if look.following:
        return [Curve(steps, values, colour, glyph=glyph, label=label)]
    cut = int(np.searchsorted(steps, look.step, side="right"))
    return [
        Curve(steps[max(cut - 1, 0) :], values[max(cut - 1, 0) :], faint, faint=True),
        Curve(steps[:cut], values[:cut], colour, glyph=glyph, label=label),
    ]


def _cursor(look: Look) -> float | None:
    return None if look.following else float(look.step)


def track(
    run: RunState, look: Look, path: tuple[str, str], layer: int | None = None
) -> tuple[np.ndarray, Floats]:
    """One metric over the probes of a run: (k,) steps and (k,) values."""
    layer = look.layer if layer is None else layer
    probes = run.probes
    steps = np.fromiter((probe.step for probe in probes), dtype=np.int64, count=len(probes))
    values = np.fromiter(
        (number(leaf(look.convention.analysis(probe, layer), path)) for probe in probes),
        dtype=np.float64,
        count=len(probes),
    )
    return steps, values


def _arrival(probe: Probe, look: Look) -> Mapping[str, Any]:
    analysis = look.convention.analysis(probe, look.layer)
    curve: Mapping[str, Any] = analysis.get("arrival") or probe.overall.get("arrival") or {}
    if not curve and probe.layers:
        curve = probe.layers[-1].get("arrival") or {}
    return curve


def arrival_curve(probe: Probe, look: Look, which: str) -> tuple[Floats, Floats]:
    """Arrival at the sink (``mean``, ``median`` or ``worst``): (k,) diffusion steps and shares."""
    curve = _arrival(probe, look)
    steps = np.asarray(curve.get("steps") or [], dtype=np.float64)
    values = np.asarray(curve.get(which) or [math.nan] * len(steps), dtype=np.float64)
    return steps, values


def _arrival_track(probe: Probe, look: Look, axes: Scales, which: str) -> tuple[Floats, Floats]:
    """An arrival curve, drawn on to the end of the axis once it is within a dot of 1: it cannot
    fall, and another run's may take longer."""
    steps, values = arrival_curve(probe, look, which)
    if len(values) and values[-1] >= ARRIVED and steps[-1] < axes.arrival.high:
        return np.append(steps, axes.arrival.high), np.append(values, values[-1])
    return steps, values


def _earlier(probes: Sequence[Probe], newest: Probe) -> Iterable[Probe]:
    """A few probes from the first on, closer together towards the newest."""
    past = [probe for probe in probes if probe.step < newest.step]
    if not past:
        return []
    chosen = sorted({len(past) - 1 - round(len(past) * (1 - 2.0**-k)) for k in range(EARLIER)})
    return [past[index] for index in chosen if index >= 0]


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
)
"""What each panel shows, for those who wait before an empty one."""


def _heads(run: RunState, look: Look) -> Sequence[Mapping[str, Any]]:
    """What is known of each head of a run alone, at the cursor."""
    probe = run.probe_at(look.step)
    return look.convention.analysis(probe, look.layer).get("per_head") or [] if probe else []


def _spans_decades(tracks: Sequence[Floats]) -> bool:
    """Whether the newest values of several runs, or one run's own, span decades."""
    known = np.concatenate([[], *(track[np.isfinite(track) & (track > 0)] for track in tracks)])
    return bool(known.size) and bool(known.max() > DECADES * known.min())


def _extent(values: np.ndarray) -> list[float]:
    """Smallest and largest finite value; the range that a growing series stretches an axis to."""
    known = values[np.isfinite(values)]
    if not known.size:
        return []
    positive = known[known > 0]
    ends = [float(known.min()), float(known.max())]
    return [*ends, float(positive.min())] if positive.size else ends
