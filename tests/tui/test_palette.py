"""The colours of runs and heads, and the ramps of maps, in every kind of terminal and eye."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from rich.color import Color
from rich.style import Style

from synergy_tui.app.themes import ASCII_GLYPHS, DEFAULT, GLYPHS, first_theme, identity, themes
from synergy_tui.app.widgets.shading import LEVELS, Palette, level_style, pair_styles
from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.drawing import OF_TERMINAL, ON_BLACK, ON_DARK, ON_LIGHT
from tests.tui.colours import VISION, ciede2000, contrast, in_256, lab, rgb

PALETTES = {"dark": ON_DARK, "light": ON_LIGHT, "black": ON_BLACK}
GROUND = {"dark": "#11151A", "light": "#FBFAF7", "black": "#000000"}
APART = 13.0
"""The least CIEDE2000 between two colours; about 2 is just noticeable side by side."""


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        # Table 1 of Sharma, Wu and Dalal (2005): pairs 1, 7, 17, 25 and 34.
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_of_difference_is_the_published_one(
    one: tuple[float, ...], other: tuple[float, ...], difference: float
) -> None:
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(difference, abs=5e-5)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("ground", PALETTES)
def test_eight_colours_are_told_apart(ground: str, vision: str) -> None:
    colours = [rgb(colour) for colour in PALETTES[ground]]
    assert len(colours) == len(GLYPHS) == 8
    assert [in_256(colour) for colour in colours] == colours, "256 colours show the very same"
    for one, other in combinations(colours, 2):
        assert ciede2000(lab(one, vision), lab(other, vision)) > APART
    for colour in colours:
        assert contrast(colour, rgb(GROUND[ground])) > 3.8


def test_every_theme_has_eight_runs_and_every_run_its_mark() -> None:
    for theme in themes():
        assert len({theme.variables[identity(index).variable] for index in range(8)}) == 8
    for marks in (GLYPHS, ASCII_GLYPHS, OF_TERMINAL):
        assert len(set(marks)) == 8
    assert "".join(ASCII_GLYPHS).isascii()
    pairs = [identity(index) for index in range(64)]
    assert len({(each.glyph, each.variable) for each in pairs}) == 64
    assert len({(each.ascii_glyph, each.variable) for each in pairs}) == 64
    assert [each.variable for each in pairs[8:16]] == [each.variable for each in pairs[:8]]
    assert identity(64) == identity(0)


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("few", [True, False])
def test_more_is_always_lighter_or_always_darker(dark: bool, few: bool) -> None:
    styles = Palette([Style()] * len(STYLES), dark=dark, ansi=False, background=None, few=few)
    levels = np.arange(1, LEVELS + 1, dtype=np.uint8)
    backs = [styles[index].color for index in pair_styles(levels, levels).tolist()]
    colours = [tuple(back.get_truecolor()) for back in backs if isinstance(back, Color)]
    if few:
        assert all(in_256(colour) == colour for colour in colours)
    light = np.array([lab(colour)[0] for colour in dict.fromkeys(colours)])
    assert len(light) >= (10 if few else 60)
    steps = np.diff(light) if dark else -np.diff(light)
    assert (steps > 0).all()
    assert abs(light[-1] - light[0]) > 80
    for level in (1, LEVELS):
        written = styles[level_style(level)]
        assert written.color is not None
        assert written.bgcolor is not None
        pair = [tuple(each.get_truecolor()) for each in (written.color, written.bgcolor)]
        assert contrast(*pair) > 4.5  # type: ignore[arg-type]


def test_sixteen_colours_are_the_terminals_own() -> None:
    assert first_theme("standard") == "terminal"
    assert first_theme("256") == first_theme("truecolor") == first_theme(None) == DEFAULT
    assert {theme.name: theme.ansi for theme in themes()}["terminal"]
