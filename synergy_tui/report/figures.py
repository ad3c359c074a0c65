"""The figures of a report, drawn with matplotlib on figures of their own (no global state)."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.report.evidence import MEASURES, Evidence
from synergy_tui.report.statistics.intervals import bootstrap_interval
from synergy_tui.report.statistics.observations import Observation, by_group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#1b1f24", "#8a929c"
# Okabe and Ito's palette, legible in print and to colour-blind readers; markers double it.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a5195")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
WIDTH = 7.2


@dataclass(frozen=True)
class Plot:
    """One figure.

    Attributes
    ----------
    name
        For ``--figure``, and of its file.
    title, caption
        What it shows, and how to read it.
    draw
        Draws it on an empty figure.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def render(self, suffix: str = "svg") -> bytes:
        """The figure as SVG, PDF or PNG."""
        import matplotlib as mpl

        buffer = io.BytesIO()
        # Text stays text: small, searchable, and in the reader's own sans-serif.
        with mpl.rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": self.name, "font.family": "sans-serif"}
        ):
            metadata = {"Date": None} if suffix == "svg" else None
            self.draw().savefig(buffer, format=suffix, dpi=200, metadata=metadata)
        return buffer.getvalue()


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


def _grid(count: int, height: float = 2.1) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure with so many panels, the panels, and those of them that stand leftmost."""
    from matplotlib.figure import Figure

    # Three in a row, or four where that leaves fewer places empty.
    columns = min(count, 4 if -count % 4 < -count % 3 else 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    for each in axes[:count]:
        _plain(each)
    return figure, axes[:count], axes[:count:columns]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=7, colors=INK)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    axes.grid(axis="y", color="#e6e8eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where numbers span more than a factor of 20."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if positive and len(positive) == len(values) and max(positive) > 20 * min(positive):
        axes.set_yscale("log")


Getter = Callable[[Observation], float]


def _by_heads(evidence: Evidence, convention: str) -> list[Plot]:
    groups = {
        name: members
        for name, members in by_group(evidence.observations(convention)).items()
        if len({member.heads for member in members}) > 1
        and len({member.redrawn for member in members}) == 1
    }
    if not groups:
        return []
    measure = MEASURES.get(convention, MEASURES["theory"])[0]
    seeds = (
        "Dots: seeds, joined by faint lines (same seed, same batches). Line and band: mean over "
        "seeds (geometric on a logarithmic axis) and its 95 % interval; none where a seed is "
        "infinite, which ∞ counts."
    )
    wanted: list[tuple[str, str, str, str, Getter, float | None]] = [
        ("soon", "steps", "Steps to the sink", f"Steps: {measure}. ", _steps, None),
        ("clear", "minimax fidelity", "Minimax fidelity", "", _fidelity, None),
        (
            "amplification",
            "amplification",
            "Amplification over the best head",
            "Dashed: 1, no synergy. ",
            _amplification,
            1.0,
        ),
    ]
    return [
        Plot(
            name=f"{key}-{convention}",
            title=f"{title} by head count ({convention})",
            caption=note + seeds,
            draw=_drawer(groups, get, label, level),
        )
        for key, label, title, note, get, level in wanted
    ]


def _steps(one: Observation) -> float:
    return one.steps_to_sink


def _fidelity(one: Observation) -> float:
    return one.fidelity


def _amplification(one: Observation) -> float:
    return one.fidelity_amplification


def _drawer(
    groups: dict[str, list[Observation]], get: Getter, label: str, level: float | None
) -> Callable[[], Figure]:
    def draw() -> Figure:
        figure, panels, leftmost = _grid(len(groups))
        for at, (axes, (name, members)) in enumerate(zip(panels, groups.items(), strict=True)):
            _ordered(
                axes,
                name,
                [(m.block, m.heads, get(m)) for m in members if not math.isnan(get(m))],
                COLOURS[at % len(COLOURS)],
            )
            if level is not None:
                axes.axhline(level, color=INK, linewidth=0.8, linestyle="--")
            axes.set_xlabel("heads")
        for axes in leftmost:
            axes.set_ylabel(label)
        return figure

    return draw


def _ordered(
    axes: Axes, title: str, points: Sequence[tuple[str, float, float]], colour: str
) -> None:
    """Seeds as joined dots over equally spaced conditions, with mean and interval."""
    conditions = sorted({condition for _, condition, _ in points})
    place = {condition: at for at, condition in enumerate(conditions)}
    _scale(axes, [value for *_, value in points if math.isfinite(value)])
    logarithmic = axes.get_yscale() == "log"
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
    above = 11 if any(math.isinf(value) for *_, value in points) else 4
    axes.set_title(title, fontsize=8, color=INK, loc="left", pad=above)


def _by_diversity(evidence: Evidence, convention: str) -> list[Plot]:
    several = [
        one
        for one in evidence.observations(convention)
        if one.heads > 1 and not math.isnan(one.fidelity_amplification)
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
    lost = sum(math.isinf(one.fidelity_amplification) for one in several)
    caption = "Dashed: 1, no synergy. " + (
        "Zero redrawn is the control: identical heads must give exactly 1. Dots: seeds. Line and "
        "band: mean and its 95 % interval; none where a seed is infinite (every head alone is deaf "
        "to some node, the mixture is not), which ∞ counts."
        if knob
        else "Every mark is a run; the darker, the more heads."
        + (f" {lost} of {len(several)} are infinite and not drawn." if lost else "")
    )

    def draw() -> Figure:
        figure, panels, leftmost = _grid(len(chosen))
        counts = sorted({one.heads for members in chosen.values() for one in members})
        for at, (axes, (name, members)) in enumerate(zip(panels, chosen.items(), strict=True)):
            colour = COLOURS[at % len(COLOURS)]
            if knob:
                _ordered(
                    axes,
                    name,
                    [(m.block, float(m.redrawn or 0), m.fidelity_amplification) for m in members],
                    colour,
                )
                axes.set_xlabel("share of rows redrawn")
            else:
                for which, heads in enumerate(counts):
                    these = [
                        member
                        for member in members
                        if member.heads == heads and math.isfinite(member.fidelity_amplification)
                    ]
                    axes.scatter(
                        [member.diversity for member in these],
                        [member.fidelity_amplification for member in these],
                        s=16, marker=MARKERS[which % len(MARKERS)], label=f"{heads} heads",
                        color=colour, alpha=0.35 + 0.6 * (which + 1) / len(counts), linewidths=0,
                    )  # fmt: skip
                axes.set_xlabel("diversity (Jensen-Shannon, nats)")
                axes.set_title(name, fontsize=8, color=INK, loc="left")
            axes.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
        if not knob:
            panels[0].legend(fontsize=6.5, frameon=False)
        for axes in leftmost:
            axes.set_ylabel("amplification")
        return figure

    return [
        Plot(
            name=f"diversity-{convention}",
            title=f"Amplification by diversity of the heads ({convention})",
            caption=caption,
            draw=draw,
        )
    ]


def _against_loss(evidence: Evidence, convention: str) -> list[Plot]:
    groups = by_group(one for one in evidence.observations(convention) if math.isfinite(one.loss))
    if not groups:
        return []

    def drawer(get: Getter, label: str) -> Callable[[], Figure]:
        def draw() -> Figure:
            figure, panels, leftmost = _grid(len(groups))
            for axes, (name, members) in zip(panels, groups.items(), strict=True):
                counts = sorted({member.heads for member in members})
                drawn = [m for m in members if math.isfinite(get(m)) and get(m) > 0]
                for which, heads in enumerate(counts):
                    these = [member for member in drawn if member.heads == heads]
                    axes.scatter(
                        [get(member) for member in these],
                        [member.loss for member in these],
                        s=18, marker=MARKERS[which % len(MARKERS)],
                        color=COLOURS[which % len(COLOURS)], label=f"{heads}", linewidths=0,
                    )  # fmt: skip
                values = [get(member) for member in drawn]
                if values and max(values) > 20 * min(values):
                    axes.set_xscale("log")
                _scale(axes, [member.loss for member in drawn])
                axes.set_title(name, fontsize=8, color=INK, loc="left")
                axes.set_xlabel(label)
            panels[0].legend(title="heads", title_fontsize=6.5, fontsize=6.5, frameon=False)
            for axes in leftmost:
                axes.set_ylabel("task loss (nats)")
            return figure

        return draw

    caption = "Every mark is a run. A relation across head counts need not hold within one."
    return [
        Plot(
            f"loss-soon-{convention}",
            f"Task loss against steps to the sink ({convention})",
            caption,
            drawer(_steps, "steps to sink"),
        ),
        Plot(
            f"loss-clear-{convention}",
            f"Task loss against minimax fidelity ({convention})",
            caption,
            drawer(_fidelity, "minimax fidelity"),
        ),
    ]


def _training(evidence: Evidence) -> list[Plot]:
    groups: dict[str, list[Any]] = {}
    for curve in evidence.curves:
        groups.setdefault(curve.group, []).append(curve)
    if not groups:
        return []

    def draw() -> Figure:
        figure, panels, leftmost = _grid(len(groups))
        for axes, (name, curves) in zip(panels, groups.items(), strict=True):
            for which, heads in enumerate(sorted({curve.heads for curve in curves})):
                own = [curve for curve in curves if curve.heads == heads]
                colour = COLOURS[which % len(COLOURS)]
                last = min(int(curve.steps[-1]) for curve in own)
                at = np.unique(np.linspace(1, last, 160).astype(int))
                table = np.array([np.interp(at, curve.steps, curve.loss) for curve in own])
                axes.fill_between(
                    at, table.min(axis=0), table.max(axis=0), color=colour, alpha=0.13, linewidth=0
                )
                axes.plot(at, table.mean(axis=0), color=colour, linewidth=1.2, label=f"{heads}")
            floor = curves[0].floor
            if math.isfinite(floor):
                axes.axhline(floor, color=INK, linewidth=0.8, linestyle=":")
            axes.set_title(name, fontsize=8, color=INK, loc="left")
            axes.set_xlabel("training step")
        panels[0].legend(title="heads", title_fontsize=6.5, fontsize=6.5, frameon=False)
        for axes in leftmost:
            axes.set_ylabel("training loss (nats)")
        return figure

    return [
        Plot(
            "training",
            "Training loss",
            "Mean over seeds, with the range of all seeds. Dotted: the floor that no model can go "
            "below.",
            draw,
        )
    ]


def _plane(evidence: Evidence, convention: str) -> list[Plot]:
    """Mixing time against normalised fidelity, families as paths over growing n."""
    rows = [row for row in evidence.rows if row.topology and convention in row.observations]
    families: dict[str, dict[int, list[Observation]]] = {}
    for row in rows:
        sizes = families.setdefault(str(row.topology).replace("_", " "), {})
        sizes.setdefault(row.nodes, []).append(row.observations[convention])
    if len({row.nodes for row in rows}) < 3:
        return []

    def draw() -> Figure:
        figure, (axes,), _ = _grid(1, height=4.2)
        axes.grid(axis="x", color="#e6e8eb", linewidth=0.6)
        for which, (name, sizes) in enumerate(families.items()):
            colour, marker = COLOURS[which % len(COLOURS)], MARKERS[which % len(MARKERS)]
            path = []
            for nodes in sorted(sizes):
                soon = [one.steps_to_sink for one in sizes[nodes]]
                clear = [nodes * one.fidelity for one in sizes[nodes]]
                kept = [
                    (s, c) for s, c in zip(soon, clear, strict=True) if math.isfinite(s) and c > 0
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
        axes.set_xlabel(MEASURES.get(convention, MEASURES["theory"])[0])
        axes.set_ylabel("normalised minimax fidelity (n·φ)")
        axes.legend(fontsize=7, frameon=False)
        return figure

    lost = sum(not math.isfinite(row.observations[convention].steps_to_sink) for row in rows)
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
