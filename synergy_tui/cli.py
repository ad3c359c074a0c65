"""The ``synergy`` and ``synergy-tui`` commands: names and exit codes.

Each command lives in a module of its own under :mod:`synergy_tui.commands` and is imported when it
is called, so that ``synergy --help`` and the light commands import neither torch nor numba nor
textual.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import importlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from synergy_tui import __version__
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError, nearest
from synergy_tui.streams import leave_stdout, open_streams

# Name → one-line help, in the order a newcomer meets them. Listing them here loads no command.
COMMANDS = {
    "run": "Run a scenario: with the app, or headless with --no-ui.",
    "sweep": "Run the grid of a scenario's [sweep], here or on a Ray cluster.",
    "analyze": "Measure attention, graph files or checkpoints you already have.",
    "report": "Write the evidence of experiments as one HTML file and Markdown.",
    "measure": "Measure finished runs further: layers in order, the condition, ablation.",
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
    "schema": "Print the JSON Schema of scenarios, events, analyses or reports.",
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
    """Run a click command and turn what it returns or raises into an exit code of the table."""
    try:
        result = _run(command, list(sys.argv[1:] if args is None else args), name)
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
        leave_stdout()
        if isinstance(error, BrokenPipeError):  # the reader (`| head`) has what it wanted
            return int(ExitCode.OK)
        # Whatever a command did not foresee about files: a sentence, never a traceback.
        what = f"{error.filename}: " if error.filename else ""
        _print_error(f"{name}: {what}{error.strerror or error}.")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        return int(ExitCode.RUN_FAILED if full else ExitCode.BAD_INPUT)
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            return int(ExitCode.OK)  # how rich leaves with its reader
        # Python would exit with 1, which here means that an expectation failed.
        import traceback

        _print_error(f"{traceback.format_exc()}{name}: this is a bug in Synergy; please report it")
        return int(ExitCode.RUN_FAILED)
    code = result if isinstance(result, int) else int(ExitCode.OK)
    return code if code in set(ExitCode) else int(ExitCode.RUN_FAILED)


def _run(command: click.Command, args: list[str], name: str) -> Any:
    """Run a command as its own ``main`` would, but leave every exit code to :func:`_invoke`.

    ``main`` itself exits with 1 when a reader has gone, and takes the end of a file for Ctrl-C.
    """
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    if instruction := os.environ.get(variable):
        from click.shell_completion import shell_complete

        failed = shell_complete(command, {}, name, variable, instruction)
        return ExitCode.BAD_INPUT if failed else ExitCode.OK
    try:
        with command.make_context(name, args) as context:
            return command.invoke(context)
    except click.exceptions.Exit as left:  # --help and --version
        return ExitCode.RUN_FAILED if left.exit_code else ExitCode.OK


def _print_error(text: str) -> None:
    """Write to stderr; where even that fails, the exit code has to be enough."""
    with contextlib.suppress(OSError):
        echo(text, err=True)


def _begin(name: str) -> None:
    if sys.platform == "win32":
        # Before anything that Windows lacks is used; and there, signals end what they should ask.
        _print_error(f"{name}: Windows is not supported; run it in WSL (`wsl --install`).")
        sys.exit(int(ExitCode.BAD_INPUT))
    open_streams()
    # Registered first, so called last: no handler of ours runs after it.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _exit(code: int) -> NoReturn:
    """Exit with ``code``, whatever comes during Python's own end.

    Ctrl-C makes it shorter, and is ignored where no handler could run any more. What stdout still
    contains when its reader has gone would make Python exit with 120.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    try:
        sys.stdout.flush()
    except OSError:
        leave_stdout()
    sys.exit(code)


def main(args: Sequence[str] | None = None) -> None:
    _begin("synergy")
    _exit(_invoke(synergy, args, "synergy"))


def tui(args: Sequence[str] | None = None) -> None:
    """Entry point of ``synergy-tui``: the app, on a scenario or on a picker."""
    _begin("synergy-tui")
    given = list(sys.argv[1:] if args is None else args)
    if given and given[0] in COMMANDS and not Path(given[0]).exists():
        meant = shlex.join(["synergy", *given])
        _print_error(f"synergy-tui: {given[0]} is a command, not a scenario.\n  Use `{meant}`.")
        _exit(int(ExitCode.BAD_INPUT))
    from synergy_tui.commands.tui import command

    _exit(_invoke(command, given, "synergy-tui"))
