"""``synergy completion``: the script that completes commands, options and files in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from synergy_tui.commands.presentation import Examples


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
def command(shell: str, program: str) -> None:
    """Print the completion script for SHELL, to be kept where the shell looks for it.

    The script asks the program itself, so it knows new commands and options without being made
    again.
    """
    from synergy_tui.cli import synergy

    group: click.Command = synergy
    if program == "synergy-tui":
        from synergy_tui.commands.tui import command as tui

        group = tui
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    completer = get_completion_class(shell)
    assert completer is not None, f"click has no completion for {shell}"
    click.echo(_source(completer, group, program, variable), nl=False)


def _source(completer: type, group: click.Command, program: str, variable: str) -> str:
    """Return the script; click would start bash to learn its version, which may be absent here."""
    complete = completer(group, {}, program, variable)
    text: str = complete.source_template % complete.source_vars()
    return text if text.endswith("\n") else text + "\n"
