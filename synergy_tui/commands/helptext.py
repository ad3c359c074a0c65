"""Help of commands: it ends with examples and what exit codes mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click

from synergy_tui.errors import ExitCode


class Examples(click.Command):
    """A command whose ``--help`` ends with examples, line by line as they are typed.

    What follows `` # `` in an example is a comment. ``answers`` are the exit codes to list; the
    others are as for every command.
    """

    def __init__(
        self, *args: Any, examples: str, answers: Sequence[ExitCode] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = textwrap.dedent(examples).strip()
        self.answers = tuple(answers)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.answers:
            write_exit_codes(formatter, self.answers)
        with formatter.section("Examples"):
            for line in self.examples.splitlines():
                formatter.write(f"  {line}\n")


def write_exit_codes(formatter: click.HelpFormatter, codes: Iterable[ExitCode]) -> None:
    """Write what exit codes mean, as part of a command's help."""
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(int(code)), code.meaning) for code in codes])
