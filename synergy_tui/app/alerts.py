"""What is worth calling somebody back to the terminal for, and how a terminal is asked to.

The bell is heard (or shown) everywhere, in tmux as a mark on the window; OSC 9 is a notification of
the desktop where the terminal knows it, and ignored elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from synergy_tui.app.clipboard import in_tmux
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.words import clean

SETTING = "SYNERGY_BELL"
"""Environment variable: ``off`` silences alerts."""
ENDED = ("finished", "failed", "stopped")


class Alerts:
    """Remembers what a log has said, so that only what is new is reported."""

    def __init__(self) -> None:
        self._known: set[str] | None = None

    def news(self, state: ExperimentState, *, live: bool) -> str:
        """What has ended, failed or broken an expectation since the last call, in one line.

        What was so when the log was first read is not new, nor is anything of a recording.
        """
        found = [
            f"{run.name} {run.status}" for run in state.runs.values() if run.status in ENDED
        ] + [f"expected, but fails: {e['that']}" for e in state.expectations if not e.get("holds")]
        known, self._known = self._known, set(found)
        if known is None or not live:
            return ""
        return "; ".join(each for each in found if each not in known)


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the user wants to be alerted."""
    return environment.get(SETTING, "").lower() not in ("off", "0", "no", "false")


def sequence(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What to send to the terminal: a bell, and the text as a notification."""
    notice = f"\x1b]9;Synergy: {clean(text)}\x07"
    if environment.get("TERM") == "linux":
        return "\x07"  # its console would write a sequence that it does not know onto the screen
    if in_tmux(environment):
        # tmux hands this on where `allow-passthrough` is on, and drops it where not.
        notice = "\x1bPtmux;" + notice.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return f"\x07{notice}"
