"""Copying: through tmux where the app runs in it, else by asking the terminal (OSC 52).

tmux by default ignores what programs inside it send to the clipboard, but hands on what is loaded
into its own buffer. A terminal never says whether it took an OSC 52, so only tmux is believed.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from synergy_tui.words import csv_text

TIMEOUT = 3.0
"""Seconds that tmux may take."""


def in_tmux(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the app runs inside tmux."""
    return bool(environment.get("TMUX"))


def load_into_tmux(text: str) -> str:
    """Have tmux take ``text``; returns where it is now, or an empty string where tmux refused."""
    # -w also sends it to the terminal around tmux; before tmux 3.2 there is only the buffer.
    for options, where in ((["-w"], "tmux, which hands it to its terminal"), ([], "tmux's buffer")):
        try:
            done = subprocess.run(
                ["tmux", "load-buffer", *options, "-"],
                input=text.encode(),
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if done.returncode == 0:
            return where
    return ""


def tsv(rows: Iterable[Sequence[str]]) -> str:
    """Rows of a table as text with tabs, which spreadsheets paste as cells."""
    return "".join("\t".join(csv_text(cell) for cell in row) + "\n" for row in rows)


def tsv_of_csv(table: str) -> str:
    """A CSV table with tabs in place of commas."""
    return "".join("\t".join(row) + "\n" for row in csv.reader(io.StringIO(table)))
