"""What the terminal can show: colours, braille, or nothing that an app could be drawn on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from synergy_tui.errors import UserError
from synergy_tui.login import tmux_draws_ascii


def require_terminal(environment: Mapping[str, str] = os.environ) -> None:
    """Raise a UserError unless the app can be drawn here: no pipe, and a cursor that moves."""
    headless = (
        "Without the app: `synergy run SCENARIO --no-ui` runs it, `synergy show NAME` reports."
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        # The app draws on stderr, so that stdout stays free for data.
        raise UserError("The app needs a terminal, and there is none here.", hint=headless)
    if environment.get("TERM", "") in ("dumb", "unknown", ""):
        term = environment.get("TERM") or "empty"
        raise UserError(f"The app cannot be drawn here: TERM is {term}.", hint=headless)


def follow_size() -> None:
    """Make the terminal's own size the one that is used, now and after it is resized.

    An exported ``COLUMNS`` or ``LINES`` would be used instead, always. With stdout
    redirected the size can only be asked of stderr, once.
    """
    os.environ.pop("COLUMNS", None)
    os.environ.pop("LINES", None)
    if not sys.stdout.isatty():
        try:
            columns, lines = os.get_terminal_size(sys.stderr.fileno())
        except OSError:
            return
        os.environ["COLUMNS"], os.environ["LINES"] = str(columns), str(lines)


def prefers_ascii(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether braille and box drawing would come out garbled: no UTF-8, or the kernel's console.

    tmux is asked, as Python takes a locale of C for UTF-8.
    """
    encoding = (getattr(sys.__stderr__, "encoding", None) or "utf-8").lower().replace("-", "")
    console = environment.get("TERM") == "linux"
    return console or encoding != "utf8" or tmux_draws_ascii(environment)


def has_colour() -> bool:
    """Whether the terminal says that it has eight colours or more."""
    if os.environ.get("COLORTERM"):
        return True
    try:
        import curses

        curses.setupterm(os.environ.get("TERM") or "xterm", fd=sys.__stderr__.fileno())  # type: ignore[union-attr]
        return curses.tigetnum("colors") >= 8
    except Exception:
        # No terminfo entry (or no curses at all): what is unknown is mostly modern.
        return True
