"""Colour themes: ours, one of high contrast, and one of the terminal's own colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synergy_tui.drawing import OF_TERMINAL, ON_BLACK, ON_DARK, ON_LIGHT

if TYPE_CHECKING:
    from rich.style import Style
    from textual.theme import Theme


_ANSI = tuple(f"ansi_{name}" for name in OF_TERMINAL)
GLYPHS = ("●", "▲", "■", "◆", "○", "△", "□", "◇")
ASCII_GLYPHS = ("o", "^", "#", "@", "x", "+", "%", "&")

DEFAULT = "synergy-dark"
NAMES = (DEFAULT, "synergy-light", "high-contrast", "terminal")
"""In the order in which the theme key goes through them."""


def first_theme(colours: str | None) -> str:
    """The theme to begin with on a terminal whose colours Rich calls this.

    Of sixteen colours ours would become whatever is nearest, also where they should differ.
    """
    return "terminal" if colours in ("standard", "windows") else DEFAULT


_PILLS = {"good": "success", "warning": "warning", "error": "error", "quiet": "primary"}
_SHADES = {"muted": 0.62, "axis": 0.46}
"""How much of the foreground remains in what should stand back."""
_FAINT = 0.42


def _runs(colours: tuple[str, ...]) -> dict[str, str]:
    return {f"run-{place}": colour for place, colour in enumerate(colours, start=1)}


RUN_VARIABLES = _runs(ON_DARK)
"""Run colours for themes that define none."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How one run is marked: a glyph one cell wide, and the theme's variable of its colour."""

    glyph: str
    ascii_glyph: str
    variable: str

    def mark(self, ascii_only: bool = False) -> str:
        return self.ascii_glyph if ascii_only else self.glyph

    @property
    def faint(self) -> str:
        """The style of what stands back in the run's colour."""
        return self.variable.replace("run", "faint")


def identity(index: int) -> Identity:
    """Identity of the run at ``index`` (from 0) of its scenario, or of the head of its layer.

    Beyond eight the colours repeat with other glyphs, beyond 64 so do the pairs.
    """
    turn, place = divmod(index, len(GLYPHS))
    glyph = (place + turn) % len(GLYPHS)
    return Identity(GLYPHS[glyph], ASCII_GLYPHS[glyph], f"run-{place + 1}")


def themes() -> list[Theme]:
    from textual.theme import BUILTIN_THEMES, Theme

    ansi = BUILTIN_THEMES["ansi-dark"]
    return [
        Theme(
            name=DEFAULT,
            primary="#6FA8DC",
            secondary="#8E7CC3",
            accent="#FFD166",
            warning="#FFD166",
            error="#FF6B6B",
            success="#5CC98B",
            foreground="#DDE3EA",
            background="#11151A",
            surface="#171C23",
            panel="#262B31",
            variables=RUN_VARIABLES,
        ),
        Theme(
            name="synergy-light",
            primary="#1F5F99",
            secondary="#5B4B9A",
            accent="#9A5B00",
            warning="#8A5A00",
            error="#B3261E",
            success="#1B7A43",
            foreground="#1C2126",
            background="#FBFAF7",
            surface="#F3F1EC",
            panel="#E4E1DA",
            dark=False,
            variables=_runs(ON_LIGHT),
        ),
        Theme(
            name="high-contrast",
            primary="#FFFFFF",
            secondary="#FFFFFF",
            accent="#FFFF00",
            warning="#FFFF00",
            error="#FF8080",
            success="#80FF80",
            foreground="#FFFFFF",
            background="#000000",
            surface="#000000",
            panel="#303030",
            text_alpha=1.0,
            variables=_runs(ON_BLACK),
        ),
        Theme(
            name="terminal",
            ansi=True,
            primary=ansi.primary,
            secondary=ansi.secondary,
            accent="ansi_yellow",
            warning=ansi.warning,
            error=ansi.error,
            success=ansi.success,
            foreground=ansi.foreground,
            background=ansi.background,
            surface=ansi.surface,
            panel=ansi.panel,
            boost=ansi.boost,
            variables={**ansi.variables, **_runs(_ANSI)},
        ),
    ]


def chart_styles(variables: Mapping[str, str], names: Sequence[str]) -> list[Style]:
    """Styles of charts and strips for ``names`` (see `widgets.styles.STYLES`), in their order.

    They are made once per theme, not by the stylesheet: as component classes they would be matched
    again for every widget whenever a class changes anywhere above it.
    """
    from rich.style import Style
    from textual.color import Color

    foreground = Color.parse(variables["foreground"])
    background = Color.parse(variables["background"])
    native = foreground.ansi is not None

    def coloured(color: Color, share: float = 1.0, *, bold: bool = False) -> Style:
        if native:
            # The terminal's own colours cannot be mixed: dim them instead.
            return Style(color=color.rich_color, bold=bold or None, dim=share < 0.8 or None)
        return Style(color=background.blend(color, share).rich_color, bold=bold or None)

    def style(name: str) -> Style:
        kind, _, which = name.partition("-")
        if kind == "run":
            return coloured(Color.parse(variables[name]))
        if kind == "faint":
            return coloured(Color.parse(variables[f"run-{which}"]), _FAINT)
        if kind == "pill":
            behind = Color.parse(variables[_PILLS[which]])
            return (
                Style(color=behind.rich_color, bold=True, reverse=True)
                if native
                else Style(color=background.rich_color, bgcolor=behind.rich_color, bold=True)
            )
        if name in _SHADES:
            return coloured(foreground, _SHADES[name])
        if name in ("marker", "cursor"):
            return coloured(Color.parse(variables["accent"]), bold=name == "cursor")
        if name in ("warning", "error", "good"):
            variable = "success" if name == "good" else name
            return coloured(Color.parse(variables[variable]), bold=name == "error")
        return coloured(foreground, bold=name in ("title", "headline"))

    return [style(name) for name in names]
