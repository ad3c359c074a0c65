"""``synergy replay``: the app on a finished experiment."""

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

    NAME is an id, a unique part of one, a directory, or `last`. Nothing is computed again
    and nothing is written.
    """
    from synergy_tui.app.app import open_app
    from synergy_tui.experiments.experiment import find_experiment

    found = find_experiment(name, out)
    if not found.events_path.exists():
        raise UserError(
            f"Experiment {found.id} has no events yet.",
            hint=f"Run it: `synergy resume {found.id}`.",
        )
    return open_app(found, "replay", ascii_only=ascii_only)
