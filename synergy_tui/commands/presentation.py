"""How commands show things: help with examples, strict JSON lines, tables, numbers for people."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click

from synergy_tui.errors import ExitCode


class Examples(click.Command):
    """A command whose ``--help`` ends with examples, line by line as they are typed.

    Parameters
    ----------
    examples
        One a line, as they are typed; what follows `` # `` is a comment.
    answers
        The exit codes that need saying; the others are as for every command.
    """

    def __init__(
        self, *args: Any, examples: str, answers: Sequence[ExitCode] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = textwrap.dedent(examples).strip()
        self.answers = tuple(answers)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes, and the examples without wrapping them."""
        if self.answers:
            write_exit_codes(formatter, self.answers)
        with formatter.section("Examples"):
            for line in self.examples.splitlines():
                formatter.write(f"  {line}\n")


def write_exit_codes(formatter: click.HelpFormatter, codes: Iterable[ExitCode]) -> None:
    """Write what exit codes mean, as part of a command's help."""
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(int(code)), code.meaning) for code in codes])


def json_line(value: Any) -> str:
    """Return ``value`` as one line of strict JSON; infinite and missing numbers are strings."""
    from synergy_tui.experiments.events import encode

    return encode(value).decode().rstrip("\n")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    wrap: Sequence[str] = (),
) -> None:
    """Print a table on stdout; on a terminal too narrow for it, a block of lines for each row.

    Parameters
    ----------
    columns
        Headings; a line break in one is kept where there is room for a table.
    rows
        One text a column.
    left
        How many columns, from the first, hold words (left-aligned); the others hold numbers.
    wrap
        Columns that may wrap, by heading; the others are never cut.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    widths = []
    for index, heading in enumerate(columns):
        may_wrap = heading in wrap
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=not may_wrap)
        cells = [*heading.split("\n"), *(row[index] for row in rows)]
        widths.append(20 if may_wrap else max(map(len, cells)))
    if sys.stdout.isatty() and sum(widths) + 3 * len(widths) > shutil.get_terminal_size().columns:
        _print_blocks([heading.replace("-\n", "").replace("\n", " ") for heading in columns], rows)
        return
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def _print_blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows one below the other, a line for each value."""
    indent = max(map(len, columns))
    for row in rows:
        click.echo()
        for heading, value in zip(columns, row, strict=True):
            click.echo(f"  {heading:<{indent}}  {value}")


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
