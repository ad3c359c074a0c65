"""The series behind the panels: measures by step, arrival curves, smoothing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_tui.app.dashboard.look import Look
from synergy_tui.app.past import number_at
from synergy_tui.app.widgets.axes import Floats
from synergy_tui.experiments.state import Probe, RunState, Series

EARLIER = 4
"""How many earlier arrival curves are drawn faintly behind the newest."""
HALVINGS = 256
"""Half-lives that are summed at once: weights of 2^256 times a loss are still finite."""
LARGEST = 1e200
"""A loss beyond it is not averaged: it would leave nothing of those after it."""


def track(
    run: RunState, look: Look, path: tuple[str, str], layer: int | None = None
) -> tuple[np.ndarray, Floats]:
    """One metric over the probes of a run: (k,) steps and (k,) values."""
    layer = look.layer if layer is None else layer
    kept = run.tracks.setdefault((look.convention, layer, path), Series())
    for probe in run.probes[len(kept) :]:
        kept.append(probe.step, number_at(probe, look.convention, layer, path))
    return kept.steps, kept.values


def arrival(probe: Probe, look: Look) -> Mapping[str, Any]:
    """Arrival at the sink by diffusion step, as the probe recorded it."""
    analysis = look.convention.analysis(probe, look.layer)
    curve: Mapping[str, Any] = analysis.get("arrival") or probe.overall.get("arrival") or {}
    if not curve and probe.layers:
        curve = probe.layers[-1].get("arrival") or {}
    return curve


def arrival_curve(probe: Probe, look: Look, which: str) -> tuple[Floats, Floats]:
    """Arrival at the sink (``mean``, ``median`` or ``worst``): (k,) diffusion steps and shares."""
    curve = arrival(probe, look)
    steps = np.asarray(curve.get("steps") or [], dtype=np.float64)
    values = np.asarray(curve.get(which) or [math.nan] * len(steps), dtype=np.float64)
    return steps, values


def earlier(probes: Sequence[Probe], newest: Probe) -> Iterable[Probe]:
    """A few probes from the first on, closer together towards the newest."""
    past = [probe for probe in probes if probe.step < newest.step]
    if not past:
        return []
    chosen = sorted({len(past) - 1 - round(len(past) * (1 - 2.0**-k)) for k in range(EARLIER)})
    return [past[index] for index in chosen if index >= 0]


def average(steps: npt.NDArray[np.int64], values: Floats, half_life: float) -> Floats:
    """Exponential moving average (k,) of values (k,) at increasing steps.

    Each is the mean of all values so far with weights that halve every ``half_life`` steps back; it
    starts at the first value, and is NaN where a value is not finite. O(k).
    """
    if not half_life or not len(values):
        return values
    known = np.abs(values) <= LARGEST
    kept = values if (whole := bool(known.all())) else np.where(known, values, 0.0)
    ages = (steps - steps[0]) / half_life
    averaged = np.empty(len(values))
    total = weight = origin = 0.0
    block = (ages / HALVINGS).astype(np.int64)
    edges = [0, *(np.flatnonzero(block[1:] != block[:-1]) + 1).tolist(), len(values)]
    for start, stop in pairwise(edges):
        fade, origin = 2.0 ** (origin - ages[start]), ages[start]
        weights = np.exp2(ages[start:stop] - origin)
        if not whole:
            weights *= known[start:stop]
        totals = np.cumsum(weights * kept[start:stop]) + total * fade
        sums = np.cumsum(weights) + weight * fade
        with np.errstate(invalid="ignore"):
            averaged[start:stop] = totals / sums
        total, weight = totals[-1], sums[-1]
    if not whole:
        averaged[~known] = np.nan
    return averaged
