"""``synergy rm``: remove experiments and sweeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synergy_tui.commands.arguments import Age, complete_experiments, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import UserError
from synergy_tui.files import bytes_in, clear_leftovers, home
from synergy_tui.words import counted, duration, size

if TYPE_CHECKING:
    from synergy_tui.sweep.entries import Entry


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
    help="All whose logs were last written to longer ago than this: 12h, 30d, 8w.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@out_option
def command(names: tuple[str, ...], older: float | None, yes: bool, out: Path | None) -> None:
    """Remove experiments and sweeps with everything in them, after asking.

    What is running is not removed (stop it first), nor a single point of a sweep. All names are
    looked up before anything is removed, so a typo removes nothing. What a command that was killed
    left half removed goes too.
    """
    from synergy_tui.sweep.entries import find_entry, list_entries, remove, require_removable

    if bool(names) == (older is not None):
        raise UserError("Name the experiments to remove, or give --older AGE; not both.")
    clear_leftovers(home(out))
    if older is None:
        chosen = [find_entry(name, out, damaged=True) for name in names]
    else:
        old = [each for each in list_entries(out) if each.idle > older]
        chosen = [each for each in old if each.state() != "running"]
    found = {experiment.path: experiment for experiment in chosen}
    for experiment in found.values():
        require_removable(experiment)
    if older is not None and not found:
        echo(f"No experiment in {home(out)} is older than {duration(older)}.", err=True)
        return
    if not yes and not _agreed(list(found.values())):
        echo("Nothing was removed.", err=True)
        return
    for experiment in found.values():
        remove(experiment)
        echo(f"removed {experiment.id}", err=True)


def _agreed(entries: list[Entry]) -> bool:
    """Ask whether to remove these, by name."""
    sizes = [bytes_in(entry.path) for entry in entries]
    for entry, each in zip(entries, sizes, strict=True):
        echo(f"  {entry.path} ({entry.state()}, {size(each)})", err=True)
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to ask on.", hint="Give --yes to remove without asking."
        )
    nouns = {each.noun.lower() for each in entries}
    how_many = counted(len(entries), nouns.pop()) if len(nouns) == 1 else f"{len(entries)}"
    what = f"these {how_many} ({size(sum(sizes))})"
    if len(entries) == 1:
        what = f"this {entries[0].noun.lower()}"
    return click.confirm(f"Remove {what}?", err=True)
