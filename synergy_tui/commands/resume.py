"""``synergy resume``: continue a stopped or dead experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synergy_tui.commands.arguments import experiment_argument, out_option, run_options
from synergy_tui.commands.execution import execute
from synergy_tui.commands.helptext import Examples
from synergy_tui.errors import ExitCode, UserError


@click.command(
    cls=Examples,
    answers=tuple(ExitCode),
    examples="""
    synergy resume last
    synergy resume --no-ui diverse_heads
    """,
)
@experiment_argument
@run_options
@out_option
def command(name: str, out: Path | None, **options: Any) -> int:
    """Continue NAME from its last checkpoints; runs that are finished are not run again.

    NAME is an id, a unique part of one, a directory, or `last`.
    """
    from synergy_tui.experiments.experiment import find_experiment
    from synergy_tui.running.preflight import check_device

    found = find_experiment(name, out)
    found.require_ours()
    state = found.state()
    if state == "finished":
        raise UserError(
            f"Experiment {found.id} is finished; there is nothing to continue.",
            hint=f"Look at it: `synergy replay {found.id}`.",
        )
    if state == "running":
        raise UserError(
            f"Experiment {found.id} is running already.",
            hint=f"Watch it: `synergy attach {found.id}`.",
        )
    found.scenario()  # raises before anything starts where the file is damaged
    check_device(options["device"])
    return execute(found, **options)
