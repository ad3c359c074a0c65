"""``synergy export``: metrics, attention, graphs and figures as files."""

from __future__ import annotations

from pathlib import Path

import click

from synergy_tui.commands.arguments import Real, experiments_argument, out_option, whole_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import UserError, as_user_errors, require

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(
    cls=Examples,
    examples="""\
    synergy export last --metrics metrics.csv
    synergy export monday tuesday --metrics both.parquet      # extra: parquet
    synergy export last --figures figures/ --format svg,pdf   # extra: figures
    synergy export last --tensorboard logs/                   # extra: tensorboard
    synergy export last --run multi-head --step 200 --attention attention.safetensors
    synergy export last --graph heads.graphml --layer 1 --threshold 0.01
    synergy export last --metrics - | head                    # CSV on stdout
    """,
)
@experiments_argument
@click.option(
    "--metrics", type=_FILE, metavar="FILE", help="Losses and measures: .csv, .parquet, or `-`."
)
@click.option("--tensorboard", type=_FOLDER, metavar="DIR", help="Scalars as event files.")
@click.option(
    "--attention",
    type=_FILE,
    metavar="FILE",
    help="Attention of one run: .safetensors, .npz or .npy.",
)
@click.option(
    "--graph", type=_FILE, metavar="FILE", help="Heads of one layer: .graphml, .gml or .json."
)
@click.option("--figures", type=_FOLDER, metavar="DIR", help="Publication figures.")
@click.option(
    "--format",
    "formats",
    default="svg",
    show_default=True,
    metavar="svg,pdf,png",
    help="Formats of the figures, separated by commas.",
)
@click.option("--run", metavar="RUN", help="Run of --attention and --graph.  [default: the last]")
@whole_option(
    "--step", least=0, help="Training step of them: the last probe by then.  [default: the newest]"
)
@whole_option("--layer", default=1, help="Layer of --graph.")
@whole_option("--input", "example", least=0, default=0, help="Input of --graph.")
@click.option(
    "--threshold",
    type=Real(min=0),
    metavar="X",
    default=0.0,
    show_default=True,
    help="Leave edges of this weight or less out of --graph.",
)
@out_option
def command(
    names: tuple[str, ...],
    metrics: Path | None,
    tensorboard: Path | None,
    attention: Path | None,
    graph: Path | None,
    figures: Path | None,
    formats: str,
    run: str | None,
    step: int | None,
    layer: int,
    example: int,
    threshold: float,
    out: Path | None,
) -> None:
    """Write what experiments measured as files for other tools.

    The metrics table has one row per training step, per layer of each probe (and "overall"), and
    per head; times are in diffusion steps, inf where they were not reached within max_steps.
    """
    from synergy_tui.experiments.attention import find_snapshot
    from synergy_tui.export.attention import (
        GRAPHS,
        TENSORS,
        head_graph,
        write_attention,
        write_graph,
    )
    from synergy_tui.export.metrics import TABLES, rows, write_metrics
    from synergy_tui.files import STDOUT, require_parent, require_writable
    from synergy_tui.sweep.entries import find_one_experiment

    if not (metrics or tensorboard or attention or graph or figures):
        raise UserError(
            "There is nothing to export.",
            hint="Give --metrics, --tensorboard, --attention, --graph or --figures.",
        )
    experiments = [find_one_experiment(name, out) for name in names]
    if len(experiments) > 1 and (attention or graph):
        raise UserError("--attention and --graph take one experiment.")
    states = [each.fold() for each in experiments]
    with as_user_errors():
        # Everything that can be refused is refused before the first file is written.
        chosen = _formats(formats)
        for file, suffixes in (
            (metrics if metrics != STDOUT else None, TABLES),
            (attention, TENSORS),
            (graph, GRAPHS),
        ):
            if file is not None and file.suffix.lower() not in suffixes:
                known = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
                raise UserError(f"{file}: this is written as {known}.")
        for place in (metrics, attention, graph):
            if place is not None:
                require_writable(place)
        for place in (figures, tensorboard):
            if place is not None:
                require_parent(place)
        if metrics and metrics.suffix.lower() == ".parquet":
            require("pyarrow", "parquet")
        if tensorboard:
            require("tensorboard", "tensorboard")
        if figures:
            require("matplotlib", "figures")
        kept = find_snapshot(experiments[0], states[0], run, step) if attention or graph else None
        made = None
        if graph and kept:
            made = head_graph(kept, layer=layer, example=example, threshold=threshold)
        if figures:
            from synergy_tui.export.figures import write_figures

            for one, state in zip(experiments, states, strict=True):
                for path in write_figures(figures, one, state, chosen):
                    echo(f"wrote {path}", err=True)
        if tensorboard:
            from synergy_tui.export.tensorboard import write_tensorboard

            for one, state in zip(experiments, states, strict=True):
                count = write_tensorboard(tensorboard, one, state)
                echo(f"wrote {tensorboard / one.id}: {count} scalars", err=True)
        if metrics:
            pairs = zip(experiments, states, strict=True)
            table = (row for one, state in pairs for row in rows(one.id, state))
            count = write_metrics(metrics, table)
            if metrics != STDOUT:
                echo(f"wrote {metrics}: {count} rows", err=True)
        if attention and kept:
            write_attention(attention, kept)
            echo(f"wrote {attention}: {kept.run}, step {kept.step:,}", err=True)
        if graph and kept and made is not None:
            write_graph(graph, made)
            which = f"{kept.run}, step {kept.step:,}, layer {layer}"
            echo(f"wrote {graph}: {which}, {made.number_of_edges():,} edges", err=True)


def _formats(given: str) -> tuple[str, ...]:
    from synergy_tui.drawing import FORMATS

    chosen = tuple(each.strip() for each in given.split(","))
    unknown = [each for each in chosen if each not in FORMATS]
    if unknown:
        raise UserError(f"--format {given}: figures are drawn as {', '.join(FORMATS)}.")
    return chosen
