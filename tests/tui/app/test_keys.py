"""The one table of keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.keys import KEY_ALIASES, Keys
from textual.screen import Screen

from synergy_tui.app import keymap, keys
from synergy_tui.app.alphabet import ALPHABET
from synergy_tui.app.app import SynergyApp, table_name
from synergy_tui.app.dashboard.heads import HeadsScreen
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.inspector.screen import InspectorScreen
from synergy_tui.app.screens.help import HelpScreen
from synergy_tui.app.screens.log import LogScreen
from synergy_tui.app.screens.picker import PickerScreen
from synergy_tui.app.screens.sweep import SweepScreen
from synergy_tui.app.session import Mark
from synergy_tui.app.sidebyside.screen import SideBySideScreen
from synergy_tui.app.status import status_of
from synergy_tui.app.stepper.screen import StepperScreen
from synergy_tui.app.timeline import Timeline
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from tests.tui import recorded_sweeps
from tests.tui.app import synthetic
from tests.tui.app.conftest import messages, pressed, replaying, screen_text, until


def test_ids_are_unique() -> None:
    ids = [key.id for key in keys.TABLE]
    assert len(ids) == len(set(ids))


def test_every_screen_can_be_left_and_has_help() -> None:
    for screen in keys.ALL:
        ids = {row.id for row in keys.rows_for(screen)}
        assert {"app.leave", "app.help", "app.palette", "app.suspend"} <= ids


def test_no_key_is_one_that_terminals_or_multiplexers_swallow() -> None:
    for row in keys.TABLE:
        for name in row.keys.split(","):
            assert not name.startswith("alt+")
            assert name not in {"ctrl+slash", "ctrl+enter", "ctrl+s", "ctrl+b", "ctrl+a"}


def test_key_names_are_textuals() -> None:
    known = {key.value for key in Keys} | set(KEY_ALIASES)
    for row in keys.TABLE:
        for name in row.keys.split(","):
            single = name.rsplit("+", 1)[-1]
            assert len(single) == 1 or single in known or single in keys._SHOWN, name


def test_a_key_has_one_meaning_and_a_screen_one_row_for_it() -> None:
    every = [name for names in ALPHABET.values() for name in names.split(",")]
    assert sorted(every) == sorted(set(every))
    for screen in keys.ALL:
        meanings = [row.means for row in keys.rows_for(screen)]
        assert len(meanings) == len(set(meanings)), screen


OF_TEXTUAL = {
    "cursor_up": "up", "cursor_down": "down", "select": "open", "page_up": "page up",
    "page_down": "page down", "first": "beginning", "last": "end", "scroll_up": "up",
    "scroll_down": "down", "scroll_left": "left", "scroll_right": "right",
    "scroll_home": "beginning", "scroll_end": "end", "app.quit": "leave",
    "command_palette": "commands",
    "app.focus_next": "next panel", "app.focus_previous": "previous panel",
    "screen.copy_text": "leave",  # ctrl+c, where text is selected
}  # fmt: skip
"""What the bindings of Textual's own lists and scrolled texts mean."""
NOT_OURS = {"ctrl+q", "ctrl+pageup", "ctrl+pagedown", "super+c"}
"""Bindings of Textual's that no screen of ours uses or shows."""


async def test_on_all_screens_that_run_a_key_means_one_thing(
    four: Experiment, tmp_path: Path
) -> None:
    """Walks every screen of the running app, with the bindings of whatever has the focus there."""
    sweep = recorded_sweeps.record(tmp_path / "sweep")
    found: dict[str, dict[str, str]] = {}

    def look(screen: Screen[Any]) -> None:
        rows = {row.id: row.means for row in keys.rows_for(table_name(screen))}
        for key, active in screen.active_bindings.items():
            if key not in NOT_OURS:
                binding = active.binding
                meaning = rows.get(binding.id or "") or OF_TEXTUAL[binding.action]
                found.setdefault(key, {}).setdefault(meaning, table_name(screen))

    walked = set()
    async with replaying(four, (120, 40)) as pilot:
        app = pilot.app
        assert isinstance(app, SynergyApp)
        assert app.session is not None
        for screen in (
            None, LogScreen(app.session), HelpScreen("dashboard", {}), PickerScreen(tmp_path),
            HeadsScreen(app.session, "heads-8"), InspectorScreen(app.session, "heads-8"),
            StepperScreen(app.session),
            SweepScreen(sweep),
            SideBySideScreen((Mark(four.path),) * 2, ascii_only=False, clock=lambda: 0.0),
        ):  # fmt: skip
            if screen is not None:
                await app.push_screen(screen)
                await pilot.pause()
            walked.add(table_name(app.screen))
            look(app.screen)
            for row in keys.rows_for(table_name(app.screen)):
                name = row.action.partition("(")[0].removeprefix("app.")
                owner = app if row.action.startswith("app.") else app.screen
                assert hasattr(owner, f"action_{name}"), row.id
    assert walked == set(keys.ALL)
    assert {key: where for key, where in found.items() if len(where) > 1} == {}


def test_a_user_remaps_by_id(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"view.overlay" = "f2, u"\n"time.back" = "[,ctrl+b"\n')
    found = keymap.load_keymap(path)
    assert found.keys == {"view.overlay": "f2,u", "time.back": "left_square_bracket,ctrl+b"}
    assert found.warnings == ()
    row = next(row for row in keys.TABLE if row.id == "view.overlay")
    assert keys.shown(row, found.keys) == "f2"
    assert keys.shown(row, found.keys, every=True) == "f2 u"
    assert keys.shown(row) == "O"


def test_no_file_is_no_remapping(tmp_path: Path) -> None:
    assert keymap.load_keymap(tmp_path / "keys.toml") == keymap.Keymap()


def test_an_old_name_still_works_and_is_mentioned(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"time.pause" = "f2"\n"time.play" = "f3"\n')
    found = keymap.load_keymap(path)
    assert found.keys == {"time.play": "f2,f3"}
    assert found.warnings == (
        f"{path}: 'time.pause' is now called 'time.play'; its keys still work",
    )
    assert set(keymap.RENAMED.values()) <= {row.id for row in keys.TABLE}
    assert not set(keymap.RENAMED) & {row.id for row in keys.TABLE}


def test_a_key_taken_from_another_action_is_warned_of() -> None:
    [warning] = keymap.collisions({"view.overlay": "m"})
    assert warning == ('dashboard: m is "overlay", not "measure"; give view.convention another key')
    assert keymap.collisions({"view.overlay": "m", "view.convention": "O"}) == []
    taken = keymap.collisions({"app.theme": "v"})
    screens = ["dashboard", "heads", "inspector", "stepper", "sidebyside"]
    assert [text.partition(":")[0] for text in taken] == screens
    [log] = keymap.collisions({"app.help": "M"})
    assert log.startswith("dashboard, heads, inspector, stepper: M is")
    [other] = keymap.collisions({"view.overlay": "p"})
    assert other.endswith('not "play/pause"; space still is')
    # Both chosen by the user.
    assert len(keymap.collisions({"view.overlay": "u", "view.layer": "u"})) == 1


async def test_the_app_says_what_a_remapping_takes_away(
    four: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"view.overlay" = "m"\n')
    monkeypatch.setattr("synergy_tui.app.keymap.keymap_path", lambda: path)
    async with replaying(four, (120, 40), keymap=None) as pilot:
        await until(lambda: "give view.convention another key" in messages(pilot.app), pilot)
        assert not pilot.app._notifications, "it covers nothing"
        assert isinstance(pilot.app.screen, DashboardScreen)
        await pilot.press("m")
        assert pilot.app.screen.overlaid
        assert pilot.app.screen.convention_place == 0


def test_all_mistakes_are_named_with_the_nearest_id(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"time.plya" = "p"\n"view.overlay" = 3\n')
    with pytest.raises(UserError) as caught:
        keymap.load_keymap(path)
    assert "did you mean 'time.play'?" in caught.value.message
    assert "'view.overlay' needs text" in caught.value.message


def test_a_file_that_is_not_toml_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("time.play: p")
    with pytest.raises(UserError, match="not TOML"):
        keymap.load_keymap(path)


def test_arrow_keys_are_named_in_ascii_where_their_signs_are_other_keys() -> None:
    row = next(row for row in keys.TABLE if row.id == "inspector.query_down")
    assert keys.shown(row, every=True) == "shift+↓ J"
    assert keys.shown(row, every=True, ascii_only=True) == "shift+down J"
    assert keys.spelled("less_than_sign", ascii_only=True) == "<"


async def test_hints_name_the_keys_that_a_user_has_chosen(
    four: Experiment, example2: Experiment, tmp_path: Path
) -> None:
    """Each screen is looked at with a free key for every hint that it gives."""
    keymap = {
        "view.run": "f2",
        "view.convention": "f3",
        "view.layer": "f4",
        "inspector.switch": "f6",
        "inspector.all_on": "f7",
        "stepper.heavier": "f8",
        "stepper.lighter": "f9",
        "app.log": "f10",
        "picker.open": "f11",
        "compare.mark": "f12",
    }
    async with replaying(four, (120, 40), keymap=keymap) as pilot:
        text = screen_text(pilot.app)
        assert "1 more: f2" in text
        assert "(f3, f4)" in text
        await pilot.press("f2", "enter")
        await pressed(pilot)
        assert "f6: off" in await pressed(pilot, "z", *["tab"] * 5)
        assert "f7: all on" in await pressed(pilot, "down", "f6")
        await pilot.press("question_mark")
        await until(lambda: "Figures" in screen_text(pilot.app), pilot)
        assert "A head that is off (f6)" in screen_text(pilot.app).replace("\n", " ")
    async with replaying(example2, (120, 40), keymap=keymap) as pilot:
        await pilot.press("N", "enter")
        assert "f8 f9 change the weight" in await pressed(pilot)
    failed = status_of(synthetic.state_of([]), "failed", Timeline(), keymap=keymap)
    assert failed.advice.endswith("(f10 shows the log)")
    app = SynergyApp(None, home=tmp_path, keymap=keymap)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "f11 runs it" in screen_text(app), pilot)


def test_what_a_text_has_in_braces_is_a_key_only_if_it_is_an_id() -> None:
    assert keys.filled("{app.log}, {view.run}", {"view.run": "plus"}) == "M, +"
    assert keys.filled("a {name}, {} and {no.such}", {}) == "a {name}, {} and {no.such}"
    assert (
        keys.filled("{heads.inspect} {inspector.token_left}", {}, ascii_only=True) == "enter left"
    )
