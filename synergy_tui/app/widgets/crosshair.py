"""What curves say at one place of the x axis: an upright line, and a box of names and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.curves import Curve, Mask
from synergy_tui.app.widgets.labels import Board
from synergy_tui.app.widgets.styles import CURSOR, INDEX, MUTED, TEXT
from synergy_tui.words import compact, cut

WIDEST = 0.6
"""Of the chart's width that the box may take; longer names are cut."""


@dataclass(frozen=True, slots=True)
class Crosshair:
    """A place on the x axis at which curves are read."""

    at: float
    unit: str  # what is counted on the x axis, in the singular: ``step``
    boxed: bool = True  # values stand in a box beside the line, else in the panel's first line
    others: Sequence[Curve] = ()  # curves that are read here and drawn elsewhere


@dataclass(frozen=True, slots=True)
class Reading:
    """A curve's value at the crosshair."""

    name: str
    mark: str  # of the run, where there are several
    value: str
    style: int


def read(curves: Sequence[Curve], crosshair: Crosshair) -> list[Reading]:
    """Each named curve's newest value not after the crosshair, as everywhere at the cursor.

    Curves of one name are one curve in several pieces.
    """
    found: dict[str, tuple[float, float, Curve]] = {}
    # Runs before what they are compared with: where there is little room, the first are shown.
    named = [curve for curve in [*curves, *crosshair.others] if curve.name]
    for curve in sorted(named, key=lambda curve: not curve.style.startswith("run")):
        at, value = curve.reading(crosshair.at)
        before = found.get(curve.name)
        if before is None or not (math.isnan(at) or before[0] >= at):
            found[curve.name] = (at, value, curve)
    return [
        Reading(
            name,
            curve.glyph,
            "–" if math.isnan(value) else compact(value, 3),
            INDEX["muted" if curve.style.startswith("faint") else curve.style],
        )
        for name, (_, value, curve) in found.items()
    ]


def nearest(curves: Sequence[Curve], axis: Axis, share: float) -> float | None:
    """The x of the point that lies nearest to a position (0..1) of the axis, if there is one."""
    best, least = None, math.inf
    wanted = axis.at(share)
    for curve in curves:
        if not curve.name or not len(curve.x):
            continue
        place = int(np.searchsorted(curve.x, wanted))
        near = np.asarray(curve.x[max(place - 1, 0) : place + 1], dtype=np.float64)
        apart = np.abs(axis.place(near) - share)
        index = int(np.argmin(np.where(np.isnan(apart), math.inf, apart)))
        if apart[index] < least:
            best, least = float(near[index]), float(apart[index])
    return best


def neighbour(
    curves: Sequence[Curve], axis: Axis, at: float, by: int, columns: int
) -> float | None:
    """The x of the next point to the right (``by`` 1) or the left (-1) of ``at``, at least one of
    the axis's ``columns`` away; beyond the ends of the axis too, and ``None`` where there is none.
    """
    best = None
    goal = axis.spot(at) + by * (1 - 1e-9) / columns
    for curve in curves:
        if curve.name and len(curve.x):
            placed = axis.place(curve.x)
            beyond = np.flatnonzero(placed >= goal if by > 0 else placed <= goal)
            if beyond.size:
                x = float(curve.x[beyond[0] if by > 0 else beyond[-1]])
                best = x if best is None else min(best, x) if by > 0 else max(best, x)
    return best


def one_line(readings: Sequence[Reading], crosshair: Crosshair, width: int) -> str:
    """As many values as fit into ``width`` cells, after the place they are read at."""
    text = f"{crosshair.unit} {compact(crosshair.at, 6)}:"
    for reading in readings:
        more = f" {reading.mark or reading.name} {reading.value}"
        if len(text) + len(more) > width:
            break
        text += more
    return text


def has_box(crosshair: Crosshair, readings: Sequence[Reading], rows: int) -> bool:
    """Whether values stand in a box: where they are few enough for a chart of so many rows."""
    return crosshair.boxed and 0 < len(readings) < rows


def draw_box(
    body: Canvas, board: Board, readings: Sequence[Reading], crosshair: Crosshair, column: int,
    curves: Mask,
) -> None:  # fmt: skip
    """Write the values beside the upright line in ``column``, where they cover the least."""
    values = max(len(reading.value) for reading in readings)
    room = max(int(body.width * WIDEST) - values - 3, 4)
    names = [cut(f"{each.mark} {each.name}" if each.mark else each.name, room) for each in readings]
    title = f"{crosshair.unit} {compact(crosshair.at, 6)}"
    inner = max(max(map(len, names)) + 2 + values, len(title))
    width, height = inner + 2, len(readings) + 1
    best, least = None, math.inf
    for left in (column + 1, column - width):
        if not 0 <= left <= body.width - width:
            continue
        for top in range(body.height - height + 1):
            covered = int(np.count_nonzero(curves[top : top + height, left : left + width]))
            if covered < least:
                best, least = (top, left), covered
    if best is None:
        return
    top, left = best
    body.write(left, top, f" {title}".ljust(width), CURSOR)
    board.block(top, left, width)
    for row, (name, reading) in enumerate(zip(names, readings, strict=True), start=top + 1):
        body.write(left, row, " " * width, TEXT)
        body.write(left + 1, row, name, reading.style if reading.mark else MUTED)
        body.write(left + width - 1 - len(reading.value), row, reading.value, reading.style)
        board.block(row, left, width)
