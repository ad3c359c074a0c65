"""A sweep as it stands: its groups with means and intervals over seeds, and the verdicts so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_tui.experiments.comparison import log
from synergy_tui.report.document import compose
from synergy_tui.report.evidence import gather
from synergy_tui.report.statistics.intervals import UNKNOWN, Interval, bootstrap_interval
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.measures import Measure
from synergy_tui.sweep.overview import Overview

Values = Mapping[str, Mapping[str, Mapping[int, float]]]
"""Group → run → seed → number, of finished points."""


@dataclass(frozen=True)
class Row:
    """A run of a group over its seeds, and against the group's reference within each seed."""

    group: str
    run: str
    reference: str  # the run that it is compared with; empty where it is that run itself
    samples: int  # seeds that have a number
    mean: float
    interval: Interval  # 95 % over seeds
    ratios: npt.NDArray[np.float64]  # (seeds,) above 1 is favourable; empty without a reference
    ratio: float  # geometric mean of them
    ratio_interval: Interval


def values_of(overview: Overview, measure: Measure) -> Values:
    """What the finished points of a sweep have measured; every group and run is a key."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for view in overview.points.values():
        group = found.setdefault(view.point.group or "all points", {})
        for run in view.point.columns:
            seeds = group.setdefault(run, {})
            state = view.state.runs.get(run) if view.status == "finished" else None
            if state is not None and not math.isnan(value := measure.value(state)):
                seeds[view.point.seed] = value
    return found


def group_rows(values: Values, measure: Measure) -> list[Row]:
    """Means and ratios of every run of every group; the first run of a group is its reference."""
    return [
        _row(group, run, runs[run], runs[next(iter(runs))], next(iter(runs)), measure)
        for group, runs in values.items()
        for run in runs
    ]


def _row(
    group: str,
    run: str,
    own: Mapping[int, float],
    others: Mapping[int, float],
    reference: str,
    measure: Measure,
) -> Row:
    sample = np.array(list(own.values()), dtype=np.float64)
    if measure.is_ratio:
        ratios, reference = [log(value) for value in own.values()], "its best head"
    elif run == reference:
        ratios, reference = [], ""
    else:
        sign = -1 if measure.less_is_better else 1
        ratios = [sign * (log(own[s]) - log(others[s])) for s in own if s in others]
    logs = np.array([ratio for ratio in ratios if not math.isnan(ratio)], dtype=np.float64)
    finite = logs.size > 0 and bool(np.isfinite(logs).all())
    low, high = bootstrap_interval(logs) if finite else UNKNOWN
    return Row(
        group=group,
        run=run,
        reference=reference,
        samples=sample.size,
        mean=float(sample.mean()) if sample.size else math.nan,
        interval=bootstrap_interval(sample),
        ratios=np.exp(logs),
        ratio=math.exp(logs.mean()) if finite else float(np.exp(np.median(logs))) if logs.size
        else math.nan,
        ratio_interval=(math.exp(low), math.exp(high)),
    )  # fmt: skip


def standing(sweep: Sweep) -> list[tuple[str, str]]:
    """What `synergy report` would say now: verdict and sentence of each statement.

    A `UserError` says that no run has finished with a measurement.
    """
    document = compose(gather([str(sweep.path)]), command="")
    return [
        (str(verdict or "differs"), f"{claim.label}: {sentence}")
        for verdict, claim, sentence in document.headline
    ]
