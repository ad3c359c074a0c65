"""``synergy resume``: continue a stopped or dead experiment or sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synergy_tui.commands.arguments import experiment_argument, out_option, run_options
from synergy_tui.commands.execution import execute
from synergy_tui.commands.helptext import Examples
from synergy_tui.errors import ExitCode, UserError

if TYPE_CHECKING:
    from synergy_tui.sweep.directory import Sweep


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
    """Continue NAME from its last checkpoints; what is finished is not run again.

    NAME is an id, a unique part of one, a directory, or `last`.
    """
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.running.preflight import check_device
    from synergy_tui.running.worker import next_command
    from synergy_tui.sweep.entries import find_entry

    found = find_entry(name, out)
    if not isinstance(found, Experiment):
        return _resume_sweep(found, **options)
    found.require_ours()
    state = found.state()
    if state == "finished":
        raise UserError(
            f"Experiment {found.id} is finished; there is nothing to continue.",
            hint=next_command(found.reference, state),
        )
    if state == "running":
        raise UserError(
            f"Experiment {found.id} is running already.",
            hint=f"Watch it: `synergy attach {found.reference}`.",
        )
    found.scenario()  # raises before anything starts where the file is damaged
    check_device(options["device"])
    return execute(found, **options)


def _resume_sweep(
    found: Sweep, *, timeout: float | None, ascii_only: bool | None, **options: Any
) -> int:
    from synergy_tui.commands.sweep import resume

    if timeout is not None:
        raise UserError(
            f"{found.id} is a sweep, and --timeout is for experiments.",
            hint=f"End it with `synergy stop {found.reference}`.",
        )
    return resume(found, ascii_only=ascii_only, **options)
