"""``synergy show``: one experiment in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synergy_tui.commands.arguments import experiment_argument, json_option, out_option
from synergy_tui.commands.presentation import Examples, json_line, print_table
from synergy_tui.words import ago, clean, number


@click.command(
    cls=Examples,
    examples="""\
    synergy show last
    synergy show 2026-11-23-15                    # what is unique of a name is enough
    synergy show last --json | jq '.runs[] | {run, loss, fidelity}'
    """,
)
@experiment_argument
@out_option
@json_option
def command(name: str, out: Path | None, as_json: bool) -> None:
    """Show one experiment: runs, numbers, expectations, warnings and the verdict.

    NAME is an id, what is unique of one, `last`, or a directory.
    """
    from synergy_tui.experiments.experiment import find_experiment, summary

    experiment = find_experiment(name, out)
    state = experiment.fold()
    from synergy_tui.experiments.metrics import experiment_record

    record = summary(experiment) | experiment_record(state)
    if as_json:
        click.echo(json_line(record))
        return
    head = {
        "experiment": record["id"],
        "title": record["title"],
        "state": record["state"] + (f": {state.reason}" if state.reason else ""),
        "started": f"{record['started']}, lasted {ago(state.elapsed)}",
        "seed": record["seed"],
        "path": record["path"],
    }
    for key, value in head.items():
        if value not in (None, ""):
            click.echo(f"{key:<11} {clean(str(value))}")
    if record["runs"]:
        _runs(record["runs"])
    if record["expectations"]:
        print_table(
            ["expectation", "holds", "left", "right"],
            [
                [
                    clean(str(each["that"])),
                    "yes" if each["holds"] else "NO",
                    number(each["left"]),
                    number(each["right"]),
                ]
                for each in record["expectations"]
            ],
            left=2,
        )
    for warning in record["warnings"]:
        who = f"{warning['run']}: " if warning["run"] else ""
        click.echo(f"warning     {clean(who + str(warning['message']))}")
    verdict = _verdict(state, record)
    if verdict:
        click.echo(f"verdict     {clean(verdict)}")


def _runs(runs: list[dict[str, Any]]) -> None:
    from synergy_tui.experiments.metrics import COLUMNS

    print_table(
        ["run", "status", *COLUMNS],
        [
            [clean(str(run["run"])), clean(str(run["status"]))]
            + [number(run[key]) for key in COLUMNS.values()]
            for run in runs
        ],
        left=2,
    )
    for run in runs:
        if run.get("reason"):
            click.echo(f"{clean(str(run['run']))} {run['status']}: {clean(str(run['reason']))}")
    measured = next((run for run in runs if run.get("convention")), None)
    if measured:
        click.echo(
            "convention  "
            + ", ".join(str(measured[key]) for key in ("convention", "combine"))
            + f", {measured['weights']} head weights, sink {measured['sink']};"
            " times in diffusion steps, loss in nats"
        )


def _verdict(state: Any, record: dict[str, Any]) -> str:
    """Return the closing verdict, or the one so far while there is none."""
    if record["verdict"] or not state.runs:
        return str(record["verdict"] or "")
    from synergy_tui.experiments.verdict import verdict

    return str(verdict(state).line)
