"""A user's own keys: ``keys.toml`` in the platform's configuration folder.

Each line gives an action of the table (`keys`) the keys that start it::

    "view.overlay" = "u"
    "time.play" = "space,f2"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synergy_tui.app import keys
from synergy_tui.errors import UserError

RENAMED = {
    "time.pause": "time.play",
    "take.copy_verdict": "take.copy_table",
    "log.back": "text.back",
}
"""Actions that were called otherwise once; a user's file may still say so."""


@dataclass(frozen=True, slots=True)
class Keymap:
    """What a user's file changes, and what he should know about it."""

    keys: dict[str, str] = field(default_factory=dict)  # id → keys, separated by commas
    warnings: tuple[str, ...] = ()


def keymap_path() -> Path:
    """Where the user's keys may be."""
    from platformdirs import user_config_path

    return user_config_path("synergy") / "keys.toml"


def load_keymap(path: Path | None = None) -> Keymap:
    """Read the user's remapping; an empty one when there is no file.

    All mistakes are reported in one UserError. What works, but perhaps not as meant, is in the
    result's warnings: old names, and keys that now start two things on one screen.
    """
    path = keymap_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Keymap()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    # Imported here: its package brings pydantic, which the first frame need not wait for.
    from synergy_tui.errors import did_you_mean

    known = {key.id for key in keys.TABLE}
    found: dict[str, list[str]] = {}
    problems, warnings = [], []
    for name, value in entries.items():
        new = RENAMED.get(name, name)
        if new not in known:
            problems.append(f"{path}: there is no key '{name}'{did_you_mean(name, known)}")
        elif not isinstance(value, str) or not value.strip():
            problems.append(f"{path}: '{name}' needs text such as \"ctrl+k\", not {value!r}")
        else:
            if new != name:
                warnings.append(f"{path}: '{name}' is now called '{new}'; its keys still work")
            found.setdefault(new, []).extend(_parts(value))
    if problems:
        raise UserError(
            "\n".join(problems),
            hint='Quote the ids: "view.overlay" = "u". The help screen (?) lists them.',
        )
    keymap = {name: ",".join(dict.fromkeys(parts)) for name, parts in found.items()}
    return Keymap(keymap, (*warnings, *collisions(keymap)))


def collisions(keymap: Mapping[str, str]) -> list[str]:
    """What a remapping takes away: keys that would start two actions on one screen.

    Textual gives such a key to the user's choice, so the other action is left without it.
    """
    found: dict[str, list[str]] = {}
    for screen in keys.ALL:
        used: dict[str, keys.Key] = {}
        # What the user chose last, so that it is named as the one that wins.
        for row in sorted(keys.rows_for(screen), key=lambda row: row.id in keymap):
            for name in _parts(keymap.get(row.id, row.keys)):
                other = used.setdefault(name, row)
                if other is not row:
                    text = (
                        f'{keys.spelled(name)} is "{row.label}", not "{other.label}"; '
                        f"{_way_out(other, name, keymap)}"
                    )
                    found.setdefault(text, []).append(screen)
    return [f"{', '.join(screens)}: {text}" for text, screens in found.items()]


def _way_out(row: keys.Key, lost: str, keymap: Mapping[str, str]) -> str:
    """What still starts an action that has lost a key, or how to give it one."""
    left = [keys.spelled(name) for name in _parts(keymap.get(row.id, row.keys)) if name != lost]
    return f"{left[0]} still is" if left else f"give {row.id} another key"


def _parts(value: str) -> list[str]:
    """The single keys of an entry under Textual's names: ``[`` is left_square_bracket."""
    from textual.binding import Binding

    parts = [part.strip() for part in value.split(",")]
    named = Binding.make_bindings(Binding(part, "") for part in parts if part)
    return [binding.key for binding in named]
