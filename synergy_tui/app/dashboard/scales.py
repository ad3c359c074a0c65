"""The axes of the panels: shared by all runs, so that columns can be compared by eye. Pure.

An axis is logarithmic when the user says so, or by itself where a curve would hug a linear one: see
`axes.hugging` for fidelity and loss. The axis of diffusion steps is, when some run has three
quarters of its walks arrived within the first tenth of what the slowest run needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from synergy_tui.app.dashboard.look import Look
from synergy_tui.app.dashboard.tracks import arrival_curve, track
from synergy_tui.app.past import number
from synergy_tui.app.widgets.axes import HUGS, Axis, Floats, Scale, covering, hugging
from synergy_tui.experiments.analysis import HeadAlone
from synergy_tui.experiments.state import ExperimentState, RunState

ARRIVED = 0.75
"""Of the walks; a run is as fast as these are."""


@dataclass(frozen=True, slots=True)
class Scales:
    """The axes of the panels."""

    arrival: Axis
    steps: Axis
    fidelity: Axis
    loss: Axis
    bars: float
    """The end of the scale where fidelities are drawn as bars."""
    whole: tuple[float, float]
    """Diffusion and training steps that there are in all, zoomed in or not."""


def scales(state: ExperimentState, look: Look) -> Scales:
    """Axes that hold every run at the cursor and all of its past and future.

    With a window they hold what lies in it.
    """
    runs = list(state.runs.values())
    slowest, scale = _arrival_scale(runs, look)
    planned = 0 if look.ended else state.total_steps or 0
    total = float(max(planned, state.step, 1))
    low, high = look.lens.bounds("steps", look.step, total)
    window = look.lens.windows.get("steps")
    name = (
        "training step"
        if window is None or window.end is not None
        else (f"last {high - low:.0f} steps")
    )
    steps = Axis(low, high, label=name, short="step" if window is None else "", whole=True)
    tracks = [track(run, look, ("fidelity", "minimax")) for run in runs]
    best = [track(run, look, ("synergy", "best_head_fidelity")) for run in runs]
    clear = [inside(x, y, steps) for x, y in [*tracks, *best]]
    losses = [inside(run.steps, run.losses, steps) for run in runs]
    floors = [run.floor for run in runs if run.floor is not None]
    alone = [number(head.get("fidelity_minimax")) for run in runs for head in heads(run, look)]
    ends = [value for _, values in [*tracks, *best] for value in _extent(values)]
    known = [value for value in [*ends, *alone] if np.isfinite(value)]
    return Scales(
        arrival=Axis(
            *look.lens.bounds("arrival", slowest, slowest),
            scale=scale,
            label="diffusion steps",
            short="steps",
            whole=True,
        ),
        steps=steps,
        fidelity=upright(clear, look, [] if window else [0.0]),
        loss=upright(losses, look, [] if window else [0.0, *floors]),
        bars=max(known, default=0.0) or 1.0,
        whole=(slowest, total),
    )


def heads(run: RunState, look: Look) -> Sequence[HeadAlone]:
    """What is known of each head of a run alone, at the cursor."""
    probe = run.probe_at(look.step)
    return look.convention.analysis(probe, look.layer).get("per_head") or [] if probe else []


def _arrival_scale(runs: Iterable[RunState], look: Look) -> tuple[float, Scale]:
    """Diffusion steps until all runs have arrived, and how to lay them out."""
    longest, fastest = 1.0, np.inf
    for run in runs:
        probe = run.probe_at(look.step)
        if probe is None:
            continue
        steps, shares = arrival_curve(probe, look, "mean")
        if len(steps):
            longest = max(longest, float(steps[-1]))
            there = np.flatnonzero(shares >= ARRIVED)
            fastest = min(fastest, float(steps[there[0]])) if there.size else fastest
    chosen = look.lens.logarithmic
    stretched = fastest < HUGS * longest if chosen is None else chosen
    return longest, "log1p" if stretched else "linear"


def inside(steps: np.ndarray, values: Floats, axis: Axis) -> Floats:
    """Values at steps on the axis, and the one before it, from which a line enters."""
    first = max(int(np.searchsorted(steps, axis.low, side="right")) - 1, 0)
    return values[first : int(np.searchsorted(steps, axis.high, side="right"))]


def upright(curves: list[Floats], look: Look, include: list[float]) -> Axis:
    """The y axis of some curves, which holds what to ``include`` too."""
    chosen = look.lens.logarithmic
    logarithmic = hugging(curves) if chosen is None else chosen
    ends = [value for values in curves for value in _extent(values)]
    return covering(ends, scale="log" if logarithmic else "linear", include=include)


def _extent(values: Floats) -> list[float]:
    """Smallest, smallest positive and largest finite value: all that an axis needs to know."""
    known = values[np.isfinite(values)]
    if not known.size:
        return []
    positive = known[known > 0]
    ends = [float(known.min()), float(known.max())]
    return [*ends, float(positive.min())] if positive.size else ends
