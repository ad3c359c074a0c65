"""``synergy init``: write a commented scenario from a few questions or flags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synergy_tui.errors import UserError
from synergy_tui.presentation import Examples

if TYPE_CHECKING:
    from synergy_tui.scaffold import Answers


def _head_counts(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Read ``1,8``."""
    if value is None:
        return None
    try:
        counts = tuple(int(each) for each in value.split(","))
    except ValueError:
        raise click.BadParameter(f"'{value}' is not numbers parted by commas, as in 1,8") from None
    if min(counts) < 1:
        raise click.BadParameter("a run has at least one head")
    return counts


@click.command(
    cls=Examples,
    examples="""\
    synergy init                                  # asks, writes scenario.toml
    synergy init sort.toml --task sort --heads 1,2,8 --steps 300
    synergy init graphs.toml --topology sliding_window --nodes 64 --heads 1,4
    synergy init - --task copy | synergy validate /dev/stdin
    """,
)
@click.argument(
    "file",
    type=click.Path(path_type=Path, allow_dash=True),
    default="scenario.toml",
    required=False,
)
@click.option("--task", help="Train Transformers on this task, as in sort, copy, cycle.")
@click.option(
    "--topology", help="Or draw graphs of this family, as in sliding_window; no training."
)
@click.option("--heads", metavar="1,8", callback=_head_counts, help="Head counts, one run each.")
@click.option(
    "--length",
    "--nodes",
    type=click.IntRange(min=2),
    metavar="N",
    help="Tokens a sequence, nodes a graph.",
)
@click.option("--layers", type=click.IntRange(min=1), metavar="N", help="Transformer blocks.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Training steps.")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Of initialisation, data and graphs."
)
@click.option("--title", help="One line about what it compares.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing; defaults for what is not given.")
def command(
    file: Path,
    task: str | None,
    topology: str | None,
    force: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Write a commented scenario to FILE (scenario.toml; `-` for stdout).

    Asks a few questions when it is called without flags on a terminal. What it writes is checked
    first, and an existing file is left alone without --force.
    """
    from synergy_tui.output import write_output
    from synergy_tui.scaffold import render_scenario

    if task and topology:
        raise UserError("--task trains and --topology draws graphs: give one of them.")
    to_stdout = str(file) == "-"
    if not to_stdout and file.exists() and not force:
        raise UserError(f"{file} exists already.", hint="Overwrite it with --force.")
    flags = any(value is not None for value in (task, topology, *given.values()))
    answers = (
        _ask()
        if not (flags or yes or to_stdout) and sys.stdin.isatty()
        else _from_flags(task, topology, given)
    )
    text = render_scenario(answers)
    if to_stdout:
        click.echo(text, nl=False)
        return
    write_output(file, text)
    click.echo(f"wrote {file}; run it with: synergy run {file}", err=True)


def _from_flags(task: str | None, topology: str | None, given: dict[str, Any]) -> Answers:
    from synergy_tui.scaffold import Answers

    values = {key: value for key, value in given.items() if value is not None}
    if topology:
        return Answers(task=None, topology=topology, **{"length": 32, "heads": (1, 4), **values})
    return Answers(task=task or "sort", **values)


def _ask() -> Answers:
    """Ask on the terminal, with an answer proposed to every question."""
    from engine.catalogue import FAMILIES
    from synergy_tui.scaffold import Answers
    from trainer.catalogue import TASKS

    train = click.confirm("Train Transformers? (else: graphs)", default=True, err=True)
    names = list(TASKS) if train else list(FAMILIES)
    what = click.prompt(
        "Which task" if train else "Which family",
        type=click.Choice(names),
        default="sort" if train else "sliding_window",
        err=True,
    )
    heads = click.prompt(
        "Head counts, one run each",
        default="1,8" if train else "1,4",
        value_proc=lambda value: _head_counts(None, None, value),  # type: ignore[arg-type]
        err=True,
    )
    at_least_2 = click.IntRange(min=2)
    if not train:
        nodes = click.prompt("Nodes", type=at_least_2, default=32, err=True)
        return Answers(task=None, topology=what, heads=heads, length=nodes)
    length = click.prompt("Tokens a sequence", type=at_least_2, default=33, err=True)
    layers = click.prompt("Layers", type=click.IntRange(min=1), default=1, err=True)
    steps = click.prompt("Training steps", type=click.IntRange(min=1), default=600, err=True)
    return Answers(task=what, heads=heads, length=length, layers=layers, steps=steps)
