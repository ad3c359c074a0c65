"""Paths to the sink as lines of a map: a row for each path, a column for each node. No Textual.

The stations of a row are the nodes a path passes, the number on each hop is the head that carries
it. Paths that change heads are marked ``⇄`` and change colour on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synergy_tui.widgets.axes import compact
from synergy_tui.widgets.canvas import Canvas
from synergy_tui.widgets.plot import STYLES
from synergy_tui.widgets.shading import head_style

_MUTED, _TEXT, _CURSOR, _TITLE = (
    STYLES.index(name) for name in ("muted", "text", "cursor", "title")
)
_LEAD = 8


@dataclass(frozen=True, slots=True)
class Route:
    """One path.

    Attributes
    ----------
    nodes, heads
        From the source to the sink, and the head (from 0) of each hop.
    share
        Its part of what the sink hears of the source.
    """

    nodes: tuple[int, ...]
    heads: tuple[int, ...]
    share: float

    @property
    def crosses(self) -> bool:
        """Whether it changes heads."""
        return len(set(self.heads)) > 1


def percent(share: float) -> str:
    """A share as a percentage in at most five characters: ``62 %``, ``4.1 %``, ``<.1 %``."""
    if np.isnan(share):
        return "–"
    value = 100 * share
    if 0 < value < 0.1:
        return "<.1%"
    return f"{value:.0f}%" if value >= 9.95 else f"{compact(value)}%"


def draw_routes(
    routes: Sequence[Route],
    name: Callable[[int], str],
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw as many routes as there are rows; the first row names the nodes."""
    canvas = Canvas.blank(max(width, 0), max(height, 0))
    shown = routes[: max(height - 1, 0)]
    if not shown or width < _LEAD + 10:
        return canvas
    station, line, switch, arrow = "o->>" if ascii_only else "●─⇄▶"
    stations = sorted({node for route in shown for node in route.nodes})
    last = width - 1 - len(name(stations[-1])) // 2
    places = np.rint(np.linspace(_LEAD, last, len(stations))).astype(int)
    column = dict(zip(stations, places.tolist(), strict=True))
    canvas.write(0, 0, "share", _MUTED)
    free = 0
    for node in (stations[-1], *stations[:-1]):
        text = name(node)
        start = max(min(column[node] - len(text) // 2, width - len(text)), 0)
        ends = node in (stations[0], stations[-1])
        limit = width if node == stations[-1] else last - len(name(stations[-1])) // 2 - 1
        if node == stations[-1] or (start >= free and start + len(text) <= limit):
            canvas.write(start, 0, text, _TITLE if ends else _MUTED)
            free = start + len(text) + 1 if node != stations[-1] else free
    for row, route in enumerate(shown, start=1):
        canvas.write(0, row, percent(route.share).rjust(5), _TEXT)
        if route.crosses:
            canvas.write(6, row, switch, _CURSOR)
        for hop, head in enumerate(route.heads):
            start, stop = column[route.nodes[hop]], column[route.nodes[hop + 1]]
            line_style = head_style(head, "bold" if route.crosses else "plain")
            canvas.write(start, row, line * (stop - start), line_style)
            label = str(head + 1)
            if stop - start - 1 >= len(label):
                at = start + 1 + (stop - start - 1 - len(label)) // 2
                canvas.write(at, row, label, head_style(head, "bold"))
            if stop - start - 2 >= len(label) + 1:
                canvas.write(stop - 1, row, arrow, line_style)
            canvas.write(start, row, station, head_style(head, "bold"))
        canvas.write(column[route.nodes[-1]], row, station, _TEXT)
    return canvas
