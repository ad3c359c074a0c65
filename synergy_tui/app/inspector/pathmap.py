"""Paths to the sink as lines of a map: a row for each path, a column for each node. No Textual.

The stations of a row are the nodes a path passes, the number on each hop is the head that carries
it. Paths that change heads are marked ``⇄`` and change colour on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.dag import Arc, Dag, Node, draw_dag, natural_height
from synergy_tui.app.widgets.shading import Mode, head_style
from synergy_tui.app.widgets.styles import CURSOR, INDEX, MUTED, TEXT, TITLE
from synergy_tui.words import percent

_LEAD = 9
NEGLIGIBLE = 1e-3
"""A slope below this share of the largest has no colour."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path."""

    nodes: tuple[int, ...]  # from the source to the sink
    heads: tuple[int, ...]  # of each hop, from 0
    share: float  # its part of what the sink hears of the source
    slopes: tuple[float, ...] = ()
    """Of each hop: what more attention there would do. Where given, they colour the hops."""

    @property
    def crosses(self) -> bool:
        return len(set(self.heads)) > 1


def draw_routes(
    routes: Sequence[Route],
    name: Callable[[int], str],
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw as many routes as there are rows; the first row names the nodes."""
    canvas = Canvas.blank(width, height)
    shown = routes[: max(height - 1, 0)]
    if not shown or width < _LEAD + 10:
        return canvas
    station, line, switch, arrow = "o->>" if ascii_only else "●─⇄▶"
    stations = sorted({node for route in shown for node in route.nodes})
    last = width - 1 - len(name(stations[-1])) // 2
    places = np.rint(np.linspace(_LEAD, last, len(stations))).astype(int)
    column = dict(zip(stations, places.tolist(), strict=True))
    canvas.write(0, 0, "share", MUTED)
    free = 0
    for node in (stations[-1], *stations[:-1]):
        text = name(node)
        start = max(min(column[node] - len(text) // 2, width - len(text)), 0)
        ends = node in (stations[0], stations[-1])
        limit = width if node == stations[-1] else last - len(name(stations[-1])) // 2 - 1
        if node == stations[-1] or (start >= free and start + len(text) <= limit):
            canvas.write(start, 0, text, TITLE if ends else MUTED)
            free = start + len(text) + 1 if node != stations[-1] else free
    for row, route in enumerate(shown, start=1):
        canvas.write(0, row, percent(route.share).rjust(6), TEXT)
        if route.crosses:
            canvas.write(7, row, switch, CURSOR)
        for hop, head in enumerate(route.heads):
            start, stop = column[route.nodes[hop]], column[route.nodes[hop + 1]]
            line_style = head_style(head, "bold" if route.crosses else "plain")
            label, label_style = str(head + 1), head_style(head, "bold")
            if route.slopes:
                sign, line_style = _signed(route.slopes[hop], routes)
                label, label_style = label + sign, line_style
            canvas.write(start, row, line * (stop - start), line_style)
            if stop - start - 1 >= len(label):
                at = start + 1 + (stop - start - 1 - len(label)) // 2
                canvas.write(at, row, label, label_style)
            if stop - start - 2 >= len(label) + 1:
                canvas.write(stop - 1, row, arrow, line_style)
            canvas.write(start, row, station, head_style(head, "bold"))
        canvas.write(column[route.nodes[-1]], row, station, TEXT)
    return canvas


def _signed(slope: float, routes: Sequence[Route]) -> tuple[str, int]:
    """A sign and a style for what more attention at an edge would do."""
    largest = max((abs(each) for route in routes for each in route.slopes), default=0.0)
    if abs(slope) <= NEGLIGIBLE * largest:
        return "", MUTED
    return ("+", INDEX["good"]) if slope > 0 else ("-", INDEX["warning"])


def draw_paths_panel(
    routes: Sequence[Route], name: Callable[[int], str], width: int, height: int, mode: Mode
) -> Canvas:
    """Draw routes, and above them the DAG they make together when there is room."""
    canvas = Canvas.blank(width, height)
    if not routes:
        text = "no path: the sink never hears this node"
        canvas.write(max((width - len(text)) // 2, 0), height // 2, text, MUTED)
        return canvas
    rows = min(len(routes) + 1, height)
    spare = height - rows - 1
    if spare >= 5:
        dag = routes_dag(routes, name)
        top = min(spare, natural_height(dag))
        drawn, _ = draw_dag(dag, width - _LEAD, top, mode)
        canvas.chars[:top, _LEAD:], canvas.styles[:top, _LEAD:] = drawn.chars, drawn.styles
        first = top + 1
    else:
        first = 0
    listed = draw_routes(routes, name, width, height - first, mode == "ascii")
    canvas.chars[first:], canvas.styles[first:] = listed.chars, listed.styles
    return canvas


def routes_dag(routes: Sequence[Route], name: Callable[[int], str]) -> Dag:
    """The DAG of all hops of the routes: one arc for each pair of nodes, naming its heads."""
    stations = sorted({node for route in routes for node in route.nodes})
    place = {node: position for position, node in enumerate(stations)}
    hops: dict[tuple[int, int], dict[int, float]] = {}
    slopes: dict[tuple[int, int], dict[int, float]] = {}
    for route in routes:
        for hop, (start, end) in enumerate(pairwise(route.nodes)):
            head, ends = route.heads[hop], (place[start], place[end])
            carried = hops.setdefault(ends, {})
            carried[head] = carried.get(head, 0.0) + route.share
            if route.slopes:
                slopes.setdefault(ends, {})[head] = route.slopes[hop]
    arcs = []
    for ends, carried in hops.items():
        text = ",".join(str(head + 1) for head in sorted(carried))
        style = head_style(max(carried, key=lambda head: carried[head]))
        if ends in slopes:
            sign, style = _signed(sum(slopes[ends].values()), routes)
            text += sign
        arcs.append(Arc(*ends, text, style, sum(carried.values())))
    nodes = [
        Node(name(node), marked=position in (0, len(stations) - 1))
        for position, node in enumerate(stations)
    ]
    return Dag(nodes, arcs)
