"""Arguments and options that several commands share, with their completion."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def complete_experiments(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the experiments and sweeps whose name begins with what was typed so far."""
    from synergy_tui.errors import UserError
    from synergy_tui.sweep.entries import list_entries

    try:
        names = [each.id for each in list_entries(context.params.get("out"))]
    except UserError:  # nothing can be printed while the shell completes
        return []
    return [name for name in [*names, "last"] if name.startswith(incomplete)]


class Real(click.FloatRange):
    """A number in a range; NaN, which compares with nothing, is refused."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number in a range, and called so where it is not one."""

    name = "whole number"


class Age(click.ParamType[float]):
    """A length of time as people write it (``12h``, ``30d``, ``8w``), in seconds."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        match = re.fullmatch(r"(\d{1,6})([hdw])", str(value))
        if match is None:
            self.fail(f"'{value}' is not an age like 12h, 30d or 8w.", param, ctx)
        return int(match[1]) * {"h": 3600.0, "d": 86400.0, "w": 604800.0}[match[2]]


def _device(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise click.BadParameter(f"'{value}' is not one of auto, cpu, cuda, cuda:0 …, mps.")
    return value


experiment_argument = click.argument("name", metavar="NAME", shell_complete=complete_experiments)

experiments_argument = click.argument(
    "names", nargs=-1, required=True, metavar="NAME…", shell_complete=complete_experiments
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the experiments; else $SYNERGY_HOME, else the user data folder.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print strict JSON on stdout, one object per line."
)
no_ui_option = click.option(
    "--no-ui", is_flag=True, help="Stay in the foreground, without the app."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print only what went wrong.")
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the scenario; may be given several times.",
)
timeout_option = click.option(
    "--timeout",
    type=Real(min=0, min_open=True),
    metavar="SECONDS",
    help="Write a checkpoint and end after this time, with exit code 3.",
)
ascii_option = click.option(
    "--ascii", "ascii_only", is_flag=True, default=None, help="Draw with ASCII characters only."
)


def whole_option(
    *names: str,
    help: str,
    least: int = 1,
    most: int | None = None,
    default: int | None = None,
    metavar: str = "N",
) -> Any:
    """An option that takes a whole number in a range."""
    return click.option(
        *names,
        type=Whole(least, most),
        metavar=metavar,
        default=default,
        show_default=default is not None,
        help=help,
    )


def file_option(*names: str, help: str, metavar: str = "FILE", multiple: bool = False) -> Any:
    """An option that takes the path of a file, or of a folder where ``metavar`` says so."""
    return click.option(
        *names, type=click.Path(path_type=Path), metavar=metavar, help=help, multiple=multiple
    )


def where_option(help: str) -> Any:
    """The option ``--device``; ``help`` says what happens there."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda|mps",
        callback=_device,
        help=help,
    )


device_option = where_option("Where to train; cuda:1 is the second GPU.")


def with_options(*options: Any) -> Any:
    """Return a decorator that gives a command these options, listed in this order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


run_options = with_options(
    no_ui_option, json_option, quiet_option, device_option, timeout_option, ascii_option
)
"""Options of a command that runs an experiment, with the app or without it."""
