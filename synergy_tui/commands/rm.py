"""``synergy rm``: remove experiments."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synergy_tui.commands.arguments import experiments_argument, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import UserError

if TYPE_CHECKING:
    from synergy_tui.experiments.experiment import Experiment


@click.command(
    cls=Examples,
    examples="""\
    synergy rm 2026-11-23-154312
    synergy ls --state failed --json | jq -r .path | xargs synergy rm --yes
    """,
)
@experiments_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@out_option
def command(names: tuple[str, ...], yes: bool, out: Path | None) -> None:
    """Remove experiments with everything in them, after asking.

    A running experiment is not removed: stop it first. All names are looked up before anything is
    removed, so a typo removes nothing.
    """
    from synergy_tui.experiments.experiment import find_experiment

    every = [find_experiment(name, out, damaged=True) for name in names]
    found = {experiment.path: experiment for experiment in every}
    for experiment in found.values():
        if experiment.state() == "running":
            raise UserError(
                f"Experiment {experiment.id} is running.",
                hint=f"Stop it first: `synergy stop {experiment.id}`.",
            )
    if not yes and not _agreed(list(found.values())):
        echo("Nothing was removed.", err=True)
        return
    for experiment in found.values():
        _remove(experiment)
        echo(f"removed {experiment.id}", err=True)


def _agreed(experiments: list[Experiment]) -> bool:
    """Ask whether to remove these, by name."""
    for experiment in experiments:
        echo(f"  {experiment.path} ({experiment.state()})", err=True)
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to ask on.", hint="Give --yes to remove without asking."
        )
    what = "this experiment" if len(experiments) == 1 else f"these {len(experiments)} experiments"
    return click.confirm(f"Remove {what}?", err=True)


def _remove(experiment: Experiment) -> None:
    """Remove one directory; set aside first, so that no half of it is ever listed."""
    path = experiment.path
    try:
        if path.is_symlink():
            path.unlink()
            return
        with experiment.lock(announce=False):
            aside = path.with_name(f".removing-{path.name}")
            path.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror or error}.") from error
