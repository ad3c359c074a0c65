"""The scenarios that come with Synergy, or lie in ``./scenarios``, by name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from synergy_tui.errors import UserError, did_you_mean
from synergy_tui.files import expand, read_text

_PACKAGE = Path(__file__).resolve().parents[1]
# In an installation, and in a checkout.
_INSTALLED = (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios")


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario file, as far as choosing it needs."""

    path: Path
    title: str
    description: str
    runs: tuple[str, ...]
    sweep: bool = False
    problem: str = ""
    """Why it cannot be read."""


def bundled() -> dict[str, Path]:
    """Return name → file of every scenario that comes with the installation or the checkout."""
    return _files([place for place in _INSTALLED if place.is_dir()][:1])


def folders() -> list[Path]:
    """Where scenarios are offered from: ``./scenarios``, then what Synergy was installed with."""
    places = [place.resolve() for place in (Path("scenarios"), *_INSTALLED) if place.is_dir()]
    return list(dict.fromkeys(places))


def scenarios(places: Iterable[Path] | None = None) -> list[Entry]:
    """Return every scenario of the folders, by name; of equal names the first folder's."""
    return [read(path) for path in _files(folders() if places is None else places).values()]


def _files(places: Iterable[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for place in places:
        for path in sorted(place.glob("*.toml")):
            files.setdefault(path.stem, path)
    return files


def find_scenario(name: str) -> Path:
    """Return the file that ``name`` means: a path, or a bundled scenario's name."""
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
        if not path.exists() and path.stem in known and path.suffix == ".toml":
            raise UserError(
                f"{name}: there is no such file.",
                hint=f"{path.stem} comes with Synergy: give its name alone, without .toml.",
            )
        return path
    return known[name]


def read(path: Path) -> Entry:
    """Read title and runs only; the whole file is validated when it is run."""
    try:
        table = tomllib.loads(read_text(path))
        runs = [str(run.get("name", "?")) for run in table.get("runs", [])]
        return Entry(
            path=path,
            title=str(table.get("title", path.stem)),
            description=_joined(str(table.get("description", ""))),
            runs=tuple(runs),
            sweep="sweep" in table,
        )
    except UserError as error:
        return Entry(path, path.stem, "", (), problem=error.message)
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        return Entry(path, path.stem, "", (), problem=str(error))


def _joined(text: str) -> str:
    """Paragraphs on one line each, so that they can be wrapped to any width."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))
