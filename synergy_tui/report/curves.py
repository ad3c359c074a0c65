"""Claims as figures: the forest of ratios to the null, and curves along head counts and λ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synergy_tui.drawing import grid
from synergy_tui.report.evidence import Evidence, time_in_words
from synergy_tui.report.panels import INK, WIDTH, Plot, each_group, ordered, plain
from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.statistics.examine import several
from synergy_tui.report.statistics.findings import Finding
from synergy_tui.report.statistics.observations import (
    Observation,
    by_group,
    dose_in_words,
    number_at,
)
from synergy_tui.words import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Verdicts differ by shape and by fill, not by colour alone.
_SHAPES: Mapping[Verdict, tuple[str, str]] = {
    Verdict.SUPPORTED: ("^", "#0072B2"),
    Verdict.CONTRADICTED: ("v", "#D55E00"),
    Verdict.NO_EFFECT: ("s", "#6b7280"),
    Verdict.UNDECIDED: ("o", "white"),
}
# Ratios beyond are drawn at the edge.
FARTHEST = 100.0


def forest(findings: Sequence[Finding]) -> list[Plot]:
    """One row per claim and group: the ratio to the null with its interval, by convention."""
    found = []
    for convention in dict.fromkeys(finding.convention for finding in findings):
        rows = [
            each
            for each in findings
            if each.convention == convention
            and each.about.kind == "effect"
            and 0 < each.ratio < math.inf
        ]
        if rows:
            found.append(
                Plot(
                    f"forest-{convention}",
                    f"Every claim against its null ({convention})",
                    "Right of the line is what is claimed, the line is the null. Shaded: nearer to "
                    "1 than the smallest effect of interest. ▲ supported, ▼ contradicted, ■ no "
                    "effect, ○ undecided. Bars: 95% over seeds; arrows continue beyond the edge.",
                    lambda rows=rows: _forest(rows),  # type: ignore[misc]
                )
            )
    return found


def _forest(rows: Sequence[Finding]) -> Figure:
    figure, [[axes]] = grid(1, 1, WIDTH, 0.19 * len(rows) + 0.9)
    plain(axes)
    axes.grid(axis="y", visible=False)
    furthest = 2.0
    for place, row in enumerate(rows):
        axes.barh(
            place, row.effect - 1 / row.effect, left=1 / row.effect, height=1.0, color="#e9edf2"
        )
        low, high = (min(max(end, 1 / FARTHEST), FARTHEST) for end in row.interval)
        if not math.isnan(low):
            axes.plot([low, high], [place, place], color=INK, linewidth=1.1)
            for end, mark in ((low, "<"), (high, ">")):
                if end in (FARTHEST, 1 / FARTHEST):
                    axes.plot(end, place, mark, color=INK, ms=4)
            furthest = max(furthest, high, 1 / low)
        shape, fill = _SHAPES[row.verdict]
        at = min(max(row.ratio, 1 / FARTHEST), FARTHEST)
        axes.plot(at, place, shape, ms=5, markerfacecolor=fill, markeredgecolor=INK, mew=0.8)
        furthest = max(furthest, at, 1 / at)
    for place in range(1, len(rows)):
        if rows[place].claim != rows[place - 1].claim:
            axes.axhline(place - 0.5, color="#c9ced6", linewidth=0.6)
    axes.axvline(1.0, color=INK, linewidth=0.9, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlim(1 / (1.15 * furthest), 1.15 * furthest)
    ticks = [t for t in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100) if 1 / furthest <= t <= furthest]
    axes.set_xticks(ticks, [f"{decimal(tick)}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(
        range(len(rows)), [f"{row.about.label} · {row.group}" for row in rows], fontsize=6.5
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("ratio to the null")
    return figure


@dataclass(frozen=True)
class _Curve:
    key: str
    title: str
    label: str
    value: Callable[[Observation], float]
    null: Callable[[Observation], float]
    null_name: str
    one_convention: bool = False
    axes: tuple[str, ...] = ("heads", "dose")


_NULLS = {
    "": "",
    "untrained": "how the same networks change untrained, from the first mean on",
    "swapped heads": "swapped heads",
}


def _of(path: str) -> Callable[[Observation], float]:
    return lambda one: number_at(one, path)


def _ratio(path: str) -> Callable[[Observation], float]:
    return lambda one: math.exp(min(number_at(one, path), 700.0))


def _held_out_loss(one: Observation) -> float:
    return one.now.loss if one.loss_of == "held-out" else math.nan


_CURVES = (
    _Curve(
        "soon",
        "Steps to the sink",
        "steps to the sink",
        _of("now.hitting_time"),
        _of("untrained.hitting_time"),
        "untrained",
        axes=("heads",),
    ),
    _Curve(
        "clear",
        "Minimax fidelity",
        "minimax fidelity",
        _of("now.fidelity"),
        _of("untrained.fidelity"),
        "untrained",
    ),
    _Curve(
        "gain",
        "Gain over the best head",
        "fidelity / best head's",
        _ratio("gains.clear.held_out"),
        _ratio("gains.clear_swapped.held_out"),
        "swapped heads",
        axes=("heads",),
    ),
    _Curve(
        "gain",
        "Gain over the best head",
        "fidelity / best head's",
        _of("now.gain"),
        _of("untrained.gain"),
        "untrained",
        axes=("dose",),
    ),
    _Curve(
        "loss",
        "Held-out loss",
        "held-out loss (nats)",
        _held_out_loss,
        _of("untrained.loss"),
        "untrained",
        one_convention=True,
    ),
    _Curve(
        "apart",
        "Diversity of the heads",
        "Jensen-Shannon (bits)",
        _of("diversity"),
        lambda _: math.nan,
        "",
        one_convention=True,
    ),
)


def curves(evidence: Evidence, convention: str) -> Iterator[tuple[Plot, str]]:
    """Figures along head counts and along λ, each with its numbers as text to compare by."""
    observations = evidence.observations(convention)
    first = convention == evidence.conventions[0]
    by_heads = {
        name: [one for one in own if one.dose in (None, 1.0) or not one.trained]
        for name, own in by_group(observations).items()
        if one_dose(own)
    }
    for axis, groups, words in (
        ("heads", by_heads, "head count"),
        ("dose", several(observations), dose_in_words(observations)),
    ):
        for curve in _CURVES:
            if axis not in curve.axes or (curve.one_convention and not first):
                continue
            drawn = {name: _points(own, axis, curve.value) for name, own in groups.items()}
            shown = {
                name: points
                for name, points in drawn.items()
                if len({where for _, where, _ in points}) > 1
            }
            if not shown:
                continue
            nulls = {name: _points(groups[name], axis, curve.null) for name in shown}
            label = "heads" if axis == "heads" else words
            ending = "heads" if axis == "heads" else "lambda"
            steps = f"{time_in_words(convention)}. " if curve.key == "soon" else ""
            named = "" if curve.one_convention else f" ({convention})"
            dashed = (
                f"Dashed: {_NULLS[curve.null_name]}. "
                if any(nulls.values())
                else f"No null: {curve.null_name} networks were not measured. "
                if curve.null_name
                else ""
            )
            yield (
                Plot(
                    f"{curve.key}-{ending}" + ("" if curve.one_convention else f"-{convention}"),
                    f"{curve.title} by {words}{named}",
                    f"{steps.capitalize()}{dashed}Dots: seeds, joined by faint lines. Line and "
                    "band: mean over seeds (geometric on a logarithmic axis) and its 95% "
                    "interval; none where a seed is infinite, which ∞ counts.",
                    lambda shown=shown, nulls=nulls, label=label, curve=curve: _draw(  # type: ignore[misc]
                        shown, nulls, label, curve
                    ),
                ),
                f"{ending} {curve.key} {sorted(shown.items())}",
            )


def one_dose(members: Sequence[Observation]) -> bool:
    """Whether designed runs differ in head count and not in how different heads are."""
    return len({one.dose for one in members if not one.trained}) < 2


Points = list[tuple[str, float, float]]


def _points(
    members: Sequence[Observation], axis: str, value: Callable[[Observation], float]
) -> Points:
    return [
        (one.block, float(where), number)
        for one in members
        if (where := getattr(one, axis)) is not None and not math.isnan(number := value(one))
    ]


def _means(points: Points, conditions: Sequence[float]) -> NDArray[np.float64]:
    """Geometric means by condition; nan where a value is not positive or infinite."""
    found = np.full(len(conditions), math.nan)
    for place, condition in enumerate(conditions):
        values = np.array([v for _, c, v in points if c == condition])
        if values.size and np.isfinite(values).all() and (values > 0).all():
            found[place] = np.exp(np.log(values).mean())
    return found


def _draw(
    shown: Mapping[str, Points], nulls: Mapping[str, Points], label: str, curve: _Curve
) -> Figure:
    def paint(axes: Axes, members: tuple[Points, Points], colour: str) -> float:
        points, null = members
        room = ordered(axes, points, colour)
        if curve.key == "gain":
            axes.axhline(1.0, color=INK, linewidth=0.6, linestyle=":")
        conditions = sorted({where for _, where, _ in points})
        own, line = (_means(each, conditions) for each in (points, null))
        if curve.null_name == "untrained":
            line = line * (own[0] / line[0])
        axes.plot(range(len(conditions)), line, "--s", color=INK, linewidth=1.0, ms=2.5)
        return room

    groups = {name: (points, nulls[name]) for name, points in shown.items()}
    return each_group(groups, paint, (label, curve.label))
