"""``synergy stop``: end a running experiment so that it can be resumed."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import Real, experiment_argument, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode


@click.command(
    cls=Examples,
    examples="""
    synergy stop last
    synergy stop diverse_heads --wait 300
    """,
)
@experiment_argument
@click.option(
    "--wait",
    type=Real(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the checkpoint.",
)
@out_option
def command(name: str, wait: float, out: Path | None) -> int:
    """Ask NAME's worker to write a checkpoint and stop, and wait for it.

    NAME is an id, a unique part of one, a directory, or `last`.
    """
    from synergy_tui.experiments.experiment import find_experiment
    from synergy_tui.running.worker import stop

    found = find_experiment(name, out)
    state = stop(found, wait=wait)
    if state == "running":
        echo(f"{found.id} was asked to stop and is still running.", err=True)
        return int(ExitCode.RUN_FAILED)
    echo(f"{found.id} is {state}. Continue with `synergy resume {found.id}`.", err=True)
    return int(ExitCode.OK)
