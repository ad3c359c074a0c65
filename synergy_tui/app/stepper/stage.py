"""One panel of the diffusion stepper: the DAG with its signal at one step, and the steps around it.

Pure drawing. Arcs that carry signal in the step that led here are bold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_tui.app.stepper.measures import Best, Diffusion, Optimum, Response
from synergy_tui.app.stepper.spreadtable import draw_spread, lead_of
from synergy_tui.app.widgets.ascii import to_ascii
from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.dag import Arc, Dag, Node, draw_dag, has_boxes, natural_rows
from synergy_tui.app.widgets.plot import Curve, Marker, Plot, draw
from synergy_tui.app.widgets.shading import Mode, head_style, levels_of
from synergy_tui.app.widgets.styles import CURSOR, INDEX, MUTED, TITLE
from synergy_tui.words import compact, out_of_sight, share_text

Floats = npt.NDArray[np.float64]

MOST_ARCS = 80
"""Arcs considered for a drawing; a triangle of attention has hundreds, and no room for them."""
CARRIES = 1e-3
"""An arc that moves less of the source's signal than this in a step is not bold."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one panel shows."""

    diffusion: Diffusion
    head: int | None  # from 0; None is the mixture
    step: int
    names: Sequence[str]  # (n,) node names


def _arcs(matrix: npt.NDArray[np.float64], moved: npt.NDArray[np.float64], head: int) -> list[Arc]:
    """The strongest arcs of one head."""
    return [
        Arc(
            start,
            end,
            str(head + 1),
            head_style(head, "bold" if matrix[end, start] * moved[start] > CARRIES else "plain"),
            float(matrix[end, start]),
        )
        for start, end in _strongest(matrix)
    ]


def _mixed_arcs(
    heads: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    moved: npt.NDArray[np.float64],
) -> list[Arc]:
    """The strongest arcs of a mixture, each with the heads that carry most of it."""
    shares = weights[:, None, None] * heads
    mixed = shares.sum(axis=0)
    arcs = []
    for start, end in _strongest(mixed):
        parts = shares[:, end, start]
        main = np.flatnonzero(parts >= 0.25 * parts.max())
        text = ",".join(str(head + 1) for head in main)
        flows = mixed[end, start] * moved[start] > CARRIES
        style = head_style(int(np.argmax(parts)), "bold" if flows else "plain")
        arcs.append(Arc(start, end, text, style, float(mixed[end, start])))
    return arcs


def _strongest(matrix: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """(start, end) of the strongest off-diagonal entries, strongest first."""
    ends, starts = np.nonzero(np.tril(matrix, -1))
    order = np.argsort(-matrix[ends, starts], kind="stable")[:MOST_ARCS]
    return list(zip(starts[order].tolist(), ends[order].tolist(), strict=True))


def dag_of(stage: Stage) -> Dag:
    """The panel's DAG; of a mixture of two heads, one runs above and the other below."""
    spread = stage.diffusion.share(stage.head)
    step = min(stage.step, stage.diffusion.steps)
    now = spread[step]
    before = spread[max(step - 1, 0)]
    levels, source = levels_of(now), stage.diffusion.source
    nodes = [
        Node(name, share_text(float(now[node]), 4), int(levels[node]), node == source)
        for node, name in enumerate(stage.names)
    ]
    moved = before if step else np.zeros_like(before)
    heads = stage.diffusion.matrices
    weights = stage.diffusion.weights
    if stage.head is not None:
        arcs = _arcs(heads[stage.head], moved, stage.head)
        # The second of two heads runs below, as it does in the mixture beside it.
        if len(weights) == 2 and stage.head == 1:
            return Dag(nodes, [], arcs)
        return Dag(nodes, arcs)
    return mixture(nodes, heads, weights, moved)


def mixture(nodes: Sequence[Node], heads: Floats, weights: Floats, moved: Floats) -> Dag:
    """The DAG of heads (H, n, n) with weights (H,) when ``moved`` (n,) sets out from each node.

    Two heads stand apart, one above the nodes and the other below.
    """
    if len(weights) == 2:
        above, below = (_arcs(heads[head], weights[head] * moved, head) for head in (0, 1))
        return Dag(nodes, above if weights[0] > 0 else [], below if weights[1] > 0 else [])
    return Dag(nodes, _mixed_arcs(heads, weights, moved))


def edges_of(stage: Stage) -> int:
    """How many edges the panel's DAG has, drawn or not."""
    weights, heads = stage.diffusion.weights, stage.diffusion.matrices
    if stage.head is not None:
        return int(np.count_nonzero(np.tril(heads[stage.head], -1)))
    used = np.tril(heads[weights > 0], -1) != 0
    # Two heads are drawn apart, more of them merged.
    return int(used.sum() if len(weights) == 2 else used.any(axis=0).sum())


@dataclass(frozen=True, slots=True)
class Lineup:
    """Panels beside each other, drawn so that their nodes and steps are on the same lines."""

    stages: Sequence[Stage]
    dags: Sequence[Dag]
    above: int  # rows that the arcs of all of them need
    below: int  # the same below the nodes

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> Lineup:
        """Line panels up."""
        dags = [dag_of(stage) for stage in stages]
        above = max(natural_rows(dag.above) for dag in dags)
        return cls(stages, dags, above, max(natural_rows(dag.below) for dag in dags))

    def rows(self, height: int) -> tuple[int, int, int]:
        """Rows of a note, of arcs above the nodes, and of the DAG in all."""
        needed = self.above + 2 + self.below
        few = len(self.dags[0].nodes) <= 8
        if needed <= (height - 2 if few else height * 2 // 5):
            return 0, self.above, needed
        room = max(height * 3 // 5 if few else height * 2 // 5, 6) - 1
        arcs = max(room - 2, 0)
        share = arcs * self.above // max(self.above + self.below, 1)
        return 1, share if self.below else arcs, room


def draw_stage(
    lineup: Lineup, place: int, width: int, height: int, mode: Mode = "blocks"
) -> Canvas:
    """Draw the panel at ``place`` of a line-up: the DAG, then the table of steps."""
    canvas = Canvas.blank(width, height)
    stage, dag = lineup.stages[place], lineup.dags[place]
    note, above, rows = lineup.rows(height)
    share = stage.diffusion.share(stage.head)
    # Columns of shade stand exactly above those of the table.
    left = 0 if has_boxes(dag.nodes, width) else lead_of(len(share))
    drawn, shown = draw_dag(dag, width - left - (left > 0), rows, mode, above=above)
    first = min(note + rows, canvas.height)
    used = max(first - note, 0)
    canvas.chars[note:first, left : left + drawn.width] = drawn.chars[:used]
    canvas.styles[note:first, left : left + drawn.width] = drawn.styles[:used]
    if note:
        canvas.write(1, 0, f"{shown} of {edges_of(stage):,} edges shown"[: width - 1], MUTED)
    if height - first >= 2:
        table = draw_spread(
            share,
            stage.names,
            min(stage.step, stage.diffusion.steps),
            stage.diffusion.best(stage.head).step,
            width,
            height - first,
            mode,
        )
        canvas.chars[first:], canvas.styles[first:] = table.chars, table.styles
    return canvas


def best_text(best: Best, ascii_only: bool = False) -> str:
    """How clearly a source is ever heard; an arrow before what is only approached."""
    arrow = "->" if ascii_only else "→"
    return f"{arrow if best.approached else ''}{compact(best.value, 2)}"


def draw_weights(
    diffusion: Diffusion,
    step: int,
    selected: int,
    optimal: npt.NDArray[np.float64] | None,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw a row for each head, with the mixture last: weight, fidelity, and what the sink hears.

    ``optimal`` are the (H,) weights of greatest fidelity: ``None`` while they are searched for, NaN
    where there are too many to be searched.
    """
    canvas = Canvas.blank(width, height)
    phi, mark, mix = ("phi", ">", "mix") if ascii_only else ("φ", "▸", "Σ")
    headings = ("head", "weight", "optimal", f"{phi}_min", "now", "best", "at t")
    sizes = (6, 8, 9, 9, 9, 9, 7)
    order = (0, 1, 3, 4, 5, 6, 2)
    kept: set[int] = set()
    for column in order:
        if sum(sizes[place] for place in kept) + sizes[column] <= width:
            kept.add(column)
    edges = np.cumsum([size if place in kept else 0 for place, size in enumerate(sizes)]).tolist()
    for place in sorted(kept):
        canvas.write(edges[place] - len(headings[place]), 0, headings[place], MUTED)
    count = len(diffusion.weights)
    room = max(height - 2, 1)
    room -= 1 < room < count  # a line to say how many heads are out of sight
    first = min(max(selected - room // 2, 0), max(count - room, 0))
    rows: list[int | None] = [*range(first, min(first + room, count)), None]
    hidden = out_of_sight(first, max(count - first - room, 0), ascii_only)
    canvas.write(2, height - 1, hidden, MUTED)
    for y, head in enumerate(rows[: max(height - 1, 0)], start=1):
        best = diffusion.best(head)
        now = float(diffusion.share(head)[min(step, diffusion.steps), -1])
        fidelity = diffusion.fidelity if head is None else diffusion.alone[head]
        texts = (
            mix if head is None else str(head + 1),
            "1" if head is None else compact(float(diffusion.weights[head])),
            "" if head is None else _optimal(head, count, optimal),
            compact(fidelity.minimax, 4 if fidelity.minimax > 0.01 else 3),
            compact(now, 3),
            best_text(best, ascii_only),
            f"{best.step:,}",
        )
        style = TITLE if head is None else head_style(head)
        if head == selected:
            canvas.write(0, y, mark, CURSOR)
        for place in sorted(kept):
            text = to_ascii(texts[place]) if ascii_only else texts[place]
            canvas.write(edges[place] - len(text), y, text, style)
    return canvas


def _optimal(head: int, heads: int, optimal: npt.NDArray[np.float64] | None) -> str:
    """A head's weight of the best ones: dots while they are searched for, – where they are not."""
    if heads == 1:
        return "1"
    if optimal is None:
        return "…"
    return "–" if np.isnan(optimal[head]) else compact(float(optimal[head]))


def draw_response(
    diffusion: Diffusion,
    selected: int,
    response: Response | None,
    optimum: Optimum | None,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw how the minimax fidelity responds to the weight of the selected head.

    ``response`` and ``optimum`` are ``None`` while they are computed.
    """
    best = max(head.minimax for head in diffusion.alone)
    value = diffusion.fidelity.minimax
    weight = float(diffusion.weights[selected])
    lowest = min(value, best)
    highest = max([value, best, *([] if optimum is None else [optimum.fidelity])])
    markers = [Marker("y", best, f"best head alone {compact(best, 4)}", "warning")]
    if optimum is not None:
        label = f"optimal {compact(optimum.fidelity, 4)}"
        if len(diffusion.weights) == 2:
            markers.append(Marker("x", float(optimum.weights[selected]), label, "good"))
        else:
            markers.append(Marker("y", optimum.fidelity, label, "good"))
    curves = []
    if response is not None:
        lowest = min(lowest, float(response.fidelity.min()))
        highest = max(highest, float(response.fidelity.max()))
        curves = [Curve(response.weights, response.fidelity, "run-1")]
    spread = max(highest - lowest, 0.1 * highest, 1e-12)
    plot = Plot(
        Axis(0.0, 1.0, label="weight"),
        Axis(max(lowest - 0.12 * spread, 0.0), highest + 0.2 * spread),
        curves,
        markers,
        cursor=weight,
        empty="measuring" if len(diffusion.weights) > 1 else "one head: no weights to vary",
    )
    canvas = draw(plot, width, height, ascii_only)
    canvas.styles[canvas.styles == INDEX["run-1"]] = head_style(selected, "bold")
    return canvas
