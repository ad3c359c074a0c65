"""Colour themes: ours, one of high contrast, and one of the terminal's own colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synergy_tui.identity import ANSI_COLOURS, COLOURS

if TYPE_CHECKING:
    from textual.theme import Theme

DEFAULT = "synergy-dark"
NAMES = (DEFAULT, "synergy-light", "high-contrast", "terminal")
"""In the order in which the theme key goes through them."""

RUN_VARIABLES = {f"run-{place + 1}": colour for place, colour in enumerate(COLOURS)}
"""Run colours for themes that define none."""

# Darker members of the same palette, legible on paper white.
_ON_LIGHT = ("#A65E00", "#0072B2", "#00785A", "#A0487C")
_ON_BLACK = ("#FFC400", "#5CD0FF", "#3DFF9E", "#FF9CE0")


def _runs(colours: tuple[str, ...]) -> dict[str, str]:
    return {f"run-{place + 1}": colour for place, colour in enumerate(colours)}


def themes() -> list[Theme]:
    """The themes of :data:`NAMES`."""
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
            panel="#222A33",
            variables=_runs(COLOURS),
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
            variables=_runs(_ON_LIGHT),
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
            variables=_runs(_ON_BLACK),
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
            variables={
                **ansi.variables,
                **_runs(tuple(f"ansi_{colour}" for colour in ANSI_COLOURS)),
            },
        ),
    ]
