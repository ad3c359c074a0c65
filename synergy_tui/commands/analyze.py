"""``synergy analyze``: measure attention, graphs and checkpoints that people already have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synergy_tui.commands.arguments import Real, json_option
from synergy_tui.commands.presentation import Examples, json_line
from synergy_tui.errors import UserError, as_user_errors

if TYPE_CHECKING:
    from synergy_tui.analyze.measure import Options
    from synergy_tui.analyze.sources import Inputs, Source

_CONVENTIONS = ("theory", "paper-code", "feedforward")


@click.command(
    cls=Examples,
    examples="""\
    synergy analyze attention.npy
    synergy analyze layers.safetensors --convention all --details
    synergy analyze graph.graphml --weights optimal --top-paths 5 --source 0
    synergy analyze 8_heads_copy.pt --heads 8 --inputs 50 --json | jq .fidelity.minimax
    synergy analyze attention.npz --tensor 'copy_h8_l*' --weights 0.1,0.2,0.1,0.1,0.1,0.1,0.2,0.1
    synergy analyze --model ./my-gpt2 --text "The quick brown fox jumps over the lazy dog"
    """,
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]…")
@click.option(
    "--heads", type=click.IntRange(min=1), metavar="N", help="Heads of a checkpoint that hides it."
)
@click.option("--tensor", metavar="NAME", help="Tensor(s) to read from a file that holds several.")
@click.option("--tokens", metavar="IDS|FILE", help="Inputs of a checkpoint: 3,1,2 or a file.")
@click.option(
    "--inputs",
    "count",
    type=click.IntRange(min=1),
    metavar="N",
    default=16,
    show_default=True,
    help="How many inputs to draw for a checkpoint.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="For them.",
)
@click.option("--together", is_flag=True, help="Files are inputs of one model: means, intervals.")
@click.option(
    "--self-loops",
    type=click.Choice(["add", "keep"]),
    default="add",
    show_default=True,
    help="Of graph files: add missing ones, or take the file as it is.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A local Hugging Face model directory (extra hf).",
)
@click.option("--text", "texts", multiple=True, help="What the model reads; may be repeated.")
@click.option(
    "--length", type=click.IntRange(min=2), metavar="N", help="Cut texts to so many tokens."
)
@click.option(
    "--convention",
    "conventions",
    multiple=True,
    type=click.Choice([*_CONVENTIONS, "all"]),
    help="What exactly is counted; may be repeated.  [default: theory]",
)
@click.option(
    "--combine",
    type=click.Choice(["walks", "attention"]),
    default="walks",
    show_default=True,
    help="Mix the heads' walks, or their attention first.",
)
@click.option(
    "--weights",
    metavar="uniform|learned|optimal|0.2,0.8|FILE",
    help="Head weights.  [default: learned where known, else uniform]",
)
@click.option(
    "--epsilon",
    type=Real(min=0, max=1, min_open=True, max_open=True),
    metavar="X",
    default=0.25,
    show_default=True,
    help="Distance below which a walk counts as mixed.",
)
@click.option(
    "--max-steps",
    type=click.IntRange(min=1, max=10_000_000),
    metavar="N",
    default=10_000,
    show_default=True,
    help="Where mixing times are given up.",
)
@click.option("--renormalise", is_flag=True, help="Divide attention rows by their sums.")
@click.option(
    "--top-paths",
    type=click.IntRange(min=0, max=1000),
    default=0,
    metavar="K",
    help="The K strongest paths to the sink, with the head of each step.",
)
@click.option(
    "--source", metavar="NODE", help="From this node (name or number), else the faintest."
)
@click.option("--details", is_flag=True, help="Every head and every bound in tables too.")
@json_option
def command(
    files: tuple[Path, ...],
    heads: int | None,
    tensor: str | None,
    tokens: str | None,
    count: int,
    seed: int,
    together: bool,
    self_loops: str,
    model: Path | None,
    texts: tuple[str, ...],
    length: int | None,
    conventions: tuple[str, ...],
    combine: str,
    weights: str | None,
    epsilon: float,
    max_steps: int,
    renormalise: bool,
    top_paths: int,
    source: str | None,
    details: bool,
    as_json: bool,
) -> None:
    """Measure how soon and how clearly information reaches the sink, in what you already have.

    FILE is attention (.npy, .npz, .safetensors: (n,n), (H,n,n), (L,H,n,n) or (B,L,H,n,n), rows are
    queries), a graph (GraphML, GML, node-link JSON, edge list, Matrix Market), or a Transformer
    checkpoint (Synergy's own, or those published with arXiv 2507.02944).

    With --json, one object a layer, then one with "layer": "overall", for each convention. Infinite
    numbers are the string "inf"; a mixing time not reached is "> 10000".
    """
    from synergy_tui.analyze.measure import Options
    from synergy_tui.analyze.sources import Inputs, read_tokens

    options = Options(
        conventions=_CONVENTIONS if "all" in conventions else (conventions or ("theory",)),
        combine=combine,
        weights=weights,
        epsilon=epsilon,
        max_steps=max_steps,
        renormalise=renormalise,
        top_paths=top_paths,
        source=source,
    )
    if not files and model is None:
        raise UserError("There is nothing to measure.", hint="Name a FILE, or --model DIR.")
    if bool(texts) != (model is not None):
        raise UserError("--model DIR and --text go together.")
    inputs = Inputs(
        heads=heads,
        tokens=None if tokens is None else read_tokens(tokens),
        count=count,
        seed=seed,
        tensor=tensor,
        self_loops=self_loops,
        renormalise=renormalise,
    )
    with as_user_errors():
        for each in _sources(files, model, texts, length, inputs, together):
            _measure(each, options, details=details, as_json=as_json)


def _sources(
    files: tuple[Path, ...],
    model: Path | None,
    texts: tuple[str, ...],
    length: int | None,
    inputs: Inputs,
    joined: bool,
) -> list[Source]:
    """Read everything before anything is measured, so that a typo costs no waiting."""
    from synergy_tui.analyze.sources import read_source, together

    found = []
    for file in files:
        with as_user_errors(str(file)):
            found.append(read_source(file, inputs))
    if joined and found:
        found = [together(found)]
    if model is not None:
        from synergy_tui.analyze.huggingface import read_model

        found.append(read_model(model, texts, length=length))
    return found


def _measure(source: Source, options: Options, *, details: bool, as_json: bool) -> None:
    from synergy_tui.analyze.measure import measure
    from synergy_tui.commands.analyze_table import show

    with as_user_errors(source.name):
        if as_json:
            for record in measure(source, options):
                click.echo(json_line(record))
        else:
            show(list(measure(source, options)), source.notes, details=details)
