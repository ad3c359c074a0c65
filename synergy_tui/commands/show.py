"""``synergy show``: one experiment or sweep in numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synergy_tui.commands.arguments import experiment_argument, json_option, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import (
    json_line,
    print_conventions,
    print_expectations,
    print_runs,
    print_scoreboard,
    print_table,
)
from synergy_tui.console import echo
from synergy_tui.errors import UserError
from synergy_tui.words import clean, duration, number, span

if TYPE_CHECKING:
    from synergy_tui.report.sweeps import Row
    from synergy_tui.sweep.directory import Sweep
    from synergy_tui.sweep.measures import Measure


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

    Of a sweep: its groups with means and 95% intervals over seeds, the points that are not
    finished, and the report's verdicts as they stand. NAME is an id, a unique part of one, `last`,
    or a directory.
    """
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.experiments.metrics import averaged_record, experiment_record
    from synergy_tui.experiments.verdict import scoreboard
    from synergy_tui.sweep.entries import find_entry, summary

    experiment = find_entry(name, out)
    if not isinstance(experiment, Experiment):
        _show_sweep(experiment, as_json)
        return
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
    _print_head(head)
    print_runs([averaged_record(run) for run in state.runs.values()], ("run", "status"))
    print_conventions(record["runs"])
    if state.expectations:
        print_expectations(state.expectations)
    for warning in record["warnings"]:
        who = f"{warning['run']}: " if warning["run"] else ""
        echo(f"warning     {who}{warning['message']}")
    if state.runs:
        print_scoreboard(found)


def _print_head(head: Mapping[str, Any]) -> None:
    for key, value in head.items():
        if value not in (None, ""):
            echo(f"{key:<11} {clean(value)}")


def _show_sweep(sweep: Sweep, as_json: bool) -> None:
    from synergy_tui.experiments.metrics import run_record
    from synergy_tui.report.sweeps import group_rows, standing, values_of
    from synergy_tui.sweep.entries import summary
    from synergy_tui.sweep.measures import MEASURES
    from synergy_tui.sweep.overview import Overview

    overview = Overview(sweep)
    overview.update(2**30)
    states = sweep.states()
    groups = {each: group_rows(values_of(overview, each), each) for each in MEASURES}
    try:
        verdicts, none_yet = standing(sweep), ""
    except UserError as error:
        verdicts, none_yet = [], error.message
    record = summary(sweep)
    if as_json:
        echo(
            json_line(
                record
                | {
                    "title": sweep.scenario_title,
                    "command": sweep.command,
                    "experiments": [
                        {
                            "id": name,
                            "group": view.point.group,
                            "seed": view.point.seed,
                            "settings": view.point.settings,
                            "state": states[name],
                            "reason": view.reason,
                            "runs": [run_record(run) for run in view.state.runs.values()],
                        }
                        for name, view in overview.points.items()
                    ],
                    "groups": [
                        {"measure": measure.key, **dataclasses.asdict(row)}
                        for measure, rows in groups.items()
                        for row in rows
                        if row.samples
                    ],
                    "verdicts": [
                        {"verdict": verdict, "sentence": sentence} for verdict, sentence in verdicts
                    ],
                }
            )
        )
        return
    _print_head(
        {
            "sweep": sweep.id,
            "title": sweep.scenario_title,
            "state": record["state"],
            "points": record["verdict"].removeprefix("sweep: "),
            "started": record["started"],
            "command": sweep.command,
            "path": record["path"],
        }
    )
    for measure, rows in groups.items():
        if any(row.samples for row in rows):
            _print_groups(measure, rows)
    left = [
        [name, states[name], overview.points[name].reason]
        for name in overview.points
        if states[name] != "finished"
    ]
    if left:
        print_table(["point", "state", "reason"], left, left=3, wrap=("reason",))
    for verdict, sentence in verdicts:
        echo(f"{verdict:<13} {clean(sentence)}")
    if none_yet:
        echo(none_yet, err=True)


def _print_groups(measure: Measure, rows: Sequence[Row]) -> None:
    echo(f"\n{measure.name} ({measure.unit}): means and 95% intervals over seeds")
    print_table(
        ["group", "run", "seeds", "mean", "95%", f"{measure.better}", "ratio", "95%"],
        [
            [
                row.group,
                row.run,
                str(row.samples),
                number(row.mean),
                span(row.interval),
                row.reference,
                number(row.ratio) if row.reference else "",
                span(row.ratio_interval) if row.reference else "",
            ]
            for row in rows
        ],
        left=2,
    )
