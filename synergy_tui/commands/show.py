"""``synergy show``: one experiment in numbers."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import experiment_argument, json_option, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import (
    json_line,
    print_conventions,
    print_expectations,
    print_runs,
    print_scoreboard,
)
from synergy_tui.console import echo
from synergy_tui.words import clean, duration


@click.command(
    cls=Examples,
    examples="""\
    synergy show last
    synergy show 2026-11-23-15                    # a unique part of a name is enough
    synergy show last --json | jq '.runs[] | {run, loss, fidelity}'
    """,
)
@experiment_argument
@out_option
@json_option
def command(name: str, out: Path | None, as_json: bool) -> None:
    """Show one experiment: runs, numbers, expectations, warnings and the verdict.

    NAME is an id, a unique part of one, `last`, or a directory.
    """
    from synergy_tui.experiments.experiment import find_experiment, summary
    from synergy_tui.experiments.metrics import experiment_record
    from synergy_tui.experiments.verdict import scoreboard

    experiment = find_experiment(name, out)
    state = experiment.fold()
    found = scoreboard(state)
    record = summary(experiment) | experiment_record(state) | {"scoreboard": found.as_record()}
    if as_json:
        echo(json_line(record))
        return
    head = {
        "experiment": record["id"],
        "title": record["title"],
        "state": record["state"] + (f": {state.reason}" if state.reason else ""),
        "started": f"{record['started']}, lasted {duration(state.elapsed)}",
        "seed": record["seed"],
        "path": record["path"],
    }
    for key, value in head.items():
        if value not in (None, ""):
            echo(f"{key:<11} {clean(value)}")
    print_runs(record["runs"], ("run", "status"))
    print_conventions(record["runs"])
    if state.expectations:
        print_expectations(state.expectations)
    for warning in record["warnings"]:
        who = f"{warning['run']}: " if warning["run"] else ""
        echo(f"warning     {who}{warning['message']}")
    if state.runs:
        print_scoreboard(found)
