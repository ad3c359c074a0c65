"""The help screen explains what is on the other screens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.pilot import Pilot

from synergy_tui.app import keys
from synergy_tui.app.app import SynergyApp, table_name
from synergy_tui.app.dashboard.heads import HeadsScreen
from synergy_tui.app.inspector.screen import InspectorScreen
from synergy_tui.app.screens.help import READING, HelpScreen
from synergy_tui.app.screens.picker import PickerScreen
from synergy_tui.app.screens.signs import signs_of
from synergy_tui.app.screens.sweep import SweepScreen
from synergy_tui.app.stepper.screen import StepperScreen
from synergy_tui.app.themes import ASCII_GLYPHS
from synergy_tui.app.widgets.ascii import to_ascii
from synergy_tui.experiments.experiment import Experiment
from tests.tui import recorded_sweeps
from tests.tui.app.conftest import pressed, replaying, screen_text, until

OF_DATA = {"τ", "λ"}  # the designed graph's own name for its sink; a scenario's title
PLAIN = {"’"}


def signs(text: str) -> set[str]:
    """What has to be explained: no letters, frames, braille dots or blocks of a bar."""
    drawn = {*range(0x2500, 0x2504), *range(0x250C, 0x254B), *range(0x2550, 0x2580)}
    drawn |= {*range(0x2581, 0x2588), *range(0x2589, 0x2591), *range(0x2800, 0x2900)}
    explained = {ord("━"), ord("┿")}
    return (
        {
            char
            for char in text
            if not char.isascii() and (ord(char) in explained or ord(char) not in drawn)
        }
        - OF_DATA
        - PLAIN
    )


HELP: dict[str, str] = {}
"""Screen → its help, which is the same wherever it is opened."""


async def help_on(pilot: Pilot[None], screen: str) -> str:
    """The whole help text of a screen."""
    if screen in HELP:
        return HELP[screen]
    here = pilot.app.screen
    await pilot.app.push_screen(HelpScreen(screen, {}))
    await pilot.resize_terminal(120, 200)
    await until(lambda: "Your own keys" in screen_text(pilot.app), pilot)
    HELP[screen] = screen_text(pilot.app)
    pilot.app.pop_screen()
    assert pilot.app.screen is here
    return HELP[screen]


@pytest.mark.parametrize(
    ("which", "size"), [("four", (200, 60)), ("four", (80, 24)), ("example2", (120, 40))]
)
async def test_every_sign_on_a_screen_is_in_its_help(
    which: str, size: tuple[int, int], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    experiment: Experiment = request.getfixturevalue(which)
    run = "heads-8" if which == "four" else "both"
    seen: dict[str, set[str]] = {}
    async with replaying(experiment, size) as pilot:
        app = pilot.app
        assert isinstance(app, SynergyApp)
        assert app.session is not None

        def look(text: str) -> None:
            seen.setdefault(table_name(app.screen), set()).update(signs(text))

        for key in ("a", "O", "O", "m", "[", "space"):
            look(screen_text(app))
            await pilot.press(key)
            await pilot.pause()
        await app.push_screen(HeadsScreen(app.session, run))
        for key in ("X", "m", "[", "space"):
            await pilot.press(key)
            await pilot.pause()
            look(screen_text(app))
        await app.push_screen(InspectorScreen(app.session, run))
        for keys in ((), ("C",), ("down", "x"), *[("tab",)] * 6, ("v", "v")):
            look(await pressed(pilot, *keys))
        await app.push_screen(StepperScreen(app.session, run))
        for keys in ((), ("b",), ("B", "G")):
            look(await pressed(pilot, *keys))
        sweep = recorded_sweeps.record(tmp_path / "sweep", finished=False)
        await app.push_screen(SweepScreen(sweep))
        await until(lambda: "heads-8" in screen_text(app), pilot)
        for key in ("tab", "tab", "tab"):
            look(screen_text(app))
            await pilot.press(key)
            await pilot.pause()
        await app.push_screen(PickerScreen(tmp_path))
        await until(lambda: "SCENARIOS" in screen_text(app), pilot)
        look(screen_text(app))
        assert len(seen) == 6
        for screen, found in seen.items():
            explained = await help_on(pilot, screen)
            assert {sign for sign in found if sign not in explained} == set(), screen


async def test_help_in_ascii_names_the_arrow_keys(four: Experiment) -> None:
    async with replaying(four, (120, 200), ascii_only=True) as pilot:
        await pilot.press("question_mark")
        await until(lambda: "Your own keys" in screen_text(pilot.app), pilot)
        text = screen_text(pilot.app)
        assert text.isascii()
        assert "  right l  " in text
        assert "from ... to" in text


async def test_a_filter_leaves_the_lines_with_every_word(four: Experiment) -> None:
    async with replaying(four, (120, 60)) as pilot:
        await pilot.press("question_mark", "slash", *"smooth")
        await until(lambda: "How soon?" not in screen_text(pilot.app), pilot)
        lines = screen_text(pilot.app).splitlines()
        assert any("view.smoothing" in line for line in lines)
        assert any("(EMA)" in line for line in lines)
        assert not any("view.convention" in line for line in lines)
        found = re.search(r"(\d+) of (\d+)", lines[-2])
        assert found
        assert 1 < int(found[1]) < 6 < 60 < int(found[2])
        await pilot.press("space", *"more")
        await until(lambda: "(EMA)" not in screen_text(pilot.app), pilot)
        await pilot.press("enter", "escape")
        await until(lambda: "How soon?" in screen_text(pilot.app), pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, HelpScreen)


@pytest.mark.parametrize("screen", [*READING, "log", "help"])
def test_every_key_that_a_text_names_works_on_its_screen(screen: str) -> None:
    here = {key.id for key in keys.rows_for(screen)}
    texts = [*READING.get(screen, {}), *READING.get(screen, {}).values()]
    texts += [meaning for _, meaning in signs_of(screen)]
    texts += [key.help for key in keys.rows_for(screen)]
    named = {name for text in texts for name in re.findall(r"\{(.+?)\}", text)}
    assert named <= here


@pytest.mark.parametrize("screen", READING)
def test_no_sign_of_the_help_is_lost_in_ascii(screen: str) -> None:
    """What has no counterpart becomes a question mark, which means "undecided" elsewhere."""
    for text in READING[screen].values():
        assert to_ascii(text).count("?") == text.count("?")
    for (sign, _), (plain, meaning) in zip(signs_of(screen), signs_of(screen, True), strict=True):
        assert (plain + meaning).isascii()
        assert plain.count("?") == sign.count("?")


async def test_the_help_in_ascii_has_the_signs_that_the_screens_draw(four: Experiment) -> None:
    async with replaying(four, (120, 40), ascii_only=True) as pilot:
        await pilot.press("left_square_bracket")
        await pilot.pause()
        screen = screen_text(pilot.app)
        listed = {meaning: sign for sign, meaning in signs_of("dashboard", True)}
        past, probe, cursor = listed["time: what is recorded, a probe, the cursor"].split()
        time = [line for line in screen.splitlines() if "step 20 of 40" in line][-1]
        drawn = set(time.partition("step")[0].replace("REPLAY", ""))
        assert {past, cursor} <= drawn <= {past, probe, cursor, "-", " "}
        assert "phi ." in screen
        runs = next(sign for sign, meaning in signs_of("dashboard", True) if "a run;" in meaning)
        assert runs.split() == list(ASCII_GLYPHS)
