"""The one table of keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.keys import KEY_ALIASES, Keys

from synergy_tui.app import keys
from synergy_tui.errors import UserError


def test_ids_are_unique() -> None:
    ids = [key.id for key in keys.TABLE]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("screen", keys.ALL)
def test_no_screen_uses_a_key_twice(screen: str) -> None:
    used: dict[str, str] = {}
    for row in keys.rows_for(screen):
        for name in row.keys.split(","):
            assert name not in used, f"{name} is both {used[name]} and {row.id} on {screen}"
            used[name] = row.id


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


def test_a_user_remaps_by_id(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"time.pause" = "f2, x"\n')
    keymap = keys.load_keymap(path)
    assert keymap == {"time.pause": "f2,x"}
    row = next(row for row in keys.TABLE if row.id == "time.pause")
    assert keys.shown(row, keymap) == "f2"
    assert keys.shown(row, keymap, every=True) == "f2 x"
    assert keys.shown(row) == "space"


def test_no_file_is_no_remapping(tmp_path: Path) -> None:
    assert keys.load_keymap(tmp_path / "keys.toml") == {}


def test_all_mistakes_are_named_with_the_nearest_id(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"time.paus" = "p"\n"view.overlay" = 3\n')
    with pytest.raises(UserError) as caught:
        keys.load_keymap(path)
    assert "did you mean 'time.pause'?" in caught.value.message
    assert "'view.overlay' needs text" in caught.value.message


def test_a_file_that_is_not_toml_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("time.pause: p")
    with pytest.raises(UserError, match="not TOML"):
        keys.load_keymap(path)
