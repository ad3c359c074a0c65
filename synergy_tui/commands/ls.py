"""``synergy ls``: the experiments and sweeps there are."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from synergy_tui.commands.arguments import json_option, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import json_line, print_table
from synergy_tui.console import echo
from synergy_tui.experiments.experiment import STATES
from synergy_tui.words import ago, size


@click.command(
    cls=Examples,
    examples="""\
    synergy ls
    synergy ls --state dead --state stopped       # those that `synergy resume` can continue
    synergy ls --json | jq -r 'select(.state == "failed").path'
    """,
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only those in this state; may be given several times.",
)
@out_option
@json_option
def command(states: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """List experiments and sweeps: state, age, size, scenario, verdict; oldest first.

    `dead` means that the worker ended without closing its log (killed, or a power cut);
    `synergy resume NAME` continues from its last checkpoint. `damaged` means that something in the
    directory is not what its name promises; only `synergy rm` takes it. JSON objects have the keys
    kind (experiment or sweep), id, scenario, state, started, path, exit_code, reason, verdict,
    elapsed (seconds), watched (whether somebody's own training is), heads and loss (of each run),
    task, signs (of the verdict's claims), problem, points (of a sweep) and bytes (on disk).
    """
    from synergy_tui.files import bytes_in, home
    from synergy_tui.sweep.entries import list_entries, summary

    found = [summary(each) for each in list_entries(out)]
    found = [each for each in found if not states or each["state"] in states]
    for each in found:
        each["bytes"] = bytes_in(Path(each["path"]))
    if as_json:
        for each in found:
            echo(json_line(each))
        return
    if not found:
        which = f"No experiment is {' or '.join(states)}" if states else "No experiments yet"
        echo(f"{which} in {home(out)}.", err=True)
        return
    now = datetime.datetime.now(tz=datetime.UTC)
    rows = []
    for each in found:
        started = datetime.datetime.fromisoformat(each["started"])
        age = ago((now - started).total_seconds())
        rows.append(
            [str(each[key]) for key in ("id", "state")]
            + [age, size(each["bytes"]), str(each["scenario"])]
            + [str(each["problem"] or each["verdict"] or "")]
        )
    print_table(
        ["experiment", "state", "age", "size", "scenario", "verdict"],
        rows,
        left=6,
        wrap=("verdict",),
    )
