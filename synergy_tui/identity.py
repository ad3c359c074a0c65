"""What a run looks like everywhere: one glyph and one colour for each place in the scenario.

Colour alone is lost under ``NO_COLOR`` and to one man in twelve, so every run also has a glyph.
Colours are named by theme variable (``run-1`` …); :mod:`synergy_tui.themes` gives them values. The
hexadecimal values here serve what has no theme: exported figures, headless tables.
"""

from __future__ import annotations

from dataclasses import dataclass

GLYPHS = ("●", "▲", "■", "◆")
ASCII_GLYPHS = ("o", "^", "#", "@")
# Okabe and Ito's palette for colour-blind readers, lightened where a dark background needs it.
COLOURS = ("#E69F00", "#56B4E9", "#2BC48A", "#D98CB8")
ANSI_COLOURS = ("yellow", "cyan", "green", "magenta")


@dataclass(frozen=True, slots=True)
class Identity:
    """How one run is marked.

    Attributes
    ----------
    index
        Place of the run in its scenario, from 0.
    glyph, ascii_glyph
        One cell wide.
    colour
        ``#RRGGBB``, legible on dark and light backgrounds.
    ansi
        The nearest of the terminal's own eight colours.
    variable
        Name of the theme variable that holds the colour, without the ``$``.
    """

    index: int
    glyph: str
    ascii_glyph: str
    colour: str
    ansi: str
    variable: str

    def mark(self, ascii_only: bool = False) -> str:
        """The glyph for this terminal."""
        return self.ascii_glyph if ascii_only else self.glyph


def identity(index: int) -> Identity:
    """Identity of the run at ``index`` (from 0); beyond four they repeat."""
    place = index % len(GLYPHS)
    return Identity(
        index=index,
        glyph=GLYPHS[place],
        ascii_glyph=ASCII_GLYPHS[place],
        colour=COLOURS[place],
        ansi=ANSI_COLOURS[place],
        variable=f"run-{place + 1}",
    )
