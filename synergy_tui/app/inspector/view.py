"""What each panel of the inspector shows: an answer of the engine in, paintings and titles out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_tui.app.inspector.headviews import (
    Thumb,
    Tile,
    draw_arrival,
    draw_figures,
    draw_grid,
    draw_what_if,
    order_heads,
)
from synergy_tui.app.inspector.measures import CONVENTION, Answer, Ceilings
from synergy_tui.app.inspector.ordered import Ordered, draw_ordered
from synergy_tui.app.inspector.pathmap import Route, draw_paths_panel
from synergy_tui.app.screens.arrange import (
    ARRIVAL,
    HEADS,
    LAYERS,
    MAP,
    MAPS,
    PATHS,
    WHAT_IF,
)
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.heatmap import Heat, Placement, draw_heatmap, draw_ramp
from synergy_tui.app.widgets.shading import Mode, Scale
from synergy_tui.app.widgets.styles import MUTED
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.words import compact, csv_text, percent

if TYPE_CHECKING:
    from synergy_engine.measures.paths import Path as HeadPath

Paint = Callable[[int, int, Mode], Canvas]
Shown = tuple[Paint, str, str]
"""How to draw a panel, its title, and what stands at its bottom."""


@dataclass
class InspectorView:
    """Everything that the panels depend on."""

    snapshot: Snapshot
    answer: Answer
    selected: int | None  # from 0; None is the mixture
    off: frozenset[int]  # possibly newer than the answer
    source: int  # the chosen token
    query: int  # the map's row; -1: the sink's
    order_by: str
    scale: Scale
    zoomed: bool  # the map shows every entry
    ascii_only: bool
    losses_without: Sequence[float] = ()  # held-out loss without each head, where measured
    ceilings: Ceilings | None = None  # see `draw_what_if`
    ordered: Ordered | None = None  # all layers in order, once measured
    _place: Placement | None = None
    _tiles: dict[int | None, Tile] = field(default_factory=dict)
    _rows: list[int | None] = field(default_factory=list)

    def heads(self) -> list[int | None]:
        return [None, *order_heads(self.answer.figures, self.order_by)]

    def panel(self, number: int) -> Shown:
        return {
            MAPS: self._maps,
            MAP: self._map,
            HEADS: self._heads,
            ARRIVAL: self._arrival,
            PATHS: self._paths,
            WHAT_IF: self._what_if,
            LAYERS: self._layers,
        }[number]()

    def head_at(self, number: int, x: int, y: int) -> int | None:
        """The head under a cell of the maps or the table; the selected one elsewhere."""
        if number == HEADS and 1 <= y <= len(self._rows):
            return self._rows[y - 1]
        if number == MAPS:
            for head, (left, top, wide, high) in self._tiles.items():
                if left <= x < left + wide and top <= y < top + high:
                    return head
        return self.selected

    def entry_at(self, x: int, y: int) -> tuple[int, int] | None:
        """The (query, key) under a cell of the map; ``None`` above the diagonal and outside."""
        entry = None if self._place is None else self._place.entry_at(x, y)
        last = self.snapshot.nodes - 1
        if entry is None or not entry[1] <= entry[0] <= last:
            return None
        return entry[0], min(entry[1], last - 1)

    def matrix(self, head: int | None) -> npt.NDArray[np.floating]:
        """The diffusion matrix of a head, whose rows sum to one, or of the heads that are on."""
        if head is None:
            return self.answer.mixed
        asked = self.answer.question
        values = self.snapshot.attention[asked.input, asked.layer, head]
        if not self.snapshot.designed:
            return values
        sums = values.sum(axis=1, keepdims=True)
        return np.divide(values, sums, where=sums > 0, out=np.zeros_like(values))

    def _maps(self) -> Shown:
        thumbs = [
            Thumb(
                head,
                self.matrix(head),
                self._thumb_figures(head),
                off=head in self.off,
                selected=head == self.selected,
            )
            for head in self.heads()
        ]

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            canvas, self._tiles = draw_grid(thumbs, width, height - 1, mode, self.scale)
            framed = Canvas.blank(width, height)
            framed.chars[:-1], framed.styles[:-1] = canvas.chars, canvas.styles
            draw_ramp(framed, 0, height - 1, Heat(self.answer.mixed, self.scale), mode)
            return framed

        return paint, "all heads: row hears column", f"by {self.order_by}"

    def _thumb_figures(self, head: int | None) -> list[str]:
        phi = "phi" if self.ascii_only else "φ"
        if head is None:
            count = len(self.answer.figures) - len(self.answer.question.off)
            return [f"of {count}", f"{phi} {compact(self.answer.now.fidelity)}"]
        each = self.answer.figures[head]
        return [
            f"w {compact(each.weight)}",
            f"{phi} {compact(each.fidelity)}",
            f"steps {compact(each.steps, 3)}",
        ]

    def _map(self) -> Shown:
        last = self.snapshot.nodes - 1
        query = last if self.query < self.source else min(self.query, last)
        gradient = self._slopes(self.selected)
        shown = self.matrix(self.selected) if gradient is None else gradient
        top = 1.0 if gradient is None else float(gradient.max())
        cursor = (query, self.source)
        heat = Heat(shown, self.scale, top, cursor, self.snapshot.names)

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            canvas, self._place = draw_heatmap(heat, width, height, mode, zoomed=self.zoomed)
            return canvas

        if gradient is not None:
            of = f"of {self.snapshot.name(self.source)}"
            return paint, f"{self._head_title()}: more here is clearer", f"gradient {of}"
        if self.selected is None:
            return paint, "mixture", "row hears column"
        weight = compact(self.answer.figures[self.selected].weight, 3)
        weight = "off" if self.selected in self.off else f"weight {weight}"
        return paint, self._head_title(), f"row hears column, {weight}"

    def _head_title(self) -> str:
        return "mixture" if self.selected is None else f"head {self.selected + 1}"

    def _slopes(self, head: int | None) -> npt.NDArray[np.floating] | None:
        """What more attention of a head at each entry would do, where that was asked for."""
        gradient = self.answer.gradient
        if gradient is None:
            return None
        slopes: npt.NDArray[np.floating] = gradient.sum(axis=0) if head is None else gradient[head]
        return slopes

    def _heads(self) -> Shown:
        order = order_heads(self.answer.figures, self.order_by)

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            canvas, self._rows = draw_figures(
                self.answer,
                order,
                self.selected,
                self.off,
                width,
                height,
                mode,
                self.losses_without,
            )
            return canvas

        carried = self.answer.carried
        if carried is None:
            return paint, "heads alone: steps to sink", CONVENTION
        faintest = self.snapshot.name(carried.node)
        return paint, f"carries: {faintest}'s signal, t* = {carried.time}", CONVENTION

    def _arrival(self) -> Shown:
        answer = self.answer
        name = self.snapshot.name(answer.question.source)

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            return draw_arrival(
                answer, self.selected, answer.question.off, name, width, height, mode == "ascii"
            )

        return paint, "how soon: walks that have arrived", "curves: head numbers"

    def _paths(self) -> Shown:
        answer = self.answer
        routes = sorted(
            (
                Route(path.nodes, path.heads, path.share, self._path_slopes(path))
                for path in answer.paths
            ),
            key=lambda route: -route.share,
        )

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            return draw_paths_panel(routes, self.snapshot.name, width, height, mode)

        name = self.snapshot.name(answer.question.source)
        covered = percent(sum(route.share for route in routes))
        novel, cross = percent(answer.novel), percent(answer.cross_head)
        if answer.question.gradient:
            about = "more attention at + makes it clearer, at - less clear"
            if answer.gradient is None:
                about = "no gradient: its best step is a limit, or too far off"
            return paint, f"paths from {name}: top {len(routes)} carry {covered}", about
        return (
            paint,
            f"paths from {name}: top {len(routes)} carry {covered}",
            f"needs several heads {novel}, switch {cross}",
        )

    def _path_slopes(self, path: HeadPath) -> tuple[float, ...]:
        """The gradient of each hop, none unless asked for."""
        gradient = self.answer.gradient
        if gradient is None:
            return ()
        hops = zip(path.heads, path.nodes[1:], path.nodes[:-1], strict=True)
        return tuple(float(gradient[head, to, start]) for head, to, start in hops)

    def _layers(self) -> Shown:
        ordered, name = self.ordered, self.snapshot.name

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            if ordered is None:
                canvas = Canvas.blank(width, height)
                canvas.write(2, 0, "measuring", MUTED)
                return canvas
            return draw_ordered(ordered, name, width, height, mode)

        count = self.snapshot.layers
        return paint, f"all {count} layers in order", "γ: what attention moves; the rest stays"

    def _what_if(self) -> Shown:
        answer = self.answer
        name = self.snapshot.name(answer.question.source)

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            return draw_what_if(answer, self.ceilings, name, width, height, mode == "ascii")

        off = len(answer.question.off)
        if off:
            return (
                paint,
                f"what if: {off} of {self.snapshot.heads} heads off",
                "{inspector.all_on}: all on",
            )
        return paint, "what if a head is switched off", "{inspector.switch}: off"

    def as_csv(self, run: str, step: int) -> str:
        """The figures of every head and of the mixtures, one per line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            ["run", "step", "layer", "input", "heads", "weight", "steps_to_sink_mean",
             "minimax_fidelity", "diversity_bits", "carries", "loss_without_nats", "convention"],
        )  # fmt: skip
        answer = self.answer
        asked = answer.question
        lead = [csv_text(run), step, asked.layer + 1, asked.input + 1]
        for each in answer.figures:
            figures = [each.head + 1, each.weight, each.steps, each.fidelity, each.diversity]
            share = "" if answer.carried is None else float(answer.carried.share[each.head])
            without = self.losses_without[each.head] if self.losses_without else ""
            writer.writerow([*lead, *figures, share, without, CONVENTION])
        before, after = answer.before, answer.after
        writer.writerow([*lead, "all", 1, before.steps, before.fidelity, "", "", "", CONVENTION])
        if after is not None:
            on = " ".join(str(e.head + 1) for e in answer.figures if e.head not in asked.off)
            writer.writerow([*lead, on, 1, after.steps, after.fidelity, "", "", "", CONVENTION])
        return out.getvalue()
