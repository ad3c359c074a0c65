"""``synergy compare``: the runs of several experiments beside each other."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import experiments_argument, json_option, out_option
from synergy_tui.commands.presentation import Examples, json_line, print_table
from synergy_tui.words import clean, number


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
    """Put the runs of several experiments beside each other, newest numbers of each.

    Each NAME is an id, what is unique of one, `last`, or a directory. A run measured under another
    convention than the others is pointed out: such numbers do not compare.
    """
    from synergy_tui.errors import UserError
    from synergy_tui.experiments.experiment import find_experiment
    from synergy_tui.experiments.metrics import COLUMNS, run_record

    experiments = [find_experiment(name, out) for name in names]
    records = [
        {"experiment": each.id, **run_record(run)}
        for each in experiments
        for run in each.fold().runs.values()
        if not wanted or run.name in wanted
    ]
    if not records:
        which = f"a run named {' or '.join(wanted)}" if wanted else "any run"
        raise UserError(f"None of {', '.join(each.id for each in experiments)} has {which}.")
    if as_json:
        for record in records:
            click.echo(json_line(record))
        return
    print_table(
        ["experiment", "run", "task", "seed", *COLUMNS],
        [
            [clean(str(record[key] if record[key] is not None else "–")) for key in _WORDS]
            + [number(record[key]) for key in COLUMNS.values()]
            for record in records
        ],
        left=len(_WORDS),
    )
    measured = {
        (record["convention"], record["combine"], record["sink"])
        for record in records
        if record.get("convention")
    }
    for convention, combine, sink in sorted(measured, key=str):
        click.echo(f"convention: {convention}, {combine}, sink {sink}; times in diffusion steps")
    if len(measured) > 1:
        click.echo("These runs were measured under different conventions.", err=True)


_WORDS = ("experiment", "run", "task", "seed")
