"""Matrices as heatmaps: arrays in, a canvas out. No Textual here.

A character cell holds two square pixels, one above the other (``▀`` with two colours), so a matrix
keeps its shape. Without colour a cell is a shade glyph, doubled to stay square. A matrix larger
than its room shows the maximum of each block, so that no spike is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.shading import (
    CURSOR,
    LEVELS,
    Levels,
    Mode,
    Scale,
    glyphs_of,
    level_style,
    levels_of,
    pair_styles,
    value_at,
)
from synergy_tui.app.widgets.styles import AXIS, CURSOR as CURSOR_STYLE, MUTED, TEXT
from synergy_tui.words import compact


@dataclass(frozen=True, slots=True)
class Heat:
    """A square matrix to show."""

    values: npt.NDArray[np.floating]
    """(n, n), lower triangular: rows are queries (receivers), columns keys (senders)."""
    scale: Scale = "root"
    top: float = 1.0  # see `shading.levels_of`
    cursor: tuple[int, int] | None = None  # (query, key)
    names: Sequence[str] = ()  # of the nodes; numbers when empty


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a matrix lies on a canvas; a square shows the largest of its entries."""

    x: int  # of its upper left corner
    y: int
    blocks: int  # squares on a side
    entries: int  # entries of the matrix that they stand for
    across: int  # characters across one square
    down: int  # pixels down one square
    halves: int  # pixels in a character: 2 with half blocks, else 1
    origin: tuple[int, int] = (0, 0)
    """(query, key) of the upper left corner, for a matrix that is seen in part."""

    @property
    def columns(self) -> int:
        return self.blocks * self.across

    @property
    def rows(self) -> int:
        return -(-self.blocks * self.down // self.halves)

    @property
    def edges(self) -> npt.NDArray[np.int64]:
        """(blocks,) the first entry of each square, counted from the origin."""
        return np.arange(self.blocks, dtype=np.int64) * self.entries // self.blocks

    def square_of(self, entry: int) -> int:
        """The square that shows an entry, counted from the origin."""
        return ((entry + 1) * self.blocks - 1) // self.entries

    def entry_at(self, column: int, row: int) -> tuple[int, int] | None:
        """The (query, key) at a character of the canvas; ``None`` outside the matrix."""
        column, row = column - self.x, row - self.y
        if not (0 <= column < self.columns and 0 <= row < self.rows):
            return None
        across = column // self.across
        down = min(row * self.halves // self.down, self.blocks - 1)
        query, key = (square * self.entries // self.blocks for square in (down, across))
        return self.origin[0] + query, self.origin[1] + key

    def column_of(self, key: int) -> int:
        square = self.square_of(key - self.origin[1])
        return self.x + square * self.across + (self.across - 1) // 2

    def row_of(self, query: int) -> int:
        pixel = self.square_of(query - self.origin[0]) * self.down + (self.down - 1) // 2
        return self.y + pixel // self.halves


def pool(
    values: npt.NDArray[np.floating], edges: npt.NDArray[np.integer]
) -> npt.NDArray[np.floating]:
    """The maximum of each block of rows and columns that starts at ``edges``."""
    if len(edges) == values.shape[0]:
        return values
    pooled: npt.NDArray[np.floating] = np.maximum.reduceat(
        np.maximum.reduceat(values, edges, axis=0), edges, axis=1
    )
    return pooled


def fit(nodes: int, width: int, height: int, mode: Mode, *, zoomed: bool = False) -> Placement:
    """Lay ``nodes`` × ``nodes`` entries into ``width`` × ``height`` characters.

    ``zoomed`` shows every entry, and only as much of the matrix as there is room for.
    """
    halves = 2 if mode == "blocks" else 1
    wide = 1 if mode == "blocks" else 2
    room = max(min(width // wide, height * halves), 1)
    shown = min(nodes, room)
    zoom = max(room // shown, 1)
    if zoom > 2 and halves == 2:
        # Whole rows let a number stand inside its square.
        zoom -= zoom % 2
    return Placement(
        x=0,
        y=0,
        blocks=shown,
        entries=shown if zoomed else nodes,
        across=zoom * wide,
        down=zoom,
        halves=halves,
    )


def draw_matrix(canvas: Canvas, heat: Heat, place: Placement, mode: Mode) -> None:
    """Draw the squares of a matrix, without axes, where ``place`` says."""
    first, left = place.origin
    view = heat.values[first : first + place.entries, left : left + place.entries]
    edges = place.edges
    values = pool(view, edges)
    levels = levels_of(values, heat.scale, heat.top)
    last = first + np.append(edges[1:], place.entries) - 1
    levels[last[:, None] < left + edges[None, :]] = 0
    if heat.cursor is not None:
        query, key = heat.cursor[0] - first, heat.cursor[1] - left
        if 0 <= query < place.entries and 0 <= key < place.entries:
            levels[place.square_of(query), place.square_of(key)] = CURSOR
    pixels = np.repeat(np.repeat(levels, place.down, axis=0), place.across, axis=1)
    _put(canvas, pixels, place.x, place.y, mode)
    if place.across >= 5 and place.blocks == place.entries:
        _write_values(canvas, values, levels, place, mode)


def draw_small(canvas: Canvas, heat: Heat, mode: Mode) -> None:
    """Fill a canvas with a matrix without axes; entries may differ by one pixel in size."""
    wide = 1 if mode == "blocks" else 2
    nodes = heat.values.shape[0]
    side = max(min(canvas.width // wide, canvas.height * (2 if mode == "blocks" else 1)), 1)
    edges = np.arange(min(nodes, side)) * nodes // min(nodes, side)
    levels = _levels(pool(heat.values, edges), edges, heat)
    entry = np.arange(side) * len(edges) // side
    _put(canvas, np.repeat(levels[entry][:, entry], wide, axis=1), 0, 0, mode)


def _levels(pooled: npt.NDArray[np.floating], edges: npt.NDArray[np.integer], heat: Heat) -> Levels:
    """Levels of pooled values; blocks that lie above the diagonal are empty."""
    levels = levels_of(pooled, heat.scale, heat.top)
    last = np.append(edges[1:], heat.values.shape[0]) - 1
    levels[last[:, None] < edges[None, :]] = 0
    return levels


def draw_heatmap(
    heat: Heat, width: int, height: int, mode: Mode = "blocks", *, zoomed: bool = False
) -> tuple[Canvas, Placement]:
    """Draw a matrix with its axes: queries down the left side, keys along the bottom.

    The triangle above the diagonal is empty, and holds the legend when there is room.
    """
    canvas = Canvas.blank(width, height)
    nodes = heat.values.shape[0]
    labels = [str(name) for name in heat.names] or [str(node) for node in range(nodes)]
    gutter = max((len(label) for label in labels), default=1) + 1
    if width < gutter + 4 or height < 4:
        return canvas, fit(nodes, 1, 1, mode)
    inner = fit(nodes, width - gutter, height - 1, mode, zoomed=zoomed)
    origin = _window(heat.cursor, nodes, inner.blocks) if zoomed else (0, 0)
    place = replace(inner, x=gutter, origin=origin)
    draw_matrix(canvas, heat, place, mode)
    _draw_ticks(canvas, heat, place, labels)
    _draw_legend(canvas, heat, place, mode)
    return canvas, place


def draw_ramp(canvas: Canvas, x: int, y: int, heat: Heat, mode: Mode, width: int = 8) -> int:
    """Draw the colour scale with its ends; return the columns it takes."""
    scale = {"root": "√ scale", "log": "log scale", "linear": "linear"}[heat.scale]
    if mode == "ascii":
        scale = scale.replace("√", "root")
    low = compact(value_at(0.0 if heat.scale != "log" else 1e-9, heat.scale, heat.top))
    text = f"{low} "
    canvas.write(x, y, text, MUTED)
    levels = np.rint(np.linspace(1, LEVELS, width)).astype(np.uint8)[None, :]
    doubled = np.repeat(levels, 2, axis=0) if mode == "blocks" else levels
    _put(canvas, doubled, x + len(text), y, mode)
    after = f" {compact(heat.top)} {scale}"
    canvas.write(x + len(text) + width, y, after, MUTED)
    return len(text) + width + len(after)


def _put(canvas: Canvas, pixels: Levels, x: int, y: int, mode: Mode) -> None:
    """Put pixels onto a canvas, cut off at its edges."""
    columns = min(pixels.shape[1], canvas.width - x)
    if mode == "blocks":
        if pixels.shape[0] % 2:
            pixels = np.vstack([pixels, np.zeros((1, pixels.shape[1]), dtype=np.uint8)])
        rows = min(pixels.shape[0] // 2, canvas.height - y)
        top, bottom = pixels[: 2 * rows : 2, :columns], pixels[1 : 2 * rows : 2, :columns]
        # Where the upper half is empty, a lower half block leaves no seam of colour above it.
        lower = (top == 0) & (bottom > 0)
        chars = np.where(lower, ord("▄"), np.where(top > 0, ord("▀"), ord(" ")))
        styles = np.where(lower, pair_styles(bottom, top), pair_styles(top, bottom))
        canvas.chars[y : y + rows, x : x + columns] = chars
        canvas.styles[y : y + rows, x : x + columns] = np.where(top + bottom > 0, styles, TEXT)
        return
    rows = min(pixels.shape[0], canvas.height - y)
    shown = pixels[:rows, :columns]
    canvas.chars[y : y + rows, x : x + columns] = glyphs_of(shown, mode)
    canvas.styles[y : y + rows, x : x + columns] = np.where(shown == CURSOR, CURSOR_STYLE, TEXT)


def _write_values(
    canvas: Canvas,
    values: npt.NDArray[np.floating],
    levels: Levels,
    place: Placement,
    mode: Mode,
) -> None:
    """Write each entry into its square, where squares are large enough."""
    if place.down // place.halves < 1:
        return
    for row in range(values.shape[0]):
        y = place.y + (row * place.down + (place.down - 1) // 2) // place.halves
        for column in np.flatnonzero(levels[row]).tolist():
            value = float(values[row, column])
            text = compact(value) if mode == "blocks" else f" {compact(value)} "
            x = place.x + column * place.across + (place.across - len(text)) // 2
            canvas.write(x, y, text, level_style(int(levels[row, column])))


def _window(cursor: tuple[int, int] | None, nodes: int, shown: int) -> tuple[int, int]:
    """Upper left corner of a window of ``shown`` entries with the cursor in its middle."""
    query, key = cursor or (nodes - 1, 0)
    last = max(nodes - shown, 0)
    return min(max(query - shown // 2, 0), last), min(max(key - shown // 2, 0), last)


def _draw_ticks(canvas: Canvas, heat: Heat, place: Placement, labels: list[str]) -> None:
    """Label queries and keys, as many as there is room for; the cursor's always."""
    queries = range(place.origin[0], min(place.origin[0] + place.entries, len(labels)))
    keys = range(place.origin[1], min(place.origin[1] + place.entries, len(labels)))
    taken: set[int] = set()
    every = _stride(len(queries), place.rows)
    chosen = [(query, AXIS) for query in queries if query % every == 0]
    if heat.cursor is not None and heat.cursor[0] in queries:
        chosen.insert(0, (heat.cursor[0], CURSOR_STYLE))
    for query, style in chosen:
        row = place.row_of(query)
        if row not in taken:
            taken.add(row)
            canvas.write(place.x - 1 - len(labels[query]), row, labels[query], style)
    bottom = place.y + place.rows
    longest = max(len(labels[key]) for key in keys) + 1
    every = _stride(len(keys), max(place.columns // longest, 1))
    chosen = [(key, AXIS) for key in keys if key % every == 0]
    if heat.cursor is not None and heat.cursor[1] in keys:
        chosen.insert(0, (heat.cursor[1], CURSOR_STYLE))
    used = np.zeros(canvas.width + 1, dtype=bool)
    for key, style in chosen:
        text = labels[key]
        start = place.column_of(key) - (len(text) - 1) // 2
        start = max(min(start, canvas.width - len(text)), 0)
        if not used[max(start - 1, 0) : start + len(text) + 1].any():
            used[start : start + len(text)] = True
            canvas.write(start, bottom, text, style)


def _stride(count: int, room: int) -> int:
    """The smallest of 1, 2, 5, 10, … that leaves at most ``room`` of ``count`` labels."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if count <= room * factor * power:
                return factor * power
        power *= 10


def _draw_legend(canvas: Canvas, heat: Heat, place: Placement, mode: Mode) -> None:
    """Say what is what in the empty triangle, as far as each line fits above the diagonal."""
    arrow = ("v", "->") if mode == "ascii" else ("↓", "→")
    lines = [f"query {arrow[0]} hears", f"key {arrow[1]} is heard"]
    if place.blocks < place.entries:
        lines.append(f"maxima of {place.entries / place.blocks:.2g} entries")
    if heat.cursor is not None:
        query, key = heat.cursor
        names = list(heat.names) or [str(node) for node in range(heat.values.shape[0])]
        value = compact(float(heat.values[query, key]), 3)
        lines.append(f"{names[query]} {'<-' if mode == 'ascii' else '←'} {names[key]}  {value}")
    right = place.x + place.columns
    pixels = place.across / (place.down / place.halves)
    for row, line in enumerate(lines):
        diagonal = place.x + (row + 1) * pixels + place.across
        start = right - len(line)
        if start <= diagonal or row >= place.rows:
            break
        style = CURSOR_STYLE if heat.cursor is not None and line is lines[-1] else MUTED
        canvas.write(start, row, line, style)
