"""``synergy attach``: the app on a running experiment or sweep."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import ascii_option, experiment_argument, out_option
from synergy_tui.commands.execution import watch
from synergy_tui.commands.helptext import Examples


@click.command(
    cls=Examples,
    examples="""
    synergy attach last
    synergy attach 2026-11-23-154312-diverse_heads
    """,
)
@experiment_argument
@out_option
@ascii_option
def command(name: str, out: Path | None, ascii_only: bool | None) -> int:
    """Open the app on NAME, an experiment or a sweep.

    NAME is an id, a unique part of one, a directory, or `last`; SWEEP/points/POINT is a point of a
    sweep. Leaving the app does not stop the run. Exits with its code when it has ended by then.
    """
    from synergy_tui.app.terminal import require_terminal
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.sweep.entries import find_entry

    found = find_entry(name, out)
    require_terminal()
    if not isinstance(found, Experiment):
        from synergy_tui.app.app import open_sweep

        code = open_sweep(found, ascii_only=ascii_only)
        return code or int((found.ending() or {}).get("exit_code") or 0)
    return watch(found, ascii_only=ascii_only)
