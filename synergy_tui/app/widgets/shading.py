"""Numbers to shades: scales, quantised levels, and the styles that the matrix views refer to.

A level is 0 where there is nothing (above the diagonal, outside the matrix), 1 for the value zero,
``LEVELS`` for the top of the scale, and :data:`CURSOR` under the cursor. Two levels make one
half-block cell, and each pair of levels is one style, so that styles are made once and shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.style import Style

from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.drawing import OF_TERMINAL, ON_DARK, ON_LIGHT

Scale = Literal["root", "log", "linear"]
SCALES: tuple[Scale, ...] = ("root", "log", "linear")
Mode = Literal["blocks", "shades", "ascii"]
Levels = npt.NDArray[np.uint8]

LEVELS = 64
CURSOR = LEVELS + 1
_STATES = LEVELS + 2
DECADES = 4
"""What a logarithmic scale spans below its top."""

SHADES = " ░▒▓█"
ASCII_SHADES = " .:-=+*#%@"

HEADS = len(ON_DARK)
"""Head colours; beyond eight heads they repeat, and the head's number distinguishes them."""
_FIRST_HEAD = len(STYLES)
_FIRST_LEVEL = _FIRST_HEAD + 3 * HEADS
_FIRST_PAIR = _FIRST_LEVEL + _STATES

# Dark violet through red to pale yellow, luminance rising evenly: read without hue as well.
_DARK_RAMP = (
    (26, 24, 44),
    (74, 28, 110),
    (150, 40, 105),
    (214, 78, 62),
    (247, 152, 34),
    (252, 250, 170),
)
_LIGHT_RAMP = (
    (236, 236, 242),
    (250, 214, 150),
    (246, 150, 70),
    (212, 72, 80),
    (134, 30, 110),
    (40, 12, 66),
)
# The same for terminals with 256 colours, chosen by hand: the nearest entries of the cube to the
# ramps above turn back in lightness and fall into greys.
_DARK_CODES = (234, 53, 54, 90, 126, 162, 167, 173, 209, 215, 221, 227, 229)
_LIGHT_CODES = (230, 223, 216, 209, 203, 167, 161, 125, 89, 53, 17)


def levels_of(values: npt.ArrayLike, scale: Scale = "root", top: float = 1.0) -> Levels:
    """Quantise values of any shape; NaN is nothing (level 0), above ``top`` is the highest level.

    Scales: ``linear``, ``root`` (small shares stay visible) or ``log`` (four decades).
    """
    data = np.asarray(values, dtype=np.float64)
    share = np.clip(data / top, 0.0, 1.0) if top > 0 else np.zeros_like(data)
    if scale == "root":
        share = np.sqrt(share)
    elif scale == "log":
        with np.errstate(divide="ignore"):
            share = np.clip(1.0 + np.log10(share) / DECADES, 0.0, 1.0)
    share = np.nan_to_num(share)
    levels = (1 + np.rint(share * (LEVELS - 1))).astype(np.uint8)
    levels[np.isnan(data)] = 0
    return levels


def value_at(share: float, scale: Scale, top: float = 1.0) -> float:
    """The value that lies at ``share`` (0 to 1) of a scale: what a legend writes beside a shade."""
    if scale == "root":
        return top * share * share
    if scale == "log":
        return 0.0 if share <= 0 else top * 10.0 ** (DECADES * (share - 1.0))
    return top * share


def glyphs_of(levels: Levels, mode: Mode) -> npt.NDArray[np.uint32]:
    """One character for each level, for terminals without colour; the cursor is ``X``."""
    table = np.full(_STATES, ord(" "), dtype=np.uint32)
    shades = ASCII_SHADES if mode == "ascii" else SHADES
    # Zero keeps a mark of its own so that the triangle's shape shows.
    table[1] = ord("." if mode == "ascii" else "·")
    steps = np.linspace(0, 1, LEVELS - 1)
    table[2 : LEVELS + 1] = [ord(shades[1 + int(s * (len(shades) - 1.001))]) for s in steps]
    table[CURSOR] = ord("X")
    return table[levels]


def head_style(head: int, kind: Literal["plain", "bold", "reverse"] = "plain") -> int:
    """Style number of head ``head`` (from 0)."""
    return _FIRST_HEAD + 3 * (head % HEADS) + ("plain", "bold", "reverse").index(kind)


def level_style(level: int) -> int:
    """Style number of text on the shade of ``level``."""
    return _FIRST_LEVEL + level


def pair_styles(top: Levels, bottom: Levels) -> npt.NDArray[np.uint16]:
    """Style numbers of upper half blocks: ``top`` above ``bottom``."""
    return (_FIRST_PAIR + top.astype(np.uint16) * _STATES + bottom).astype(np.uint16)


def _mixed_ramp(dark: bool) -> list[Color]:
    """A colour for each level from 1."""
    ramp = np.array(_DARK_RAMP if dark else _LIGHT_RAMP, dtype=np.float64)
    places = np.linspace(0, len(ramp) - 1, LEVELS)
    mixed = np.column_stack(
        [np.interp(places, np.arange(len(ramp)), ramp[:, part]) for part in range(3)]
    )
    return [Color.from_rgb(*row) for row in np.rint(mixed).astype(int).tolist()]


def _coded_ramp(dark: bool) -> list[Color]:
    """The same, of the 256 colours."""
    codes = _DARK_CODES if dark else _LIGHT_CODES
    return [Color.from_ansi(codes[level * len(codes) // LEVELS]) for level in range(LEVELS)]


class Palette(Sequence[Style]):
    """Every style of the matrix views, each made when first asked for.

    ``named`` are the styles of `styles.STYLES`; with ``ansi`` heads get the terminal's own colours;
    ``background`` is the colour of level 0, ``None`` the terminal's; with ``few`` the terminal has
    256 colours.
    """

    def __init__(
        self,
        named: Sequence[Style],
        *,
        dark: bool,
        ansi: bool,
        background: Color | None,
        few: bool = False,
    ) -> None:
        self._styles: dict[int, Style] = dict(enumerate(named))
        self._dark, self._ansi = dark, ansi
        self._colours: list[Color | None] = [
            background,
            *(_coded_ramp(dark) if few else _mixed_ramp(dark)),
            Color.parse("#5CF2FF" if dark else "#0050C8"),
        ]

    def __len__(self) -> int:
        return _FIRST_PAIR + _STATES * _STATES

    @overload
    def __getitem__(self, index: int) -> Style: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Style]: ...
    def __getitem__(self, index: int | slice) -> Style | Sequence[Style]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        style = self._styles.get(index)
        if style is None:
            style = self._styles[index] = self._make(int(index))
        return style

    def _make(self, index: int) -> Style:
        if index >= len(self):
            raise IndexError(index)
        if index >= _FIRST_PAIR:
            top, bottom = divmod(index - _FIRST_PAIR, _STATES)
            return Style.from_color(self._colours[top], self._colours[bottom])
        if index >= _FIRST_LEVEL:
            level = index - _FIRST_LEVEL
            back = self._colours[level]
            if level == 0 or back is None:
                return self._styles.get(1, Style())
            red, green, blue = back.get_truecolor()
            bright = 0.299 * red + 0.587 * green + 0.114 * blue > 128
            return Style.from_color(Color.from_rgb(*((16,) * 3 if bright else (244,) * 3)), back)
        head, kind = divmod(index - _FIRST_HEAD, 3)
        colours = OF_TERMINAL if self._ansi else ON_DARK if self._dark else ON_LIGHT
        colour = colours[head]
        return Style(color=colour, bgcolor=self._colours[0], bold=kind == 1, reverse=kind == 2)
