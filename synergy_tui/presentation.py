"""How commands show things: help with examples, strict JSON lines, tables, numbers for people."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.text import Text


class Examples(click.Command):
    """A command whose ``--help`` ends with examples, line by line as they are typed."""

    def __init__(self, *args: Any, examples: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = textwrap.dedent(examples).strip()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples without wrapping them."""
        with formatter.section("Examples"):
            for line in self.examples.splitlines():
                formatter.write(f"  {line}\n")


def json_line(value: Any) -> str:
    """Return ``value`` as one line of strict JSON; infinite and missing numbers are strings."""
    from synergy_tui.events import encode

    return encode(value).decode().rstrip("\n")


def number(value: Any, digits: int = 4) -> str:
    """Return a number for a person, or ``–`` for what is not known.

    Four significant digits, thousands separated, ``∞`` for infinite; text (such as ``> 10000``)
    stays as it is.
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return {"inf": "∞", "-inf": "−∞", "nan": "–"}.get(str(value), str(value))
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def ago(seconds: float) -> str:
    """Return a duration for a person: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(seconds, 0))} s"


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    title: str | None = None,
    left: int = 1,
    wrap: Sequence[str] = (),
) -> None:
    """Print a table on stdout.

    Parameters
    ----------
    columns
        Headings.
    rows
        One text a column.
    title
        A line above the table.
    left
        How many columns, from the first, hold words (left-aligned); the others hold numbers.
    wrap
        Columns that may wrap, by heading; the others are never cut.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for index, heading in enumerate(columns):
        table.add_column(
            heading,
            justify="left" if index < left else "right",
            no_wrap=heading not in wrap,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def print_rich(renderable: Any) -> None:
    """Print with rich on stdout: plain and unlimited in width where that is no terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 10_000
    console = Console(
        file=sys.stdout,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        no_color=bool(os.environ.get("NO_COLOR")) or not terminal,
    )
    if terminal:
        console.print(renderable)
        return
    # A wide console pads nothing but titles and rules; scripts do not want trailing blanks.
    with console.capture() as capture:
        console.print(renderable)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def clean(text: str) -> str:
    """Return text from a file without control characters, which would steer the terminal."""
    return "".join(each if each.isprintable() else "�" for each in text)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, keys joined by dots; lists stay out."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        elif not isinstance(item, list):
            flat[f"{prefix}{key}"] = item
    return flat
