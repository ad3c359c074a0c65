"""The scenarios that come with Synergy, by name."""

from __future__ import annotations

from pathlib import Path

from synergy_tui.errors import UserError
from synergy_tui.nearest import did_you_mean
from synergy_tui.paths import expand


def bundled() -> dict[str, Path]:
    """Return name → file of every scenario that comes with the installation or the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "scenarios", package.parent / "scenarios"):
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
