"""``synergy schema``: the JSON Schema of scenarios, events, analyses and reports."""

from __future__ import annotations

import click

from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo


@click.command(
    cls=Examples,
    examples="""\
    synergy schema scenario > scenario.schema.json
    synergy schema scenario --path               # for the first line of a scenario, for editors:
                                                 # #:schema /that/path
    synergy schema events > events.schema.json
    """,
)
@click.argument("name", type=click.Choice(["scenario", "events", "analysis", "report"]))
@click.option("--path", is_flag=True, help="Print the file's path instead of its content.")
def command(name: str, path: bool) -> None:
    """Print the JSON Schema (draft 2020-12) of scenario files, of the event stream that
    `synergy run --json` prints, or of the objects that `synergy analyze --json` and
    `synergy report --json` print.

    Editors with a TOML language server (Taplo, Tombi, Even Better TOML) complete and check a
    scenario whose first line is `#:schema PATH-OR-URL`.
    """
    from synergy_tui.schemas import schema_path

    file = schema_path(name)
    echo(str(file) if path else file.read_text(encoding="utf-8"), nl=path)
