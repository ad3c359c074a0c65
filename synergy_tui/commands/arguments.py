"""Arguments and options that several commands share, with their completion."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click


def complete_experiments(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the experiments whose name begins with what was typed so far."""
    from synergy_tui.errors import UserError
    from synergy_tui.experiments.experiment import list_experiments

    try:
        names = [each.id for each in list_experiments(context.params.get("out"))]
    except UserError:  # completion has nobody to tell
        return []
    return [name for name in [*names, "last"] if name.startswith(incomplete)]


def experiments_argument(function: Any) -> Any:
    """Decorate a command with the argument ``NAME…``."""
    return click.argument(
        "names", nargs=-1, required=True, metavar="NAME…", shell_complete=complete_experiments
    )(function)


def experiment_argument(function: Any) -> Any:
    """Decorate a command with the argument ``NAME``."""
    return click.argument("name", metavar="NAME", shell_complete=complete_experiments)(function)


def out_option(function: Any) -> Any:
    """Decorate a command with ``--out DIR``, the folder of the experiments."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Folder of the experiments; else $SYNERGY_HOME, else the user data folder.",
    )(function)


class Real(click.FloatRange):
    """A number in a range; NaN, which is smaller and larger than nothing, is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuse NaN, and what the range refuses."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def json_option(function: Any) -> Any:
    """Decorate a command with ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One strict JSON object a line on stdout."
    )(function)
