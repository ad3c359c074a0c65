"""``synergy run``: execute a scenario, with the app or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synergy_tui.commands.arguments import json_option, out_option
from synergy_tui.commands.execution import (
    ascii_option,
    device_option,
    execute_in_foreground,
    prepare,
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
    synergy run scenarios/diverse_heads.toml
    synergy run --no-ui example2
    synergy run --no-ui --json scenarios/diverse_heads.toml > events.jsonl
    synergy run --no-ui --set train.steps=100 --set runs.multi-head.heads=4 diverse_heads
    synergy run --no-ui --junit report.xml --timeout 600 --quiet scenarios/diverse_heads.toml
    """,
)
@click.argument("scenario")
@click.option("--no-ui", is_flag=True, help="Stay in the foreground, without the app.")
@json_option
@quiet_option
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the scenario; may be given several times.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Replace the scenario's seed."
)
@device_option
@timeout_option
@out_option
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write runs and expectations as a JUnit XML report; `-` is stdout.",
)
@ascii_option
def command(
    scenario: str,
    no_ui: bool,
    as_json: bool,
    quiet: bool,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    timeout: float | None,
    out: Path | None,
    junit: Path | None,
    ascii_only: bool | None,
) -> int:
    """Run SCENARIO: a TOML file, or the name of one that comes with Synergy.

    With a terminal, a worker is started that outlives it, and the app shows what it does. Without
    one, or with --no-ui, --json, --quiet or --junit, it runs in the foreground; text for people
    goes to stderr.
    """
    foreground = no_ui or as_json or quiet or junit is not None or not terminal_is_interactive()
    if junit is not None:
        from synergy_tui.files import require_writable

        require_writable(junit)
    experiment = prepare(scenario, overrides=overrides, seed=seed, device=device, out=out)
    options: dict[str, Any] = {"device": device, "timeout": timeout}
    if not foreground:
        return show_in_app(experiment, ascii_only=ascii_only, **options)
    style = view_style(as_json, quiet)
    return execute_in_foreground(experiment, style=style, junit=junit, **options)
