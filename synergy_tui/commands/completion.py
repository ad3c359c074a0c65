"""``synergy completion``: the script that completes commands, options and files in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo


@click.command(
    cls=Examples,
    examples="""\
    synergy completion bash > ~/.local/share/bash-completion/completions/synergy
    synergy completion zsh > "${fpath[1]}/_synergy"
    synergy completion fish > ~/.config/fish/completions/synergy.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option(
    "--program",
    type=click.Choice(["synergy", "synergy-tui"]),
    default="synergy",
    show_default=True,
    help="The program to complete.",
)
@click.pass_context
def command(context: click.Context, shell: str, program: str) -> None:
    """Print the completion script for SHELL; keep it where the shell looks for such scripts.

    The script asks the program itself, so it knows new commands and options without being
    generated again.
    """
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    completer = get_completion_class(shell)
    assert completer is not None, f"click has no completion for {shell}"
    # Click fills the script in from the names alone, whatever the command. Its own `source` starts
    # bash to learn its version, and bash may be absent here.
    complete = completer(context.command, {}, program, variable)
    text = complete.source_template % complete.source_vars()
    echo(text.rstrip("\n"))
