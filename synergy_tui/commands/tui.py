"""``synergy-tui``: the app, on a scenario or on a picker."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui import __version__
from synergy_tui.commands.arguments import ascii_option, device_option, out_option
from synergy_tui.commands.execution import prepare, show_in_app
from synergy_tui.commands.helptext import Examples


@click.command(
    cls=Examples,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples="""
    synergy-tui                                   # pick a scenario or an experiment
    synergy-tui scenarios/diverse_heads.toml      # run it and watch
    synergy-tui example2
    """,
)
@click.argument("scenario", required=False)
@device_option
@out_option
@ascii_option
@click.version_option(__version__, "-V", "--version", prog_name="synergy-tui")
def command(scenario: str | None, device: str, out: Path | None, ascii_only: bool | None) -> int:
    """Open the app: on SCENARIO, which starts to run, or on a picker.

    A run continues when the app is left or the terminal closes; `synergy attach` returns to it.
    """
    from synergy_tui.app.terminal import require_terminal

    require_terminal()
    if scenario is None:
        from synergy_tui.app.app import open_app

        return open_app(ascii_only=ascii_only, home=out)
    experiment = prepare(scenario, device=device, out=out)
    return show_in_app(experiment, device=device, ascii_only=ascii_only)
