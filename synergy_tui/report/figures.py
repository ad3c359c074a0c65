"""The figures of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.drawing import grid, paper_colour, render
from synergy_tui.report.evidence import Evidence, Row, time_in_words
from synergy_tui.report.statistics.intervals import bootstrap_interval
from synergy_tui.report.statistics.observations import Observation, by_group

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


def plots(evidence: Evidence) -> list[Plot]:
    """Every figure that the evidence has something for."""
    found: list[Plot] = []
    for convention in evidence.conventions:
        found += _by_heads(evidence, convention)
        found += _by_diversity(evidence, convention)
    for convention in evidence.conventions[:1]:
        found += _against_loss(evidence, convention)
        found += _plane(evidence, convention)
    return found + _training(evidence)


def _each_group(
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
        _plain(axes)
        room = paint(axes, members, paper_colour(at))
        axes.set_title(name, fontsize=8, color=INK, loc="left", pad=room)
        axes.set_xlabel(labels[0])
        if at % columns == 0:
            axes.set_ylabel(labels[1])
    if legend is not None:
        panels.flat[0].legend(title=legend, title_fontsize=6.5, fontsize=6.5, frameon=False)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=7, colors=INK)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    axes.grid(axis="y", color="#e6e8eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _wide(values: Sequence[float]) -> bool:
    """Whether numbers are all positive and span more than a factor of 20: a logarithmic axis."""
    return len(values) > 0 and min(values) > 0 and max(values) > 20 * min(values)


def _by_heads(evidence: Evidence, convention: str) -> list[Plot]:
    groups = {
        name: members
        for name, members in by_group(evidence.observations(convention)).items()
        if len({member.heads for member in members}) > 1
        and len({member.redrawn for member in members}) == 1
    }
    if not groups:
        return []
    seeds = (
        "Dots: seeds, joined by faint lines (same seed, same batches). Line and band: mean over "
        "seeds (geometric on a logarithmic axis) and its 95 % interval; none where a seed is "
        "infinite, which ∞ counts."
    )
    steps = f"Steps to the sink: {time_in_words(convention)}. "

    def plot(key: str, value: str, title: str, label: str, note: str = "") -> Plot:
        def paint(axes: Axes, members: Sequence[Observation], colour: str) -> float:
            points = [(m.block, float(m.heads), getattr(m, value)) for m in members]
            room = _ordered(axes, points, colour)
            if value == "amplification":
                axes.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
            return room

        return Plot(
            name=f"{key}-{convention}",
            title=f"{title} by head count ({convention})",
            caption=note + seeds,
            draw=lambda: _each_group(groups, paint, ("heads", label)),
        )

    return [
        plot("soon", "hitting_time", "Steps to the sink", "steps to the sink", steps),
        plot("clear", "fidelity", "Minimax fidelity", "minimax fidelity"),
        plot(
            "amplification",
            "amplification",
            "Amplification over the best head",
            "amplification",
            "Dashed: 1, no synergy. ",
        ),
    ]


def _ordered(axes: Axes, points: Sequence[tuple[str, float, float]], colour: str) -> float:
    """Seeds as joined dots over equally spaced conditions, with mean and interval.

    Points are (seed, condition, value); a value of nan is left out, an infinite one counted above
    the panel. Returns the room that the title needs below it, in points.
    """
    points = [point for point in points if not math.isnan(point[2])]
    conditions = sorted({condition for _, condition, _ in points})
    place = {condition: at for at, condition in enumerate(conditions)}
    logarithmic = _wide([value for *_, value in points if math.isfinite(value)])
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
    axes.set_xticks(where, [f"{condition:g}" for condition in conditions])
    axes.set_xlim(-0.3, len(conditions) - 0.7)
    return 11 if any(math.isinf(value) for *_, value in points) else 4


def _scatter(
    axes: Axes, members: Sequence[Observation], x: str, y: str, which: int, **style: Any
) -> None:
    """The runs of the head count at ``which``, two attributes against each other."""
    axes.scatter(
        [getattr(member, x) for member in members],
        [getattr(member, y) for member in members],
        marker=MARKERS[which % len(MARKERS)],
        linewidths=0,
        **style,
    )


def _by_diversity(evidence: Evidence, convention: str) -> list[Plot]:
    several = [
        one
        for one in evidence.observations(convention)
        if one.heads > 1 and not math.isnan(one.amplification)
    ]
    groups = by_group(several)
    if not groups:
        return []
    knob = {
        name: members
        for name, members in groups.items()
        if len({member.redrawn for member in members}) > 1
    }
    chosen = knob or groups
    counts = sorted({one.heads for members in chosen.values() for one in members})
    lost = sum(math.isinf(one.amplification) for one in several)
    caption = "Dashed: 1, no synergy. " + (
        "No rows redrawn is the control: identical heads must give exactly 1. Dots: seeds. Line "
        "and band: mean and its 95 % interval; none where a seed is infinite (every head alone is "
        "deaf to some node, the mixture is not), which ∞ counts."
        if knob
        else "Every mark is a run; the darker, the more heads."
        + (f" {lost} of {len(several)} are infinite and not drawn." if lost else "")
    )

    def paint(axes: Axes, members: Sequence[Observation], colour: str) -> float | None:
        room = None
        if knob:
            points = [(m.block, float(m.redrawn or 0), m.amplification) for m in members]
            room = _ordered(axes, points, colour)
        else:
            for which, heads in enumerate(counts):
                these = [m for m in members if m.heads == heads and math.isfinite(m.amplification)]
                shade = 0.35 + 0.6 * (which + 1) / len(counts)
                style = {"s": 16, "color": colour, "alpha": shade, "label": f"{heads} heads"}
                _scatter(axes, these, "diversity", "amplification", which, **style)
        axes.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
        return room

    label = "share of rows redrawn" if knob else "diversity (Jensen-Shannon, bits)"
    return [
        Plot(
            name=f"diversity-{convention}",
            title=f"Amplification by diversity of the heads ({convention})",
            caption=caption,
            draw=lambda: _each_group(
                chosen, paint, (label, "amplification"), legend=None if knob else ""
            ),
        )
    ]


def _against_loss(evidence: Evidence, convention: str) -> list[Plot]:
    groups = by_group(one for one in evidence.observations(convention) if math.isfinite(one.loss))
    if not groups:
        return []

    def plot(key: str, value: str, label: str) -> Plot:
        def paint(axes: Axes, members: Sequence[Observation], colour: str) -> None:
            drawn = [m for m in members if 0 < getattr(m, value) < math.inf]
            for which, heads in enumerate(sorted({member.heads for member in members})):
                these = [member for member in drawn if member.heads == heads]
                style = {"s": 18, "color": paper_colour(which), "label": f"{heads}"}
                _scatter(axes, these, value, "loss", which, **style)
            if _wide([getattr(member, value) for member in drawn]):
                axes.set_xscale("log")
            if _wide([member.loss for member in drawn]):
                axes.set_yscale("log")

        return Plot(
            f"{key}-{convention}",
            f"Task loss against {label} ({convention})",
            "Every mark is a run. A relation across head counts need not hold within one.",
            lambda: _each_group(groups, paint, (label, "task loss (nats)"), legend="heads"),
        )

    return [
        plot("loss-soon", "hitting_time", "steps to the sink"),
        plot("loss-clear", "fidelity", "minimax fidelity"),
    ]


def _training(evidence: Evidence) -> list[Plot]:
    groups: dict[str, list[Row]] = {}
    for row in evidence.rows:
        if len(row.steps):
            groups.setdefault(row.group, []).append(row)
    if not groups:
        return []

    def paint(axes: Axes, runs: Sequence[Row], _: str) -> None:
        for which, heads in enumerate(sorted({run.heads for run in runs})):
            own = [run for run in runs if run.heads == heads]
            colour = paper_colour(which)
            last = min(int(run.steps[-1]) for run in own)
            at = np.unique(np.linspace(1, last, 160).astype(int))
            table = np.array([np.interp(at, run.steps, run.losses) for run in own])
            axes.fill_between(
                at, table.min(axis=0), table.max(axis=0), color=colour, alpha=0.13, linewidth=0
            )
            axes.plot(at, table.mean(axis=0), color=colour, linewidth=1.2, label=f"{heads}")
        if math.isfinite(runs[0].floor):
            axes.axhline(runs[0].floor, color=INK, linewidth=0.8, linestyle=":")

    return [
        Plot(
            "training",
            "Training loss",
            "Mean over seeds, with the range of all seeds. Dotted: the floor that no model can go "
            "below.",
            lambda: _each_group(
                groups, paint, ("training step", "training loss (nats)"), legend="heads"
            ),
        )
    ]


def _plane(evidence: Evidence, convention: str) -> list[Plot]:
    """Steps to the sink against normalised fidelity, families as paths over growing n."""
    rows = [row for row in evidence.rows if row.topology and convention in row.observations]
    families: dict[str, dict[int, list[Observation]]] = {}
    for row in rows:
        sizes = families.setdefault(str(row.topology).replace("_", " "), {})
        sizes.setdefault(row.nodes, []).append(row.observations[convention])
    if len({row.nodes for row in rows}) < 3:
        return []

    def draw() -> Figure:
        figure, [[axes]] = grid(1, 1, WIDTH, 4.5)
        _plain(axes)
        axes.grid(axis="x", color="#e6e8eb", linewidth=0.6)
        for which, (name, sizes) in enumerate(families.items()):
            colour, marker = paper_colour(which), MARKERS[which % len(MARKERS)]
            path = []
            for nodes in sorted(sizes):
                kept = [
                    (one.hitting_time, nodes * one.fidelity)
                    for one in sizes[nodes]
                    if math.isfinite(one.hitting_time) and one.fidelity > 0
                ]
                seeds = np.array(kept or [(math.nan, math.nan)])
                axes.scatter(seeds[:, 0], seeds[:, 1], s=5, color=colour, alpha=0.35, linewidths=0)
                if kept:
                    middle = np.exp(np.log(kept).mean(axis=0))
                    path.append((*middle, nodes))
            if not path:
                continue
            x, y, n = zip(*path, strict=True)
            axes.plot(x, y, "-", color=colour, marker=marker, ms=5, linewidth=1.2, label=name)
            for index in {0, len(n) - 1}:
                axes.annotate(
                    f"n={n[index]}", (x[index], y[index]), fontsize=6.5, color=colour,
                    xytext=(4, 4), textcoords="offset points",
                )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(time_in_words(convention))
        axes.set_ylabel("normalised minimax fidelity (n·φ)")
        axes.legend(fontsize=7, frameon=False)
        return figure

    lost = sum(not math.isfinite(row.observations[convention].hitting_time) for row in rows)
    return [
        Plot(
            "plane",
            "Mixing and fidelity of graph families as they grow",
            "Left is sooner, up is clearer. Paths join the geometric means over seeds; small dots "
            f"are seeds. {lost} graphs of {len(rows)} have a node that cannot reach the sink: "
            "their mixing time is infinite and they are not drawn.",
            draw,
        )
    ]
