"""The scenarios that come with Synergy, by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from synergy_tui.errors import UserError, did_you_mean
from synergy_tui.files import expand

_PACKAGE = Path(__file__).resolve().parents[1]


def bundled() -> dict[str, Path]:
    """Return name → file of every scenario that comes with the installation or the checkout."""
    for folder in (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def find_scenario(name: str) -> Path:
    """Return the file that ``name`` means: a path, or a bundled scenario's name.

    Raises
    ------
    UserError
        There is neither.
    """
    path = expand(name)
    known = bundled()
    if path.exists() or name not in known:
        if path.is_dir():
            raise UserError(f"{name}: is a directory, not a scenario file.")
        if not path.exists() and path.parent == Path() and not path.suffix:
            raise UserError(
                f"There is no scenario '{name}'{did_you_mean(name, known) or '.'}",
                hint=f"Give a TOML file, or one that comes with Synergy: {', '.join(known)}.",
            )
        return path
    return known[name]


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario file, as far as choosing it needs.

    Attributes
    ----------
    problem
        Why it cannot be read; empty when it can.
    """

    path: Path
    title: str
    description: str
    runs: tuple[str, ...]
    sweep: bool = False
    problem: str = ""


def folders() -> list[Path]:
    """Where scenarios are looked for: ``./scenarios``, then what Synergy was installed with."""
    places = [Path.cwd() / "scenarios", _PACKAGE / "scenarios", _PACKAGE.parent / "scenarios"]
    found: list[Path] = []
    for place in places:
        if place.is_dir() and place.resolve() not in found:
            found.append(place.resolve())
    return found


def scenarios(places: list[Path] | None = None) -> list[Entry]:
    """Every scenario of the folders, by name; of equal names the first folder's."""
    entries: dict[str, Entry] = {}
    for place in folders() if places is None else places:
        for path in sorted(place.glob("*.toml")):
            if path.name not in entries:
                entries[path.name] = read(path)
    return list(entries.values())


def read(path: Path) -> Entry:
    """Read title and runs only; the whole file is validated when it is run."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        runs = [str(run.get("name", "?")) for run in table.get("runs", [])]
        return Entry(
            path=path,
            title=str(table.get("title", path.stem)),
            description=_joined(str(table.get("description", ""))),
            runs=tuple(runs),
            sweep="sweep" in table,
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError) as error:
        return Entry(path, path.stem, "", (), problem=str(error))


def _joined(text: str) -> str:
    """Paragraphs on one line each, so that they can be wrapped to any width."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))
