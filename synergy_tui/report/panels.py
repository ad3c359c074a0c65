"""What figures are made of: panels of groups, and seeds as joined dots with their mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.drawing import grid, paper_colour, render
from synergy_tui.report.statistics.intervals import bootstrap_interval
from synergy_tui.words import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#1b1f24", "#8a929c"
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
WIDTH = 7.2


@dataclass(frozen=True)
class Plot:
    """One figure, with how to read it; its name is that of ``--figure`` and of its file."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def render(self, form: str = "svg") -> bytes:
        """The figure as SVG, PDF or PNG."""
        return render(self.draw, form, **{"svg.hashsalt": self.name})


def each_group(
    groups: Mapping[str, Sequence[Any]],
    paint: Callable[[Axes, Any, str], float | None],
    labels: tuple[str, str],
    *,
    legend: str | None = None,
) -> Figure:
    """One panel per group, which ``paint`` fills in the group's colour.

    ``paint`` may return the room that the title needs below it, in points. Labels are of the two
    axes; a legend, with this title, stands in the first panel.
    """
    count = len(groups)
    # Three in a row, or four where that leaves fewer places empty.
    columns = min(count, 4 if -count % 4 < -count % 3 else 3)
    rows = -(-count // columns)
    figure, panels = grid(rows, columns, WIDTH, 2.1 * rows + 0.3)
    for unused in panels.flat[count:]:
        unused.set_axis_off()
    for at, (axes, (name, members)) in enumerate(zip(panels.flat, groups.items(), strict=False)):
        plain(axes)
        room = paint(axes, members, paper_colour(at))
        axes.set_title(name, fontsize=8, color=INK, loc="left", pad=room)
        axes.set_xlabel(labels[0])
        if at % columns == 0:
            axes.set_ylabel(labels[1])
    if legend is not None:
        panels.flat[0].legend(title=legend, title_fontsize=6.5, fontsize=6.5, frameon=False)
    return figure


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=7, colors=INK)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    axes.grid(axis="y", color="#e6e8eb", linewidth=0.6)
    axes.set_axisbelow(True)


def wide(values: Sequence[float]) -> bool:
    """Whether numbers are all positive and span more than a factor of 20: a logarithmic axis."""
    return len(values) > 0 and min(values) > 0 and max(values) > 20 * min(values)


def ordered(axes: Axes, points: Sequence[tuple[str, float, float]], colour: str) -> float:
    """Seeds as joined dots over equally spaced conditions, with mean and interval.

    Points are (seed, condition, value); a value of nan is left out, an infinite one counted above
    the panel. Returns the room that the title needs below it, in points.
    """
    points = [point for point in points if not math.isnan(point[2])]
    conditions = sorted({condition for _, condition, _ in points})
    place = {condition: at for at, condition in enumerate(conditions)}
    logarithmic = wide([value for *_, value in points if math.isfinite(value)])
    if logarithmic:
        axes.set_yscale("log")
    for block in dict.fromkeys(block for block, *_ in points):
        # An infinite value breaks the seed's line.
        own = sorted(
            (place[c], v if math.isfinite(v) else math.nan) for b, c, v in points if b == block
        )
        axes.plot(*zip(*own, strict=True), "-o", color=FAINT, alpha=0.45, linewidth=0.6, ms=2.4)
    middle, low, high = [], [], []
    for condition in conditions:
        values = np.array([v for _, c, v in points if c == condition])
        if lost := int(np.isinf(values).sum()):
            axes.text(
                place[condition], 1.0, f"∞ {lost}/{values.size}", ha="center", va="bottom",
                transform=axes.get_xaxis_transform(), fontsize=6, color=INK,
            )  # fmt: skip
            values = np.array([math.nan])
        ends: Any
        if logarithmic:
            middle.append(float(np.exp(np.log(values).mean())))
            ends = np.exp(bootstrap_interval(np.log(values)))
        else:
            middle.append(float(values.mean()))
            ends = bootstrap_interval(values)
        low.append(float(ends[0]))
        high.append(float(ends[1]))
    where = list(range(len(conditions)))
    axes.fill_between(where, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(where, middle, "-o", color=colour, linewidth=1.6, ms=4.5)
    axes.set_xticks(where, [decimal(condition) for condition in conditions])
    axes.set_xlim(-0.3, len(conditions) - 0.7)
    return 11 if any(math.isinf(value) for *_, value in points) else 4
