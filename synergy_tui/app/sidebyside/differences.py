"""How far two runs are apart: charts of B against A, at equal steps. Pure, without Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synergy_tui.app.dashboard.look import Look, smoothing_name
from synergy_tui.app.dashboard.panels import learned
from synergy_tui.app.dashboard.scales import Scales
from synergy_tui.app.dashboard.tracks import arrival_curve, average
from synergy_tui.app.past import typical_at
from synergy_tui.app.widgets.axes import Axis, Floats, covering
from synergy_tui.app.widgets.plot import Bar, Bars, Curve, Marker, Panel, Plot
from synergy_tui.experiments import comparison
from synergy_tui.experiments.comparison import CLEAR, SOON, Measure, View
from synergy_tui.experiments.state import Probe, RunState
from synergy_tui.words import compact

MOST = 1e4
"""Ratios beyond this, either way, are drawn at the edge of the chart."""

AWAITED = "a probe of both is awaited"

Track = tuple[np.ndarray, Floats]


def aligned(one: Track, other: Track) -> tuple[np.ndarray, Floats, Floats]:
    """Both at every step that either reports, from the later beginning to the earlier end.

    Where one does not report a step, it has the value of its last step before. Steps increase.
    """
    if not (len(one[0]) and len(other[0])):
        return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    steps = np.union1d(one[0], other[0])
    low, high = max(one[0][0], other[0][0]), min(one[0][-1], other[0][-1])
    steps = steps[(steps >= low) & (steps <= high)]
    first, second = (
        values[np.searchsorted(at, steps, side="right") - 1] for at, values in (one, other)
    )
    return steps, first, second


def panel(
    question: int, runs: Sequence[RunState], look: Look, axes: Scales, *, alike: bool
) -> Panel:
    """The chart of the difference for a question of the dashboard; ``axes`` are both runs'.

    ``runs`` are A and B, in this order. Inputs are paired only where the two are ``alike``.
    """
    one, other = runs
    if question == 2:
        return _loss(one, other, look, axes)
    measure, word = ((SOON, "sooner"), (CLEAR, "clearer"))[question]
    if not (one.learns and other.learns and len(one.probes) > 1 and len(other.probes) > 1):
        # A moment has no history: what else there is to compare is how the signal arrives.
        return _arrival(one, other, look) if question == 0 else _moment(one, other, look, alike)
    x, y = _ratios(one, other, measure, look)
    estimate = _estimate(one, other, measure, look, alike)
    quotient = "A / B" if measure.sign < 0 else "B / A"
    what = "steps to sink" if measure is SOON else "minimax fidelity"
    plot = Plot(
        axes.steps,
        _around_one(y),
        _past_and_future(Curve(x, y, "text", reads=quotient), look),
        [Marker("y", 1.0, "equal", "axis")],
        _cursor(look),
        empty=AWAITED,
        shares_x=question == 1,
    )
    detail = f"{what}, {quotient}; above 1: B is {word}"
    return Panel(f"B {word}", detail, _times(estimate), plot, f"B {word}", quotient)


def _ratios(one: RunState, other: RunState, measure: Measure, look: Look) -> Track:
    """How much better B is, by step: the ratio of typical values, as the scoreboard takes it."""

    view = View(look.step, look.convention, look.layer)

    def track(run: RunState) -> Track:
        typical = [typical_at(probe, view, measure) for probe in run.probes]
        at = np.array([probe.step for probe in run.probes], dtype=np.int64)
        return at, np.array(typical, dtype=np.float64)

    x, first, second = aligned(track(one), track(other))
    with np.errstate(invalid="ignore", over="ignore"):
        return x, np.exp(measure.sign * (second - first))


def _estimate(
    one: RunState, other: RunState, measure: Measure, look: Look, alike: bool
) -> comparison.Estimate | None:
    view = View(look.step, look.convention, look.layer)
    first, second = view.of(one), view.of(other)
    if not (first and second):
        return None
    return comparison.difference(first, second, measure, paired=alike)


def _times(estimate: comparison.Estimate | None) -> str:
    """A ratio with its interval."""
    if estimate is None or math.isnan(estimate.log):
        return ""
    ends = estimate.interval
    interval = f" [{', '.join(map(comparison.number, ends))}]" if ends else ""
    return f"{comparison.number(estimate.ratio)}×{interval}"


def _moment(one: RunState, other: RunState, look: Look, alike: bool) -> Panel:
    """Fidelity at one step each: the ratio, by layer where there are several."""
    headline = _times(_estimate(one, other, CLEAR, look, alike))
    probes = one.probe_at(look.step), other.probe_at(look.step)
    layers = min(one.layers, other.layers) if all(probes) else 0
    plot: Plot | Bars = Plot(
        Axis(0, 1),
        Axis(0, 1),
        empty=f"B is {headline.partition(' ')[0]} as clear as A" if headline else AWAITED,
    )
    if layers > 1:
        ratios = [_of_layer(probes, layer, look) for layer in range(1, layers + 1)]
        bars = [
            Bar(f"layer {layer}", ratio, f"{comparison.number(ratio)}×")
            for layer, ratio in enumerate(ratios, start=1)
        ]
        plot = Bars([*bars, Bar("equal", 1.0, "1×", "muted")], max([*ratios, 1.0]))
    return Panel("B clearer", "minimax fidelity, B / A", headline, plot, "B clearer", "B / A")


def _of_layer(probes: Sequence[Probe | None], layer: int, look: Look) -> float:
    """How much clearer B is in one layer."""
    one, other = (
        comparison.typical(look.convention.analysis(probe, layer), CLEAR) if probe else math.nan
        for probe in probes
    )
    return comparison.exp(other - one)


def _arrival(one: RunState, other: RunState, look: Look) -> Panel:
    """The share of walkers that has arrived with B and not yet with A, by diffusion step."""
    probes = one.probe_at(look.step), other.probe_at(look.step)
    curves = [arrival_curve(probe, look, "mean") for probe in probes if probe is not None]
    known = [curve for curve in curves if len(curve[0])]
    x, y = np.empty(0), np.empty(0)
    if len(known) == 2:
        x, first, second = aligned(known[0], known[1])
        y = second - first
    end = float(x[-1]) if len(x) else 1.0
    plot = Plot(
        Axis(0, max(end, 1.0), label="diffusion steps", whole=True),
        covering(y, include=[0.0]),
        [Curve(x, y, "text", reads="B - A")] if len(x) else [],
        [Marker("y", 0.0, "equal", "axis")],
        empty=AWAITED,
    )
    headline = _times(_estimate(one, other, SOON, look, alike=False))
    detail = "share arrived, B - A; above 0: B is ahead"
    return Panel("B sooner", detail, headline, plot, "B sooner", "B - A")


def _loss(one: RunState, other: RunState, look: Look, axes: Scales) -> Panel:
    x, first, second = aligned((one.steps, one.losses), (other.steps, other.losses))
    with np.errstate(invalid="ignore"):
        raw = second - first
    half_life = look.lens.half_life(axes.whole[1])
    levels = average(x, raw, half_life)
    curves = [Curve(x, raw, "axis", faint=True, reads="raw")] if len(x) and half_life else []
    curves += _past_and_future(Curve(x, levels, "text", reads="B - A"), look)
    losses = [learned(run, look.step)[0] for run in (one, other)]
    headline = ""
    if losses[0] is not None and losses[1] is not None:
        headline = f"{compact(losses[1] - losses[0], 3)} nats"
    plot = Plot(
        axes.steps,
        covering(levels, include=[0.0]),
        curves,
        [Marker("y", 0.0, "equal", "axis")],
        _cursor(look),
        empty="a training step of both is awaited"
        if one.learns and other.learns
        else "not both are trained",
    )
    detail = f"loss, B - A; below 0: B has learned more · {smoothing_name(half_life)}"
    return Panel("B learned", detail, headline, plot, "B learned", "B - A")


def _around_one(ratios: Floats) -> Axis:
    """A logarithmic axis with 1 in it."""
    known = np.clip(ratios[np.isfinite(ratios)], 1 / MOST, MOST)
    low, high = float(known.min(initial=0.8)), float(known.max(initial=1.25))
    return Axis(low, high, scale="log")


def _past_and_future(curve: Curve, look: Look) -> list[Curve]:
    """A curve up to the cursor, and faintly what came after."""
    if look.following or not len(curve.x):
        return [curve] if len(curve.x) else []
    cut = int(np.searchsorted(curve.x, look.step, side="right"))
    later = slice(max(cut - 1, 0), None)
    return [
        replace(curve, x=curve.x[later], y=curve.y[later], style="axis", faint=True),
        replace(curve, x=curve.x[:cut], y=curve.y[:cut]),
    ]


def _cursor(look: Look) -> float | None:
    return None if look.following else float(look.step)
