"""The figures of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.drawing import grid, paper_colour
from synergy_tui.report.curves import curves, forest
from synergy_tui.report.evidence import Evidence, Row, time_in_words
from synergy_tui.report.panels import INK, MARKERS, WIDTH, Plot, each_group, plain, wide
from synergy_tui.report.statistics.findings import Finding
from synergy_tui.report.statistics.observations import Observation, by_group, number_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plots(evidence: Evidence, findings: Sequence[Finding]) -> list[Plot]:
    """Every figure that the evidence has something for."""
    found = forest(findings)
    drawn: set[str] = set()
    for convention in evidence.conventions:
        for plot, values in curves(evidence, convention):
            # A figure whose numbers another convention has too is not drawn again.
            if values not in drawn:
                found.append(plot)
            drawn.add(values)
    for convention in evidence.conventions[:1]:
        found += _against_loss(evidence, convention)
        found += _plane(evidence, convention)
    return found + _training(evidence)


def _scatter(
    axes: Axes, members: Sequence[Observation], x: str, y: str, which: int, **style: Any
) -> None:
    """The runs of the head count at ``which``, two attributes against each other."""
    axes.scatter(
        [number_at(member, x) for member in members],
        [number_at(member, y) for member in members],
        marker=MARKERS[which % len(MARKERS)],
        linewidths=0,
        **style,
    )


def _against_loss(evidence: Evidence, convention: str) -> list[Plot]:
    groups = by_group(one for one in evidence.observations(convention) if math.isfinite(one.loss))
    if not groups:
        return []

    def plot(key: str, value: str, label: str) -> Plot:
        def paint(axes: Axes, members: Sequence[Observation], colour: str) -> None:
            drawn = [m for m in members if 0 < number_at(m, value) < math.inf]
            for which, heads in enumerate(sorted({member.heads for member in members})):
                these = [member for member in drawn if member.heads == heads]
                style = {"s": 18, "color": paper_colour(which), "label": f"{heads}"}
                _scatter(axes, these, value, "loss", which, **style)
            if wide([number_at(member, value) for member in drawn]):
                axes.set_xscale("log")
            else:
                axes.locator_params(axis="x", nbins=4)  # long numbers would overlap
            if wide([member.loss for member in drawn]):
                axes.set_yscale("log")

        return Plot(
            f"{key}-{convention}",
            f"Task loss against {label} ({convention})",
            "Every mark is a run. A relation across head counts need not hold within one.",
            lambda: each_group(groups, paint, (label, "task loss (nats)"), legend="heads"),
        )

    return [
        plot("loss-soon", "now.hitting_time", "steps to the sink"),
        plot("loss-clear", "now.fidelity", "minimax fidelity"),
    ]


def _dose(row: Row) -> float:
    return max(one.dose if one.dose is not None else 1.0 for one in row.observations.values())


def _training(evidence: Evidence) -> list[Plot]:
    groups: dict[str, list[Row]] = {}
    for row in evidence.rows:
        if len(row.steps):
            groups.setdefault(row.group, []).append(row)
    if not groups:
        return []
    # Networks whose heads are made alike learn at another speed: not in the same mean.
    most = {group: max(map(_dose, rows)) for group, rows in groups.items()}
    kept = {
        group: [row for row in rows if _dose(row) == most[group]] for group, rows in groups.items()
    }
    those = "Of the most diverse heads. " if kept != groups else ""

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
            f"{those}Mean over seeds, with the range of all seeds. Dotted: the floor that no model "
            "can go below.",
            lambda: each_group(
                kept, paint, ("training step", "training loss (nats)"), legend="heads"
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
        plain(axes)
        axes.grid(axis="x", color="#e6e8eb", linewidth=0.6)
        for which, (name, sizes) in enumerate(families.items()):
            colour, marker = paper_colour(which), MARKERS[which % len(MARKERS)]
            path = []
            for nodes in sorted(sizes):
                kept = [
                    (one.now.hitting_time, nodes * one.now.fidelity)
                    for one in sizes[nodes]
                    if math.isfinite(one.now.hitting_time) and one.now.fidelity > 0
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

    lost = sum(row.observations[convention].now.fidelity == 0 for row in rows)
    return [
        Plot(
            "plane",
            "Mixing and fidelity of graph families as they grow",
            "Left is sooner, up is clearer. Paths join the geometric means over seeds; small dots "
            f"are seeds. {lost} graphs of {len(rows)} have a node that cannot reach the sink: "
            "their fidelity is 0 and they are not drawn.",
            draw,
        )
    ]
