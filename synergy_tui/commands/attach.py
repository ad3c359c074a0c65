"""``synergy attach``: the app on a running experiment."""

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
    """Open the app on NAME: an id, a unique part of one, a directory, or `last`.

    Leaving the app does not stop the run. Exits with the run's code when it has ended by then.
    """
    from synergy_tui.app.terminal import require_terminal
    from synergy_tui.experiments.experiment import find_experiment

    found = find_experiment(name, out)
    require_terminal()
    return watch(found, ascii_only=ascii_only)
