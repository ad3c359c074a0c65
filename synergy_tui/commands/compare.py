"""``synergy compare``: the runs of several experiments side by side."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import experiments_argument, json_option, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import json_line, print_conventions, print_runs
from synergy_tui.console import echo
from synergy_tui.errors import UserError


@click.command(
    cls=Examples,
    examples="""\
    synergy compare monday tuesday
    synergy compare monday tuesday --run multi-head
    synergy compare monday tuesday --json | jq -s 'sort_by(.loss)[0].experiment'
    """,
)
@experiments_argument
@click.option(
    "--run",
    "wanted",
    multiple=True,
    metavar="RUN",
    help="Only runs of this name; may be given several times.",
)
@out_option
@json_option
def command(
    names: tuple[str, ...], wanted: tuple[str, ...], out: Path | None, as_json: bool
) -> None:
    """Show the runs of several experiments side by side, with the newest numbers of each.

    Each NAME is an id, a unique part of one, `last`, or a directory. Runs measured under different
    conventions are pointed out: their numbers do not compare.
    """
    from synergy_tui.experiments.metrics import averaged_record, run_record
    from synergy_tui.sweep.entries import find_one_experiment

    experiments = [find_one_experiment(name, out) for name in names]
    records = [
        {"experiment": each.id, **(run_record if as_json else averaged_record)(run)}
        for each in experiments
        for run in each.fold().runs.values()
        if not wanted or run.name in wanted
    ]
    if not records:
        which = f"a run named {' or '.join(wanted)}" if wanted else "any run"
        raise UserError(f"None of {', '.join(each.id for each in experiments)} has {which}.")
    if as_json:
        for record in records:
            echo(json_line(record))
        return
    print_runs(records, ("experiment", "run", "task", "seed"))
    if print_conventions(records) > 1:
        echo("These runs were measured under different conventions.", err=True)
