"""A bar chart as characters. No Textual here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.styles import INDEX, MUTED, TEXT


@dataclass(frozen=True, slots=True)
class Bar:
    """One named value of a bar chart; ``note`` is written after the bar in place of the value."""

    name: str
    value: float
    note: str
    style: str = "text"


@dataclass(frozen=True, slots=True)
class Bars:
    """Named values as horizontal bars on the scale 0 … ``high``."""

    bars: Sequence[Bar]
    high: float


def draw_bars(chart: Bars, width: int, height: int, ascii_only: bool = False) -> Canvas:
    """Draw bars, one per row; those for which there is no row are counted in the last one."""
    canvas = Canvas.blank(width, height)
    shown = list(chart.bars)
    if len(shown) > height:
        shown = shown[: max(height - 1, 0)]
        canvas.write(1, height - 1, f"and {len(chart.bars) - len(shown)} more", MUTED)
    names = max((len(bar.name) for bar in shown), default=0)
    notes = max((len(bar.note) for bar in shown), default=0)
    room = max(width - names - notes - 3, 0)
    gap = 2 if 2 * len(shown) < height else 1
    for place, bar in enumerate(shown):
        row = place * gap + (gap - 1)
        style = INDEX[bar.style]
        share = bar.value / chart.high if chart.high > 0 and np.isfinite(bar.value) else 0.0
        eighths = round(min(max(share, 0.0), 1.0) * room * 8)
        if ascii_only:
            drawn = "#" * round(eighths / 8)
        else:
            drawn = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        canvas.write(1 + names - len(bar.name), row, bar.name, style)
        canvas.write(names + 2, row, drawn, style)
        canvas.write(names + 3 + len(drawn), row, bar.note, TEXT)
    return canvas
