"""A DAG as an arc diagram: nodes in topological order on a line, edges as arcs. No Textual here.

Information flows from left to right. Edges of one head may run above the nodes and those of another
below, so that two heads differ without colour; the text on an arc names its heads. What has
no room is left out weakest first, and the caller learns how many arcs are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.shading import Mode, glyphs_of, level_style
from synergy_tui.app.widgets.styles import CURSOR, MUTED, TEXT

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    _UP | _DOWN: "│", _LEFT | _RIGHT: "─", _DOWN | _RIGHT: "╭", _DOWN | _LEFT: "╮",
    _UP | _RIGHT: "╰", _UP | _LEFT: "╯", _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤",
    _DOWN | _LEFT | _RIGHT: "┬", _UP | _LEFT | _RIGHT: "┴", _UP | _DOWN | _LEFT | _RIGHT: "┼",
}  # fmt: skip
_ASCII_LINES = {bits: {"│": "|", "─": "-"}.get(char, "+") for bits, char in _LINES.items()}


@dataclass(frozen=True, slots=True)
class Node:
    """One node."""

    label: str
    value: str = ""  # a number beneath; none when empty
    level: int = 0  # shade of its box, see `shading`; 0 for none
    marked: bool = False  # drawn as chosen


@dataclass(frozen=True, slots=True)
class Arc:
    """One edge from ``start`` to ``end`` (start < end)."""

    start: int
    end: int
    text: str = ""  # its head or heads, written where it fits
    style: int = TEXT  # style number of the canvas
    strength: float = 1.0  # which arcs stay when there is no room for all, and which lie on top


@dataclass(frozen=True, slots=True)
class Dag:
    """Nodes with arcs above them and, when given, others below."""

    nodes: Sequence[Node]
    above: Sequence[Arc]
    below: Sequence[Arc] = ()


def lanes_of(arcs: Sequence[Arc]) -> list[int]:
    """The lane of each arc, 0 next to the nodes: short arcs inside, long ones around them."""
    return list(_lanes(tuple((arc.start, arc.end) for arc in arcs)))


@lru_cache(maxsize=1024)
def _lanes(ends: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Lanes by (start, end) of each arc; the same from step to step of a diffusion."""
    lanes = [0] * len(ends)
    placed: list[int] = []
    for index in sorted(range(len(ends)), key=lambda i: (ends[i][1] - ends[i][0], i)):
        start, end = ends[index]
        under = [lanes[p] for p in placed if ends[p][0] < end and start < ends[p][1]]
        lanes[index] = max(under, default=-1) + 1
        placed.append(index)
    return tuple(lanes)


def keep_strongest(arcs: Sequence[Arc], lanes: int) -> list[Arc]:
    """As many of the strongest arcs as fit into this many lanes."""
    ranked = sorted(arcs, key=lambda arc: -arc.strength)
    # Lanes only ever grow with the arcs, so the last count that fits is found by halving.
    low, high = 0, min(len(ranked), 400)
    while low < high:
        middle = (low + high + 1) // 2
        if max(lanes_of(ranked[:middle]), default=-1) < lanes:
            low = middle
        else:
            high = middle - 1
    return ranked[:low]


def has_boxes(nodes: Sequence[Node], width: int) -> bool:
    """Whether nodes get boxes at this width; otherwise each is a column of shade."""
    return _Boxes.fit(nodes, width).roomy


def natural_rows(arcs: Sequence[Arc]) -> int:
    """Rows that show all these arcs on one side of the nodes."""
    return max(lanes_of(arcs)) + 2 if arcs else 0


def natural_height(dag: Dag) -> int:
    """Rows that show every arc."""
    rows = 2 if any(node.value for node in dag.nodes) else 1
    return rows + natural_rows(dag.above) + natural_rows(dag.below)


def draw_dag(
    dag: Dag, width: int, height: int, mode: Mode = "blocks", *, above: int | None = None
) -> tuple[Canvas, int]:
    """Draw a DAG into ``width`` × ``height`` characters; also returns how many arcs are shown.

    ``above`` fixes the rows above the nodes, so that DAGs beside each other stand on one line.
    """
    canvas = Canvas.blank(width, height)
    if not dag.nodes or width < 1 or height < 1:
        return canvas, 0
    boxes = _Boxes.fit(dag.nodes, width)
    rows = 2 if boxes.with_values or not boxes.roomy else 1
    spare = max(height - rows, 0)
    if above is None:
        wanted = [natural_rows(dag.above), natural_rows(dag.below)]
        if sum(wanted) > spare:
            first = max(spare * wanted[0] // sum(wanted), spare - wanted[1])
            wanted = [min(wanted[0], first), spare - min(wanted[0], first)]
        top = wanted[0] + (spare - sum(wanted)) // 2
    else:
        top = min(above, spare)
    shown = 0
    for arcs, room, up in ((dag.above, top, True), (dag.below, spare - top, False)):
        kept = keep_strongest([arc for arc in arcs if boxes.apart(arc)], room - 1)
        shown += len(kept)
        _draw_arcs(canvas, kept, boxes, top if up else top + rows, up, mode)
    _draw_nodes(canvas, dag.nodes, boxes, top, rows, mode)
    return canvas, shown


@dataclass(frozen=True, slots=True)
class _Boxes:
    """Where each node lies: its first column and how wide it is."""

    starts: tuple[int, ...]
    size: int
    roomy: bool
    with_values: bool

    @classmethod
    def fit(cls, nodes: Sequence[Node], width: int) -> _Boxes:
        """Spread nodes over the width: boxes with numbers, else boxes, else single columns."""
        count = len(nodes)
        named = max(len(node.label) for node in nodes)
        valued = max(len(node.value) for node in nodes)
        for size, values in (
            (max(named, valued) + 2, True),
            (max(named, valued), True),
            (named, False),
        ):
            size = max(size, 3)
            if count == 1 or (width - size) / (count - 1) >= size + 2:
                return cls(_spread(count, width - size), size, True, values and valued > 0)
        # Whole columns between nodes, where there are any, leave no gaps of uneven size.
        even = (width - 1) // (count - 1) * (count - 1)
        return cls(_spread(count, even or width - 1), 1, False, False)

    def leaves(self, node: int) -> int:
        return self.starts[node] + self.size - 1

    def enters(self, node: int) -> int:
        return self.starts[node]

    def apart(self, arc: Arc) -> bool:
        return self.leaves(arc.start) < self.enters(arc.end)


def _spread(count: int, last: int) -> tuple[int, ...]:
    return tuple(np.rint(np.linspace(0, max(last, 0), count)).astype(int).tolist())


def _draw_arcs(
    canvas: Canvas, arcs: Sequence[Arc], boxes: _Boxes, edge: int, up: bool, mode: Mode
) -> None:
    """Draw arcs above (``up``) or below row ``edge`` of the nodes."""
    sign = -1 if up else 1
    near = edge - 1 if up else edge
    away, back = (_UP, _DOWN) if up else (_DOWN, _UP)
    bits = np.zeros(canvas.chars.shape, dtype=np.uint8)
    texts: list[tuple[int, int, int, Arc]] = []
    order = sorted(zip(arcs, lanes_of(arcs), strict=True), key=lambda pair: pair[0].strength)
    for arc, lane in order:
        row = near + sign * (lane + 1)
        left, right = boxes.leaves(arc.start), boxes.enters(arc.end)
        bits[row, left + 1 : right] |= _LEFT | _RIGHT
        canvas.styles[row, left : right + 1] = arc.style
        bits[row, left] |= back | _RIGHT
        bits[row, right] |= back | _LEFT
        for between in range(min(near, row - sign), max(near, row - sign) + 1):
            for column in (left, right):
                bits[between, column] |= away | back
                canvas.styles[between, column] = arc.style
        texts.append((left, right, row, arc))
    table = np.full(16, ord(" "), dtype=np.uint32)
    for pattern, char in (_ASCII_LINES if mode == "ascii" else _LINES).items():
        table[pattern] = ord(char)
    drawn = bits > 0
    canvas.chars[drawn] = table[bits[drawn]]
    heads = {"ascii": ("v", "^")}.get(mode, ("▼", "▲"))
    for arc in arcs:
        canvas.chars[near, boxes.enters(arc.end)] = ord(heads[0] if up else heads[1])
    for left, right, row, arc in texts:
        _write_text(canvas, bits[row], left, right, row, arc)


def _write_text(
    canvas: Canvas, bits: npt.NDArray[np.uint8], left: int, right: int, row: int, arc: Arc
) -> None:
    """Write the text of an arc near its middle, where no other arc crosses it."""
    free = bits == _LEFT | _RIGHT
    size = len(arc.text)
    starts = [x for x in range(left + 1, right - size + 1) if free[x : x + size].all()]
    if size and starts:
        middle = (left + right + 1 - size) / 2
        # Two cells off the middle are well spent on not touching a crossing.
        x = min(
            starts,
            key=lambda x: abs(x - middle) + 2 * (not free[x - 1]) + 2 * (not free[x + size]),
        )
        canvas.write(x, row, arc.text, arc.style)


def _draw_nodes(
    canvas: Canvas, nodes: Sequence[Node], boxes: _Boxes, top: int, rows: int, mode: Mode
) -> None:
    if not boxes.roomy:
        _draw_columns(canvas, nodes, boxes, top, mode)
        return
    for node, x in zip(nodes, boxes.starts, strict=True):
        style = level_style(node.level) if mode == "blocks" and node.level else TEXT
        if node.marked and not (mode == "blocks" and node.level):
            style = CURSOR
        label = (
            f"[{node.label}]" if node.marked and len(node.label) + 2 <= boxes.size else node.label
        )
        canvas.write(x, top, label.center(boxes.size), style)
        if rows > 1 and boxes.with_values:
            canvas.write(x, top + 1, node.value.center(boxes.size), style)


def _draw_columns(
    canvas: Canvas, nodes: Sequence[Node], boxes: _Boxes, top: int, mode: Mode
) -> None:
    """Nodes too many for boxes: one column of shade each, and beneath it the labels that fit."""
    levels = np.zeros(canvas.width, dtype=np.uint8)
    for node, x in zip(nodes, boxes.starts, strict=True):
        levels[x] = max(levels[x], node.level, 1)
    used = levels > 0
    canvas.chars[top, used] = glyphs_of(levels[used], "ascii" if mode == "ascii" else "shades")
    if mode == "blocks":
        canvas.chars[top, used] = ord(" ")
        canvas.styles[top, used] = [level_style(int(level)) for level in levels[used]]
    if top + 1 >= canvas.height:
        return
    free = 0
    last = len(nodes) - 1
    marked = [index for index, node in enumerate(nodes) if node.marked]
    for index in (*marked, last, *range(len(nodes))):
        label, x = nodes[index].label, boxes.starts[index]
        start = max(min(x - (len(label) - 1) // 2, canvas.width - len(label)), 0)
        row = canvas.chars[top + 1, max(start - 1, 0) : start + len(label) + 1]
        stretch = (row == ord(" ")).all()
        if stretch and (index in marked or index == last or start >= free):
            canvas.write(start, top + 1, label, CURSOR if index in marked else MUTED)
            free = start + len(label) + 2 if index not in (*marked, last) else free
