"""The ``synergy`` and ``synergy-tui`` commands: names and exit codes.

Each command lives in a module of its own under :mod:`synergy_tui.commands` and is imported when it
is called, so that ``synergy --help`` and the light commands import neither torch nor numba nor
textual.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from synergy_tui import __version__
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError, nearest

# Name → one-line help, in the order a newcomer meets them. Listing them here loads no command.
COMMANDS = {
    "run": "Run a scenario: with the app, or headless with --no-ui.",
    "sweep": "Run the grid of a scenario's [sweep], here or on a Ray cluster.",
    "analyze": "Measure attention, graph files or checkpoints you already have.",
    "report": "Write the evidence of experiments as one HTML file and Markdown.",
    "ls": "List experiments.",
    "show": "Show one experiment: runs, numbers, verdict.",
    "compare": "Show the runs of several experiments side by side.",
    "attach": "Open the app on a running experiment.",
    "replay": "Open the app on a finished experiment.",
    "stop": "Ask a running experiment to checkpoint and stop.",
    "resume": "Continue a stopped or dead experiment.",
    "export": "Write metrics, attention, graphs and figures to files.",
    "rm": "Remove experiments (asks first).",
    "init": "Write a commented scenario from a few questions or flags.",
    "validate": "Check scenario files without running them.",
    "doctor": "Show what this machine offers.",
    "completion": "Print the completion script for bash, zsh or fish.",
    "schema": "Print the JSON Schema of scenarios, events or analyses.",
}


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import ``synergy_tui.commands.<name>`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"synergy_tui.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from synergy_tui.commands.helptext import write_exit_codes

        write_exit_codes(formatter, ExitCode)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, suggesting the nearest command for a typo."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = nearest(name, COMMANDS)
            hint = f" Did you mean '{near}'?" if near else " `synergy --help` lists them."
            raise click.UsageError(f"There is no command '{name}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="synergy")
def synergy() -> None:
    """See, measure and verify how information propagates over attention heads."""


def _invoke(command: click.Command, args: Sequence[str] | None, name: str) -> int:
    """Run a click command and turn what it raises into an exit code."""
    try:
        result: Any = command.main(args=args, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        _print_error(f"{name}: {error.message}")
        if error.hint:
            _print_error(f"  {error.hint}")
        return int(error.exit_code)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        _print_error(text.getvalue().rstrip("\n"))
        return int(ExitCode.BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted")
        return int(ExitCode.INTERRUPTED)
    except OSError as error:
        from synergy_tui.files import leave_stdout

        leave_stdout()
        if isinstance(error, BrokenPipeError):  # the reader (`| head`) has what it wanted
            return int(ExitCode.OK)
        # Whatever a command did not foresee about files: a sentence, never a traceback.
        what = f"{error.filename}: " if error.filename else ""
        _print_error(f"{name}: {what}{error.strerror or error}.")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        return int(ExitCode.RUN_FAILED if full else ExitCode.BAD_INPUT)
    except Exception:
        # Python would exit with 1, which here means that an expectation failed.
        import traceback

        _print_error(f"{traceback.format_exc()}{name}: this is a bug in Synergy; please report it")
        return int(ExitCode.RUN_FAILED)
    return int(result) if isinstance(result, int) else int(ExitCode.OK)


def _print_error(text: str) -> None:
    """Write to stderr; where even that fails, the exit code has to be enough."""
    with contextlib.suppress(OSError):
        echo(text, err=True)


def _open_missing_streams() -> None:
    """Open what the caller closed (``>&-``): the next file opened must not become stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def main(args: Sequence[str] | None = None) -> None:
    _open_missing_streams()
    sys.exit(_invoke(synergy, args, "synergy"))


def tui(args: Sequence[str] | None = None) -> None:
    """Entry point of ``synergy-tui``: the app, on a scenario or on a picker."""
    from synergy_tui.commands.tui import command

    _open_missing_streams()
    sys.exit(_invoke(command, args, "synergy-tui"))
