"""Publication figures of an experiment: SVG, PDF or PNG.

Each figure is a function of an experiment and its state that returns a matplotlib figure. Runs have
one colour and one line style throughout, so that figures can be read without colour too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.drawing import grid, paper_colour, render
from synergy_tui.errors import UserError, require
from synergy_tui.experiments.attention import Snapshot, find_snapshot
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import as_number, conventions, leaf
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.files import make_folder, write_output
from synergy_tui.words import decimal, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = ("-", "--", "-.", ":")
_STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.5,
    "legend.frameon": False,
}
_MOST_NODES = 12
_MOST_HEADS = 16


def _line(index: int) -> dict[str, Any]:
    return {"color": paper_colour(index), "linestyle": _LINES[index % len(_LINES)]}


def _grid(columns: int, rows: int = 1, *, width: float = 3.0, height: float = 2.4) -> Any:
    """A figure and its axes, each panel of this size in inches."""
    return grid(rows, columns, width * columns, height * rows)


def convergence(experiment: Experiment, state: ExperimentState) -> Figure:
    """Arrival at the sink over diffusion steps, newest probe; and the training loss."""
    trained = [run for run in state.runs.values() if len(run.loss)]
    figure, [axes] = _grid(3 if trained else 2)
    for axis, statistic in zip(axes, ("mean", "worst"), strict=False):
        for run in state.runs.values():
            if curve := _arrival(run):
                axis.plot(curve["steps"], curve[statistic], label=run.name, **_line(run.index))
        axis.set(
            xlabel="diffusion steps", ylabel=f"arrived at the sink, {statistic}", ylim=(0, 1.02)
        )
    if trained:
        for run in trained:
            axes[2].plot(run.steps, run.losses, label=run.name, **_line(run.index))
            if run.floor is not None:
                axes[2].axhline(run.floor, color="0.6", linewidth=0.6)
        axes[2].set(xlabel="training step", ylabel="loss (nats)")
    axes[0].legend(loc="lower right")  # curves rise to one
    return figure


def _arrival(run: RunState) -> Mapping[str, Any] | None:
    """Return the arrival curve of a run's first layer at its newest probe."""
    layers = run.probe.layers if run.probe else []
    curve = layers[0].get("arrival") if layers else None
    return curve if curve and curve.get("steps") else None


def fidelity_by_layer(experiment: Experiment, state: ExperimentState) -> Figure:
    """Minimax fidelity of each layer over training, with the best single head."""
    measured = [run for run in state.runs.values() if run.probe]
    layers = max((len(run.probe.layers) for run in measured if run.probe), default=1)
    figure, [axes] = _grid(layers)
    for layer, axis in enumerate(axes):
        for run in measured:
            probes = [probe for probe in run.probes if len(probe.layers) > layer]
            steps = [probe.step for probe in probes]
            style = {**_line(run.index), "marker": "o" if len(steps) == 1 else None}
            axis.plot(steps, _series(probes, layer, "fidelity", "minimax"), label=run.name, **style)
            if run.heads > 1:
                best = _series(probes, layer, "synergy", "best_head_fidelity")
                faint = {**style, "linestyle": ":", "linewidth": 0.8}
                axis.plot(steps, best, label=f"{run.name}, best head", **faint)
        axis.set(xlabel="training step", title=f"layer {layer + 1}")
    axes[0].set(ylabel="minimax fidelity")
    axes[0].legend()
    return figure


def _series(probes: list[Probe], layer: int, group: str, name: str) -> list[float]:
    values = [as_number(leaf(probe.layers[layer], (group, name))) for probe in probes]
    return [np.nan if value is None else value for value in values]


def signal(experiment: Experiment, state: ExperimentState) -> Figure:
    """How clearly each node is heard at the sink as information spreads (Figure 3 of the paper).

    One row per run: the heads alone and all together, (D^t)[sink, j] over t for every node j, with
    the minimax fidelity.
    """
    import synergy_engine as engine

    shown = _kept(experiment, state)
    figure, panels = _grid(max(_alone(each) + 1 for each in shown), len(shown), width=2.3)
    for row, each in zip(panels, shown, strict=True):
        whole = engine.MultiHeadSystem.from_attention(
            each.attention[0, 0], each.head_weights[0], rows="any", names=each.names or None
        )
        systems = [(f"head {h + 1}", whole.head(h)) for h in range(_alone(each))]
        systems.append((f"{each.run}: together" if systems else each.run, whole))
        steps = min(60, 4 * whole.nodes)
        for axis, (name, system) in zip(row, systems, strict=False):
            _signal_panel(axis, name, system, steps)
        for axis in row[len(systems) :]:
            axis.set_axis_off()
        row[0].set_ylabel("signal at the sink")
    return figure


def _alone(kept: Snapshot) -> int:
    """Return how many heads to draw alone: none when there is one, at most three."""
    heads = kept.attention.shape[2]
    return 0 if heads == 1 else min(heads, 3)


def _signal_panel(axis: Axes, name: str, system: Any, steps: int) -> None:
    import synergy_engine as engine

    nodes = np.unique(np.linspace(0, system.sink - 1, _MOST_NODES).round().astype(int))
    for index, node in enumerate(nodes.tolist()):
        curve = engine.clarity(system, node, steps)
        axis.plot(np.arange(steps + 1), curve, label=f"node {system.name(node)}", **_line(index))
    found = engine.fidelity(system)
    axis.axhline(found.minimax, color="0.4", linewidth=0.6)
    axis.set(title=f"{name}\nminimax fidelity {number(found.minimax)}", xlabel="diffusion steps")
    if len(nodes) <= 4:
        axis.legend()


def heads(experiment: Experiment, state: ExperimentState) -> Figure:
    """Heads side by side: attention of the first layer on the first input, newest probe."""
    shown = _kept(experiment, state)
    columns = min(_MOST_HEADS, max(each.attention.shape[2] for each in shown))
    figure, panels = _grid(columns, len(shown), width=1.5, height=1.8)
    for row, each in zip(panels, shown, strict=True):
        for head, axis in enumerate(row):
            if head >= each.attention.shape[2]:
                axis.set_axis_off()
                continue
            axis.imshow(each.attention[0, 0, head], cmap="cividis", vmin=0, interpolation="nearest")
            share = each.head_weights[0, head]
            axis.set(title=f"head {head + 1}, {decimal(share, '.2f')}", xticks=[], yticks=[])
            axis.grid(visible=False)
        row[0].set_ylabel(f"{each.run}\nquery")
    return figure


def _kept(experiment: Experiment, state: ExperimentState) -> list[Snapshot]:
    """Return the newest attention of every run that kept any."""
    kept = [
        find_snapshot(experiment, state, run.name, None)
        for run in state.runs.values()
        if run.probe is not None and run.probe.attention is not None
    ]
    if not kept:
        raise UserError(f"{experiment.id} kept no attention to draw from.")
    return kept


def _measured_by(state: ExperimentState) -> str:
    """Return the conventions that the runs were measured under, which are mostly the same."""
    named = [conventions(run.probe) for run in state.runs.values() if run.probe]
    texts = [
        f"convention {each['convention']}, combine {each['combine']}, {each['weights']} head "
        f"weights, sink {each['sink']}"
        for each in named
    ]
    return "; ".join(dict.fromkeys(texts))


FIGURES: dict[str, Callable[[Experiment, ExperimentState], Figure]] = {
    "convergence": convergence,
    "fidelity": fidelity_by_layer,
    "signal": signal,
    "heads": heads,
}


def write_figures(
    folder: Path, experiment: Experiment, state: ExperimentState, formats: Sequence[str]
) -> list[Path]:
    """Write every figure in every format to ``folder``, and return the files."""
    require("matplotlib", "figures")
    if not any(run.probe for run in state.runs.values()):
        raise UserError(f"{experiment.id} has no measurements to draw yet.")

    @cache
    def drawn(name: str) -> Figure:
        figure = FIGURES[name](experiment, state)
        figure.supxlabel(_measured_by(state), fontsize=6, color="0.4")
        return figure

    make_folder(folder)
    written = []
    for name in FIGURES:
        for form in formats:
            path = folder / f"{experiment.id}-{name}.{form}"
            write_output(path, render(partial(drawn, name), form, **_STYLE))
            written.append(path)
    return written
