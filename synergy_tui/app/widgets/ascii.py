"""Everything on the screen in ASCII, for terminals and fonts that have nothing else.

Charts draw themselves with ASCII characters; what remains (text, boxes, arrows) is replaced here
character by character, so that nothing moves.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_PAIRS = dict(
    zip(
        "·…→←↑↓–−—×φτεαβδ∞●▲■◆○△□◇◉▸▶▼◀✓✗✔✘‖≥≤≈’‘“”",
        "-.><^v---xfTeabd8o^#@o^#@O>>v<+x+x|><~''\"\"",
        strict=True,
    )
)
_CORNERS_AND_CROSSINGS = "+"


def _replacement(code: int) -> str:
    char = chr(code)
    if char in _PAIRS:
        return _PAIRS[char]
    if 0x2500 <= code < 0x2580:
        if char in "─━┄┅┈┉╌╍═╴╶╸╺":
            return "-"
        return "|" if char in "│┃┆┇┊┋╎╏║╵╷╹╻" else _CORNERS_AND_CROSSINGS
    if 0x2580 <= code < 0x25A0:
        return "#"
    if 0x2800 <= code < 0x2900:
        return " " if code == 0x2800 else ":"
    return "?"


class _Table(dict[int, str]):
    """Fills itself as characters are met."""

    def __missing__(self, code: int) -> str:
        self[code] = replaced = chr(code) if code < 128 else _replacement(code)
        return replaced


class AsciiFilter(LineFilter):
    """Replaces what is not ASCII, one character for one."""

    def __init__(self) -> None:
        super().__init__()
        self._table = _Table()

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.text.isascii()
            else Segment(segment.text.translate(self._table), segment.style, segment.control)
            for segment in segments
        ]
