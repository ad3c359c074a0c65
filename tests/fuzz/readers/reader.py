"""What a reader of files is to the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from synergy_engine.errors import EngineError
from synergy_trainer.errors import TrainerError
from synergy_tui.errors import UserError

OURS = (UserError, EngineError, TrainerError)


@dataclass(frozen=True)
class Reader:
    """One kind of file, and everything that reads it."""

    name: str
    suffix: str
    files: Callable[[], list[bytes]]
    """Good files of this kind."""
    prepare: Callable[[Path], Path]
    """Makes, in an empty folder, what lies beside the file; returns the file's own path."""
    read: Callable[[Path, Random], object]
    """Reads it in one of several ways; returns something short that tells values apart."""
    errors: tuple[type[Exception], ...] = OURS
    """What it may raise."""
    share: float = 1.0
    """Of all inputs: less where reading is slow."""


def plain(suffix: str) -> Callable[[Path], Path]:
    return lambda folder: folder / f"fuzzed{suffix}"
