"""``synergy validate``: check scenario files without running them."""

from __future__ import annotations

import click

from synergy_tui.commands.arguments import json_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import json_line
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError


@click.command(
    cls=Examples,
    examples="""
    synergy validate scenarios/*.toml
    synergy validate --json mine.toml | jq -r '.problems[] | "\\(.line): \\(.message)"'
    """,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@json_option
def command(files: tuple[str, ...], as_json: bool) -> int:
    """Check scenario FILEs: keys, values, expectations, graphs, and the files that they name.

    Every problem of every file is listed, with line, key, value and what is allowed. JSON objects,
    one per file, have the keys file, valid and problems (line, key, value, message).
    """
    from synergy_tui.running.preflight import input_problems
    from synergy_tui.scenario import ScenarioError, find_scenario, load_scenario

    bad = 0
    for file in files:
        problems: list[dict[str, object]] = []
        try:
            load_scenario(find_scenario(file), inputs=input_problems)
        except ScenarioError as error:
            problems = [problem.as_dict() for problem in error.problems]
            message, hint = error.message, error.hint
        except UserError as error:
            problems = [{"line": None, "key": "", "value": None, "message": error.message}]
            message, hint = error.message, error.hint
        bad += bool(problems)
        if as_json:
            echo(json_line({"file": file, "valid": not problems, "problems": problems}))
        elif problems:
            echo(message, err=True)
            if hint:
                echo(f"  {hint}", err=True)
        else:
            echo(f"{file}: valid", err=True)
    return int(ExitCode.BAD_INPUT if bad else ExitCode.OK)
