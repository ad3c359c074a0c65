"""The graph of a designed run, drawn in its heads' colours beneath its measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.style import Style
from textual.message import Message

from synergy_tui.app.desk import reason
from synergy_tui.app.stepper.stage import MOST_ARCS, mixture
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.app.widgets.dag import Dag, Node, draw_dag
from synergy_tui.app.widgets.plot import Panel, draw_panel
from synergy_tui.app.widgets.views import shading_mode, with_shades
from synergy_tui.experiments.attention import Snapshot, load_snapshot
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.words import counted


class Loaded(Message):
    """Graphs by the name of their run: what was kept of one, or why it cannot be drawn."""

    def __init__(self, graphs: dict[str, Snapshot | str]) -> None:
        super().__init__()
        self.graphs = graphs


def read_graph(experiment: Experiment, path: str | None) -> Snapshot | str:
    """The graph in a file of the experiment, or why there is none to draw."""
    if path is None:
        return "the graph is too large to be drawn"
    try:
        return load_snapshot(experiment, path)
    except Exception as error:  # whatever is wrong with the file is what the panel says
        return reason(error)


def graph_of(snapshot: Snapshot) -> Dag:
    """The heads of a designed run in one DAG; of two, one runs above and the other below."""
    nodes = [Node(snapshot.name(node)) for node in range(snapshot.nodes)]
    still = np.zeros(snapshot.nodes)  # nothing moves here: no arc stands out
    return mixture(nodes, snapshot.attention[0, 0], snapshot.head_weights[0], still)


def described(snapshot: Snapshot) -> str:
    """What the drawing shows, in words."""
    if snapshot.heads == 1:
        return "its head"
    if snapshot.heads == 2:
        return "head 1 above, 2 below"
    return f"edges of {counted(snapshot.heads, 'head')}"


class GraphChart(Chart):
    """A panel with a DAG in place of curves."""

    def __init__(self, *, classes: str) -> None:
        super().__init__(classes=classes)
        self._snapshot: Snapshot | None = None
        self._dag: Dag | None = None

    def show_graph(self, snapshot: Snapshot | None, panel: Panel) -> None:
        """Show the graph under the panel's title; without one, what its empty chart says."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._dag = None if snapshot is None else graph_of(snapshot)
        self.show(panel)

    def paint(self, width: int, height: int) -> Canvas:
        canvas = draw_panel(self.panel, width, height, self.ascii_only, self.selected)
        if self._dag is not None and height > 1:
            drawn, shown = draw_dag(self._dag, width, height - 1, shading_mode(self.app))
            canvas.chars[1:], canvas.styles[1:] = drawn.chars, drawn.styles
            edges = len(self._dag.above) + len(self._dag.below)
            if shown < edges:
                most = "+" if edges >= MOST_ARCS else ""
                note = f"{shown} of {edges}{most} edges shown"
                canvas.write(width - len(note), 0, note, 0)
        return canvas

    def make_styles(self) -> Sequence[Style]:
        return with_shades(self, super().make_styles())
