"""Nothing that a terminal acts upon reaches it in the app's text, wherever that text is from.

Names, titles and messages come from files that anybody may have written. Textual counts their
control characters as having no width, so dropping them here moves nothing.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from synergy_tui.words import clean


class CleanFilter(LineFilter):
    """Drops what is not printable and has no width; the rest of it becomes ``�``."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or segment.text.isprintable()
            else Segment(_without_steering(segment.text), segment.style)
            for segment in segments
        ]


def _without_steering(text: str) -> str:
    return "".join(
        each if each.isprintable() else clean(each) for each in text if cell_len(each) > 0
    )
