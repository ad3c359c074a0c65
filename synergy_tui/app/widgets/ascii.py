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
        "·…→←↑↓–−—×φτεαβγδλΣ√∞●▲■◆○△□◇◉★•▸▶⇄▼▾▴◀◂✓✗✔✘‖≥≤≈’‘“”",
        "-.><^v---xfTeabgdlSr8o^#@o^#@O*o>>>vv^<<+x+x|><~''\"\"",
        strict=True,
    )
)
_LONGER = str.maketrans(
    {"→": "->", "←": "<-", "≤": "<=", "≥": ">=", "…": "...", "¼": "1/4"}
    | {"φ": "phi", "γ": "gamma", "λ": "lambda", "Σ": "mix", "√": "root"}
)
_CORNERS_AND_CROSSINGS = "+"


def to_ascii(text: str) -> str:
    """Text that is still to be laid out, in ASCII: signs may become several characters."""
    found = text if text.isascii() else text.translate(_LONGER)
    return found if found.isascii() else found.translate(_TABLE)


def _replacement(code: int) -> str:
    char = chr(code)
    if char in _PAIRS:
        return _PAIRS[char]
    if 0x2500 <= code < 0x2580:
        if char in "─━┄┅┈┉╌╍═╴╶╸╺":
            return "-"
        return "|" if char in "│┃┆┇┊┋╎╏║╵╷╹╻" else _CORNERS_AND_CROSSINGS
    if 0x2580 <= code < 0x25A0:
        # Parts of a block are the ends of scroll bars, whose colours say enough.
        return " " if char in "▁▂▃▄▅▆▇▉▊▋▌▍▎▏" else "#"
    if 0x2800 <= code < 0x2900:
        return " " if code == 0x2800 else ":"
    return "?"


class _Table(dict[int, str]):
    """Fills itself as characters are met."""

    def __missing__(self, code: int) -> str:
        self[code] = replaced = chr(code) if code < 128 else _replacement(code)
        return replaced


_TABLE = _Table()


class AsciiFilter(LineFilter):
    """Replaces what is not ASCII, one character for one."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.text.isascii()
            else Segment(segment.text.translate(_TABLE), segment.style, segment.control)
            for segment in segments
        ]
