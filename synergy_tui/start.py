"""Where the commands start: Ctrl-C has its answer before anything slow is imported."""

from __future__ import annotations

import gc
import sys

from synergy_tui.errors import ExitCode


def main() -> None:
    """Start ``synergy``."""
    _start("main")


def tui() -> None:
    """Start ``synergy-tui``."""
    _start("tui")


def _start(name: str) -> None:
    # Imports make many objects and hardly any garbage: looking for it took a tenth of their time.
    gc.set_threshold(20_000)
    try:
        from synergy_tui import cli
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(int(ExitCode.INTERRUPTED))
    getattr(cli, name)()
