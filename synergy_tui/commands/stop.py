"""``synergy stop``: end a running experiment or sweep so that it can be resumed."""

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
    """Ask NAME's worker to write a checkpoint and stop, and wait for it; of a sweep, all points do.

    NAME is an id, a unique part of one, a directory, or `last`. Asking again while it stops changes
    nothing and waits for the same end. The exit code is 3 when it is not known to have stopped in
    order: it still runs, it failed, or it was killed.
    """
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.running import worker
    from synergy_tui.sweep import worker as driver
    from synergy_tui.sweep.entries import find_entry

    found = find_entry(name, out)
    if isinstance(found, Experiment):
        state = worker.stop(found, wait=wait)
    else:
        state = driver.stop(found, wait=wait)
    resume = f"Continue with `synergy resume {found.reference}`."
    reason = (found.ending() or {}).get("reason") or "see its log"
    message = {
        "stopped": f"{found.id} is stopped. {resume}",
        "finished": f"{found.id} finished before it could stop. "
        f"Look: `synergy show {found.reference}`.",
        "failed": f"{found.id} failed: {reason}. {resume}",
        "running": f"{found.id} was asked to stop and still runs after {wait:g} s; "
        f"`synergy stop {found.reference}` waits again.",
    }
    unclean = f"{found.id} ended without closing its log: it was killed, or it crashed. What came "
    echo(message.get(state, f"{unclean}after its last checkpoint is lost. {resume}"), err=True)
    return int(ExitCode.OK if state in ("stopped", "finished") else ExitCode.RUN_FAILED)
