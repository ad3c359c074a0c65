"""The scenarios that there are to choose from: those at hand, then those that come with Synergy."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


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
