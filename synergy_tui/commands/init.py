"""``synergy init``: write a commented scenario from a few questions or flags."""

from __future__ import annotations

import sys
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from synergy_tui.commands.arguments import Whole, whole_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import UserError
from synergy_tui.schemas import schema_path


def _head_counts(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Read counts as in ``1,8``."""
    if value is None:
        return None
    try:
        counts = tuple(int(each) for each in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"'{value}' is not numbers separated by commas, as in 1,8"
        ) from None
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
@whole_option("--length", "--nodes", least=2, help="Tokens per sequence, nodes per graph.")
@whole_option("--layers", help="Transformer blocks.")
@whole_option("--steps", help="Training steps.")
@whole_option("--seed", least=0, help="Seed of initialisation, data and graphs.")
@click.option("--title", help="One line about what it compares.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing; use defaults for what is not given.")
def command(
    file: Path,
    task: str | None,
    topology: str | None,
    force: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Write a commented scenario to FILE (scenario.toml; `-` for stdout).

    Asks a few questions when it is called without flags on a terminal. The scenario is checked
    before it is written, and an existing file is left alone without --force.
    """
    from synergy_tui.files import require_parent, write_output

    if task and topology:
        raise UserError("--task trains and --topology draws graphs: give one of them.")
    to_stdout = str(file) == "-"
    if not to_stdout and file.exists() and not force:
        raise UserError(f"{file} exists already.", hint="Overwrite it with --force.")
    require_parent(file)  # before anything is asked
    flags = any(value is not None for value in (task, topology, *given.values()))
    answers = (
        _ask()
        if not (flags or yes or to_stdout) and sys.stdin.isatty()
        else _from_flags(task, topology, given)
    )
    text = render_scenario(answers)
    if to_stdout:
        echo(text, nl=False)
        return
    write_output(file, text)
    echo(f"wrote {file}; run it with: synergy run {file}", err=True)


def _from_flags(task: str | None, topology: str | None, given: dict[str, Any]) -> Answers:
    values = {key: value for key, value in given.items() if value is not None}
    if topology:
        return Answers(task=None, topology=topology, **{"length": 32, "heads": (1, 4), **values})
    return Answers(task=task or "sort", **values)


def _ask() -> Answers:
    """Ask on the terminal, proposing an answer to every question."""
    from synergy_engine.topologies.catalogue import FAMILIES
    from synergy_trainer.tasks import TASKS

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
    at_least_2 = Whole(min=2)
    if not train:
        nodes = click.prompt("Nodes", type=at_least_2, default=32, err=True)
        return Answers(task=None, topology=what, heads=heads, length=nodes)
    length = click.prompt("Tokens per sequence", type=at_least_2, default=33, err=True)
    layers = click.prompt("Layers", type=Whole(min=1), default=1, err=True)
    steps = click.prompt("Training steps", type=Whole(min=1), default=600, err=True)
    return Answers(task=what, heads=heads, length=length, layers=layers, steps=steps)


_VOCABULARY = 16


@dataclass(frozen=True)
class Answers:
    """What a new scenario is to compare."""

    title: str = ""
    heads: Sequence[int] = (1, 8)  # of each run
    task: str | None = "sort"  # what Transformers learn; None for graphs drawn from `topology`
    topology: str | None = None
    length: int = 33  # tokens per sequence, or nodes per graph
    layers: int = 1
    steps: int = 600
    seed: int = 7


def run_names(heads: Sequence[int]) -> list[str]:
    """A name for each run: ``single-head`` and ``multi-head``, or ``heads-4``."""
    if len(heads) == 2 and heads[0] == 1:
        return ["single-head", "multi-head"]
    return ["single-head" if count == 1 else f"heads-{count}" for count in heads]


def render_scenario(answers: Answers) -> str:
    """Return the text of the scenario; a UserError lists everything that is wrong with it."""
    if len(set(answers.heads)) < len(answers.heads):
        raise UserError("Two runs would have the same number of heads.")
    text = _trained(answers) if answers.task else _designed(answers)
    from synergy_tui.scenario import parse_scenario

    parse_scenario(tomllib.loads(text), name="scenario", origin="the new scenario")
    return text


def _quoted(text: str) -> str:
    import json

    # JSON's escapes are TOML's, but for DEL, which JSON leaves bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _head(answers: Answers, title: str) -> str:
    return textwrap.dedent(
        f"""\
        #:schema {schema_path("scenario").as_uri()}
        # Check it: synergy validate FILE     Run it: synergy run FILE     In CI: add --no-ui
        title = {_quoted(answers.title or title)}
        seed = {answers.seed}                        # of initialisation, data and random graphs
        """
    )


def _trained(answers: Answers) -> str:
    from synergy_trainer.tasks import TASKS

    names = run_names(answers.heads)
    counts = " against ".join(map(str, answers.heads))
    train = textwrap.dedent(
        f"""
        [train]                         # what all runs share; the same batches for each
        # Tasks: {", ".join(TASKS)}
        task = {_quoted(str(answers.task))}
        length = {answers.length}                     # tokens per sequence
        vocabulary = {_VOCABULARY}                 # values a token takes
        layers = {answers.layers}
        embed = 64                      # width of the residual stream: heads share it
        mlp = 128
        steps = {answers.steps}
        batch = 64
        learning_rate = 2e-3
        probe_every = 20                # steps between measurements of the attention
        # precision = "bf16"            # faster where the processor has bfloat16 matrix units
        # probe_at = [1, 2, 5, 10]      # further steps to measure at

        # [analysis]                    # conventions; these are the defaults
        # convention = "theory"         # or "paper-code", "feedforward"
        # combine = "walks"             # or "attention"
        # epsilon = 0.25                # distance below which a walk counts as mixed
        # keep = "all"                  # attention on disk: or "last", "every:10", "none"
        """
    )
    runs = "".join(
        f'\n[[runs]]\nname = "{name}"\nheads = {count}\n'
        for name, count in zip(names, answers.heads, strict=True)
    )
    return _head(answers, f"{answers.task}: {counts} heads") + train + runs + _expectations(names)


def _expectations(names: Sequence[str]) -> str:
    """Expectations that hold for the right reason, and one to think about."""
    first, last = names[0], names[-1]
    text = textwrap.dedent(
        """
        # `synergy run --no-ui` exits with 1 when an expectation fails. Numbers of a run: loss,
        # accuracy, parameters, fidelity, hitting_time, mixing_time, amplification, mixing_gain …
        """
    )
    if first == last:
        return text + f'# [[expect]]\n# that = "{first}.loss < 1"\n'
    return text + (
        f'[[expect]]\nthat = "{first}.parameters == {last}.parameters"\n'
        'because = "heads share the width, so their number changes no parameter"\n'
        f'\n# [[expect]]\n# that = "{last}.fidelity > {first}.fidelity"\n'
    )


def _designed(answers: Answers) -> str:
    from synergy_engine.topologies.catalogue import FAMILIES

    topology = str(answers.topology)
    family = FAMILIES.get(topology)
    comments = "".join(
        f"#   {parameter.name}: {parameter.text} ({parameter.allowed()})\n"
        for parameter in (family.parameters if family else ())
    )
    text = _head(answers, f"{topology} graphs") + (
        f"\n# Nothing is trained: heads are drawn from the family {topology}. Its parameters go\n"
        "# into `graph`, and so does diversity (0: identical heads, 1: all redrawn):\n" + comments
    )
    for name, count in zip(run_names(answers.heads), answers.heads, strict=True):
        graph = f"topology = {_quoted(topology)}, nodes = {answers.length}"
        text += f'\n[[runs]]\nname = "{name}"\nheads = {count}\ngraph = {{ {graph} }}\n'
        text += '# weights = "optimal"           # or "uniform", or a number for each head\n'
    first = run_names(answers.heads)[0]
    return text + (
        "\n# `synergy run --no-ui` exits with 1 when an expectation fails.\n"
        f'# [[expect]]\n# that = "{first}.hitting_time < 100"\n'
    )
