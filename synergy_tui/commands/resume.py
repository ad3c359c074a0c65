"""``synergy resume``: go on with a stopped or dead experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synergy_tui.commands.arguments import experiment_argument, json_option, out_option
from synergy_tui.commands.execution import (
    ascii_option,
    device_option,
    execute_in_foreground,
    quiet_option,
    show_in_app,
    terminal_is_interactive,
    timeout_option,
    view_style,
)
from synergy_tui.commands.presentation import Examples
from synergy_tui.errors import ExitCode


@click.command(
    cls=Examples,
    answers=tuple(ExitCode),
    examples="""
    synergy resume last
    synergy resume --no-ui diverse_heads
    """,
)
@experiment_argument
@click.option("--no-ui", is_flag=True, help="Stay in the foreground, without the app.")
@json_option
@quiet_option
@device_option
@timeout_option
@out_option
@ascii_option
def command(
    name: str,
    no_ui: bool,
    as_json: bool,
    quiet: bool,
    device: str,
    timeout: float | None,
    out: Path | None,
    ascii_only: bool | None,
) -> int:
    """Go on with NAME from its last checkpoints; finished runs are kept as they are.

    NAME is an id, what is unique of one, a directory, or `last`.
    """
    from synergy_tui.errors import UserError
    from synergy_tui.experiments.experiment import find_experiment
    from synergy_tui.running.preflight import check_device

    found = find_experiment(name, out)
    state = found.state()
    if state == "finished":
        raise UserError(
            f"Experiment {found.id} is finished; there is nothing to go on with.",
            hint=f"Look at it: `synergy replay {found.id}`.",
        )
    if state == "running":
        raise UserError(
            f"Experiment {found.id} is running already.",
            hint=f"Watch it: `synergy attach {found.id}`.",
        )
    found.scenario()
    check_device(device)
    options: dict[str, Any] = {"device": device, "timeout": timeout}
    if not (no_ui or as_json or quiet) and terminal_is_interactive():
        return show_in_app(found, ascii_only=ascii_only, **options)
    return execute_in_foreground(found, style=view_style(as_json, quiet), **options)
