"""The groups of a sweep: means with intervals, and a dot per seed on a scale around 1.

Pure drawing: rows in, a canvas out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.styles import AXIS, INDEX, MUTED, TEXT, TITLE
from synergy_tui.words import cut, measured, span

if TYPE_CHECKING:
    from synergy_tui.report.sweeps import Row

MEAN, INTERVAL, RATIO, SEEDS = 8, 16, 8, 6
STRIP = 12
"""Columns of the scale, at least, before the interval of the mean is left out."""
_REACHES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0, 1e6)


def reach_of(rows: Sequence[Row]) -> float:
    """The factor that the scale reaches on both sides of 1: the least round one that is enough."""
    factors = [each for row in rows for each in row.ratios.tolist()]
    factors += [each for row in rows for each in row.ratio_interval]
    logs = [abs(math.log(each)) for each in factors if 0 < each < math.inf]
    most = math.exp(max(logs, default=0.0))
    return next((each for each in _REACHES if each >= most), _REACHES[-1])


def draw_groups(
    rows: Sequence[Row],
    width: int,
    height: int,
    *,
    better: str,
    selected: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw as many groups as fit, the selected row among them; ``better`` says what above 1 means.

    The interval of the mean is the first to be left out, then the scale.
    """
    canvas = Canvas.blank(width, height)
    if height < 2 or width < 10:
        return canvas
    label = min(max([3, *(len(row.run) for row in rows)]) + 3, max(11, width // 5))
    value = label + SEEDS
    fixed = value + MEAN + RATIO + INTERVAL
    between = INTERVAL if width - fixed - INTERVAL >= STRIP else 0
    ratio = value + MEAN + between
    left = ratio + RATIO + INTERVAL
    room = width - left if width - left >= 9 else 0
    canvas.write(2, 0, "run", MUTED)
    canvas.write(label, 0, "seeds", MUTED)
    canvas.write(value, 0, "mean", MUTED)
    if between:
        canvas.write(value + MEAN, 0, "95%", MUTED)
    canvas.write(ratio, 0, better, MUTED)
    canvas.write(ratio + RATIO, 0, "95%", MUTED)
    reach = reach_of(rows)
    if room:
        ends = f"1/{reach:g}", f"{reach:g}"
        canvas.write(left, 0, ends[0], MUTED)
        canvas.write(left + round((room - 2) / 2), 0, "1", MUTED)
        canvas.write(left + room - 1 - len(ends[1]), 0, ends[1], MUTED)
    lines = _lines(rows)
    here = next((at for at, (_, row) in enumerate(lines) if row == selected), 0)
    shown = height - 1
    first = min(max(0, here - shown // 2), max(0, len(lines) - shown))
    for y, (text, index) in enumerate(lines[first : first + shown], start=1):
        if index is None:
            canvas.write(0, y, cut(text, width), TITLE)
            continue
        row = rows[index]
        style = _style(row)
        chosen = index == selected
        canvas.write(0, y, ">" if chosen else " ", TITLE)
        canvas.write(2, y, cut(row.run, label - 3), TITLE if chosen else TEXT)
        canvas.write(label, y, f"{row.samples:>3}", MUTED)
        canvas.write(value, y, measured(None if math.isnan(row.mean) else row.mean), TEXT)
        if between:
            canvas.write(value + MEAN, y, span(row.interval), MUTED)
        if not row.reference:
            canvas.write(ratio, y, "reference", MUTED)
        elif row.ratios.size:
            canvas.write(ratio, y, f"{measured(row.ratio)}×", style)
            canvas.write(ratio + RATIO, y, span(row.ratio_interval), style)
        if room:
            _draw_strip(canvas, left, y, room, row, reach, style, ascii_only)
    return canvas


def _lines(rows: Sequence[Row]) -> list[tuple[str, int | None]]:
    """Headings and rows, as (text, place in ``rows``)."""
    lines: list[tuple[str, int | None]] = []
    group = None
    for index, row in enumerate(rows):
        if row.group != group:
            group = row.group
            lines.append((group, None))
        lines.append(("", index))
    return lines


def _style(row: Row) -> int:
    """Colour only where the interval decides."""
    low, high = row.ratio_interval
    return INDEX["good" if low > 1 else "error" if high < 1 else "text"]


def _draw_strip(
    canvas: Canvas,
    left: int,
    y: int,
    room: int,
    row: Row,
    reach: float,
    style: int,
    ascii_only: bool,
) -> None:
    centre, dash, dots = ("|", "-", ".o@") if ascii_only else ("│", "─", "·•●")

    def column(factor: float) -> int:
        share = math.log(factor) / math.log(reach) if 0 < factor < math.inf else math.inf
        share = -1.0 if factor == 0 else min(1.0, max(-1.0, share))
        return left + round((share + 1) / 2 * (room - 2))

    low, high = row.ratio_interval
    if not math.isnan(low):
        canvas.write(column(low), y, dash * (column(high) - column(low) + 1), AXIS)
    canvas.write(column(1.0), y, centre, MUTED)
    counts: dict[int, int] = {}
    for factor in row.ratios.tolist():
        counts[column(factor)] = counts.get(column(factor), 0) + 1
    for place, count in counts.items():
        canvas.write(place, y, dots[min(count, 3) - 1], style)
