"""What is wrong with a scenario, each problem with its place, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synergy_tui.errors import UserError
from synergy_tui.scenario.positions import Key
from synergy_tui.words import clean

# Nobody reads on beyond these.
MOST_SHOWN = 50
LONGEST = 60
"""Characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what is allowed."""

    path: Key
    """From the top of the file; list elements by number from 0."""
    message: str
    value: Any = None
    """``MISSING`` when the key is absent."""
    line: int | None = None
    """From 1; ``None`` for what did not come from the file (``--set``)."""

    def text(self, file: str) -> str:
        """Return the line for people: file, line, key path, value, what is wrong."""
        place = f"{file}:{self.line}" if self.line else file
        key = dotted(self.path)
        if not key:
            return f"{place}: {self.message}"
        if self.value is MISSING:
            return f"{place}: {key}: {self.message}"
        return f"{place}: {key} = {short(self.value)}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        value = None if self.value is MISSING else self.value
        return {
            "line": self.line,
            "key": dotted(self.path),
            "value": value if _fits_json(value) else short(value),
            "message": self.message,
        }


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


MISSING = _Missing()


class ScenarioError(UserError):
    """A scenario that cannot be used: all that is wrong, in the order of the file."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        count = len(self.problems)
        lines = [problem.text(file) for problem in self.problems[:MOST_SHOWN]]
        if count == 1:
            message = lines[0]
        else:
            rest = [f"… and {count - MOST_SHOWN:,} more"] if count > MOST_SHOWN else []
            message = "\n  ".join([f"{file} has {count:,} problems:", *lines, *rest])
        super().__init__(message)


def dotted(path: Key) -> str:
    """Return ``runs[1].heads`` for ``("runs", 1, "heads")``; elements count from 0."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _fits_json(value: Any) -> bool:
    if isinstance(value, int):
        return value.bit_length() <= 64
    return isinstance(value, str | float)


def short(value: Any) -> str:
    """Return a value as TOML writes it, cut where it is long."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f'"{clean(value)}"'
    else:
        try:
            text = repr(value)
        except ValueError:  # integers of more than 4,300 digits, which only hexadecimal ones can be
            text = "a number too long to show"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
