"""``synergy replay``: the app on a finished experiment or sweep."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import ascii_option, experiment_argument, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.errors import UserError


@click.command(
    cls=Examples,
    examples="""
    synergy replay last
    synergy replay ./experiments/2026-11-23-154312-diverse_heads
    """,
)
@experiment_argument
@out_option
@ascii_option
def command(name: str, out: Path | None, ascii_only: bool | None) -> int:
    """Open the app on NAME as it was recorded: step, play and scrub through it.

    NAME is an id, a unique part of one, a directory, or `last`. A sweep shows its points, each of
    which opens so. Nothing is computed again
    and nothing is written.
    """
    from synergy_tui.app.app import open_app, open_sweep
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.sweep.entries import find_entry

    found = find_entry(name, out)
    if not found.events_path.exists():
        raise UserError(
            f"{'Experiment' if isinstance(found, Experiment) else 'Sweep'} {found.id} "
            "has no events yet.",
            hint=f"Run it: `synergy resume {found.reference}`.",
        )
    if not isinstance(found, Experiment):
        return open_sweep(found, ascii_only=ascii_only)
    return open_app(found, "replay", ascii_only=ascii_only)
