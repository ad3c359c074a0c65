"""``synergy doctor``: what this machine offers."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import json_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import json_line
from synergy_tui.console import echo, sign
from synergy_tui.errors import ExitCode

_GLYPHS = {"ok": "✓", "note": "·", "warning": "!", "broken": "✗"}
_COLOURS = {"ok": "green", "note": None, "warning": "yellow", "broken": "red"}


@click.command(
    cls=Examples,
    examples="""\
    synergy doctor
    synergy doctor --json | jq -r 'select(.state != "ok").text'
    """,
)
@json_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the experiments; else $SYNERGY_HOME, else the user data folder.",
)
def command(as_json: bool, out: Path | None) -> int:
    """Show what this machine offers: processor, memory, GPU, terminal, caches, extras.

    Every finding is ok (✓), worth knowing (·), a warning (!) or broken (✗). The exit code is 3 when
    something that runs need is broken, and 0 otherwise.
    """
    from synergy_tui.machine import examine

    broken = False
    for finding in examine(out):
        broken = broken or finding.state == "broken"
        if as_json:
            echo(json_line(finding.as_dict()))
            continue
        sign(_GLYPHS[finding.state], _COLOURS[finding.state])
        echo(f" {finding.name:<10} {finding.text}")
        if finding.advice:
            echo(f"{'':13}{finding.advice}")
    return int(ExitCode.RUN_FAILED if broken else ExitCode.OK)
