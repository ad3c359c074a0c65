"""``synergy rm``: remove experiments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synergy_tui.commands.arguments import Age, complete_experiments, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import UserError
from synergy_tui.files import bytes_in, clear_leftovers, home, remove_whole
from synergy_tui.words import counted, duration, size

if TYPE_CHECKING:
    from synergy_tui.experiments.experiment import Experiment


@click.command(
    cls=Examples,
    examples="""\
    synergy rm 2026-11-23-154312
    synergy rm --older 30d
    synergy ls --state failed --json | jq -r .path | xargs synergy rm --yes
    """,
)
@click.argument("names", nargs=-1, metavar="[NAME…]", shell_complete=complete_experiments)
@click.option(
    "--older",
    type=Age(),
    metavar="AGE",
    help="All whose log was last written to longer ago than this: 12h, 30d, 8w.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@out_option
def command(names: tuple[str, ...], older: float | None, yes: bool, out: Path | None) -> None:
    """Remove experiments with everything in them, after asking.

    A running experiment is not removed: stop it first. All names are looked up before anything is
    removed, so a typo removes nothing. What a command that was killed left half removed goes too.
    """
    from synergy_tui.experiments.experiment import find_experiment, list_experiments

    if bool(names) == (older is not None):
        raise UserError("Name the experiments to remove, or give --older AGE; not both.")
    clear_leftovers(home(out))
    if older is None:
        chosen = [find_experiment(name, out, damaged=True) for name in names]
    else:
        old = [each for each in list_experiments(out) if each.idle > older]
        chosen = [each for each in old if each.state() != "running"]
    found = {experiment.path: experiment for experiment in chosen}
    for experiment in found.values():
        if experiment.state() == "running":
            ours = f"Stop it first: `synergy stop {experiment.id}`."
            raise UserError(
                f"Experiment {experiment.id} is running.",
                hint="It is your own training: end that first." if experiment.watched else ours,
            )
    if older is not None and not found:
        echo(f"No experiment in {home(out)} is older than {duration(older)}.", err=True)
        return
    if not yes and not _agreed(list(found.values())):
        echo("Nothing was removed.", err=True)
        return
    for experiment in found.values():
        _remove(experiment)
        echo(f"removed {experiment.id}", err=True)


def _agreed(experiments: list[Experiment]) -> bool:
    """Ask whether to remove these, by name."""
    sizes = [bytes_in(experiment.path) for experiment in experiments]
    for experiment, each in zip(experiments, sizes, strict=True):
        echo(f"  {experiment.path} ({experiment.state()}, {size(each)})", err=True)
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to ask on.", hint="Give --yes to remove without asking."
        )
    what = f"these {counted(len(experiments), 'experiment')} ({size(sum(sizes))})"
    if len(experiments) == 1:
        what = "this experiment"
    return click.confirm(f"Remove {what}?", err=True)


def _remove(experiment: Experiment) -> None:
    """Remove one directory, or the link to it."""
    path = experiment.path
    try:
        if path.is_symlink():
            path.unlink()
            return
        with experiment.lock(announce=False):
            remove_whole(path)
    except OSError as error:
        raise UserError(f"{path} cannot be removed: {error.strerror or error}.") from error
