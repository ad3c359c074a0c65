"""``synergy analyze``: measure attention, graphs and checkpoints that people already have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click

from synergy_engine.analysis.convention import ConventionName
from synergy_tui.analyze.listing import node_name
from synergy_tui.commands.arguments import Real, json_option, whole_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.models import model_options, take_model_options
from synergy_tui.commands.nulls import over_shuffled, print_nulls, shuffled
from synergy_tui.commands.presentation import COLUMNS_READ, json_line, print_note, print_table
from synergy_tui.commands.reading import NAMES, reading_options
from synergy_tui.commands.reasons import print_layered, print_reasons
from synergy_tui.console import echo
from synergy_tui.errors import UserError, as_user_errors
from synergy_tui.words import bound_name, counted, number

if TYPE_CHECKING:
    from synergy_tui.analyze.measure import Options
    from synergy_tui.analyze.sources import Inputs, Source

Record = dict[str, Any]
_CONVENTIONS = get_args(ConventionName)
GAMMAS = ("half", "one", "norm")


# Columns of the table of layers that a narrow terminal does without, the first ones first.
_SPARE = (
    "mean L1\nmixing",
    "median\narrival",
    "best\nhead",
    "fidelity\nx nodes",
    "diver-\nsity",
    "held-out\namplif.",
    "mixing\ngain",
)


class Shown(NamedTuple):
    """How what was measured is printed."""

    as_json: bool
    details: bool
    wide: bool


class Gamma(click.ParamType):
    """The share of attention beside the residual path: a name, or a number."""

    name = "half|one|norm|0.25"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | float:
        if value in GAMMAS:
            return str(value)
        with suppress(ValueError):
            if 0 < float(value) <= 1:
                return float(value)
        return self.fail(f"'{value}' is not half, one, norm or a number from 0 to 1.", param, ctx)


@click.command(
    cls=Examples,
    examples="""\
    synergy analyze attention.npy
    synergy analyze layers.safetensors --convention all --details
    synergy analyze graph.graphml --weights optimal --top-paths 5 --source 0
    synergy analyze graph.graphml --why
    synergy analyze layers.safetensors --why --gamma half --gamma one
    synergy analyze 8_heads_copy.pt --heads 8 --inputs 50 --json | jq .fidelity.minimax
    synergy analyze attention.npz --tensor 'copy_h8_l*' --weights 0.1,0.2,0.1,0.1,0.1,0.1,0.2,0.1
    synergy analyze --model ./my-gpt2 --text "The quick brown fox jumps over the lazy dog"
    synergy analyze --model ./my-llama --text-file chapter.txt --length 8192 --resume layers.jsonl
    synergy analyze --model ./my-run --revisions 'checkpoint-*' --text "The quick brown fox"
    synergy analyze --qk queries_and_keys.safetensors
    """,
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]…")
@whole_option("--heads", help="Heads of a checkpoint that does not name their number.")
@click.option("--tensor", metavar="NAME", help="Tensor(s) to read from a file that holds several.")
@click.option("--tokens", metavar="IDS|FILE", help="Inputs of a checkpoint: 3,1,2 or a file.")
@whole_option("--inputs", "count", default=16, help="How many inputs to draw for a checkpoint.")
@whole_option("--seed", least=0, default=0, help="Seed of those inputs.")
@click.option(
    "--together", is_flag=True, help="Treat FILEs as inputs of one model: means, intervals."
)
@click.option(
    "--self-loops",
    type=click.Choice(["add", "keep"]),
    default="add",
    show_default=True,
    help="In graph files: add missing ones, or take the file as it is.",
)
@reading_options
@model_options
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
    metavar="uniform|learned|output|optimal|0.2,0.8|FILE",
    help="Head weights; output: each head's share of what a model's layer puts out.  [default: "
    "learned where known, else uniform]",
)
@click.option(
    "--epsilon",
    type=Real(min=0, max=1, min_open=True, max_open=True),
    metavar="X",
    default=0.25,
    show_default=True,
    help="Distance below which a walk counts as mixed.",
)
@whole_option(
    "--max-steps", most=10_000_000, default=10_000, help="Step at which mixing times are given up."
)
@click.option("--renormalise", is_flag=True, help="Divide attention rows by their sums.")
@whole_option(
    "--top-paths",
    least=0,
    most=1000,
    default=0,
    metavar="K",
    help="The K strongest paths to the sink, with the head of each step.",
)
@click.option(
    "--source",
    metavar="NODE",
    help="Paths from this node (name, or number) instead of the faintest; implies --top-paths 1.",
)
@whole_option(
    "--sinks",
    default=1,
    metavar="K",
    help="Also take the last K positions as the sink in turn: mean fidelity.",
)
@whole_option(
    "--shuffles",
    least=0,
    most=10_000,
    default=10,
    help="With several inputs, how often heads are shuffled over them: what heads that never met "
    "gain, as a null.",
)
@click.option(
    "--why",
    is_flag=True,
    help="Which heads carry the faintest node's signal, and what no head weights could exceed.",
)
@click.option(
    "--gamma",
    "gammas",
    multiple=True,
    type=Gamma(),
    metavar=Gamma.name,
    help="What several layers hear in order, where attention moves this share of each token and "
    "the residual path keeps the rest; may be repeated.  [default with --why: half]",
)
@click.option("--details", is_flag=True, help="Also print every head and every bound.")
@click.option(
    "--wide", is_flag=True, help="All columns of the table of layers, also on a narrow terminal."
)
@json_option
def command(
    files: tuple[Path, ...],
    model: Path | None,
    together: bool,
    conventions: tuple[str, ...],
    details: bool,
    wide: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure how soon and how clearly information reaches the sink, in what you already have.

    FILE is attention (.npy, .npz, .safetensors, torch.save: (n,n), (H,n,n), (B,H,n,n) of each
    layer, or with --axes (L,H,n,n), (L,B,H,n,n) and others; rows are queries), a graph (GraphML,
    GML, node-link JSON, edge list, Matrix Market), or a Transformer checkpoint (Synergy's own, or
    those published with arXiv 2507.02944).

    With --json, one object per layer, then one with "layer": "overall", for each convention.
    With --why each layer has "why"; with --gamma, or --why of several layers, "overall" has
    "layered".
    Nodes are numbered as the file lists them, with "names" or "tokens" beside where it has some.
    Infinite numbers are the string "inf"; a mixing time not reached is "> 10000".
    """
    from synergy_tui.analyze.measure import Options
    from synergy_tui.analyze.sources import Inputs, read_tokens

    asked = take_model_options(given)
    if not files and model is None and asked.queries is None:
        raise UserError("There is nothing to measure.", hint="Name a FILE, or --model DIR.")
    tokens = given.pop("tokens")
    ids = None if tokens is None else read_tokens(tokens)
    asked.require(model, ids)
    _refuse_stray(files, model, asked.queries)
    inputs = Inputs(
        tokens=ids,
        renormalise=given["renormalise"],
        **{
            name: given.pop(name)
            for name in ("heads", "count", "seed", "tensor", "self_loops", *NAMES)
        },
    )
    chosen = _CONVENTIONS if "all" in conventions else (conventions or ("theory",))
    options = Options(conventions=chosen, **given)
    shown = Shown(as_json, details, wide)
    with as_user_errors():
        for each in _sources(files, inputs, together):
            _measure(each, options, shown)
        for records, notes in asked.measure(model, ids, options, inputs.axes):
            _print(records, notes, shown)


# Options that are only about files, and only about models, by the names of their parameters.
_OF_FILES = ("heads", "tensor", "count", "seed", "together", "self_loops", "renormalise", *NAMES)
_OF_MODELS = ("length", "device", "dtype")


def _refuse_stray(files: Sequence[Path], model: Path | None, queries: Path | None) -> None:
    """Refuse options about what is not measured, rather than ignore them."""
    context = click.get_current_context()
    about = {name: "a FILE" for name in _OF_FILES if not files}
    about |= {name: "--model DIR" for name in _OF_MODELS if model is None}
    if queries is not None:
        about.pop("axes", None)
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name in about and source is click.core.ParameterSource.COMMANDLINE:
            needed = about[parameter.name]
            raise UserError(
                f"{parameter.opts[0]} is about {needed}, and there is none.",
                hint=f"Leave it out, or give {needed}.",
            )


def _sources(files: tuple[Path, ...], inputs: Inputs, joined: bool) -> list[Source]:
    """Read all files before anything is measured, so that a typo costs no waiting."""
    from synergy_tui.analyze.sources import read_source, together

    found = []
    for file in files:
        with as_user_errors(str(file)):
            found.append(read_source(file, inputs))
    return [together(found)] if joined and found else found


def _measure(source: Source, options: Options, shown: Shown) -> None:
    from synergy_tui.analyze.measure import measure

    with as_user_errors(source.name):
        _print(measure(source, options), source.notes, shown)


def _print(records: Iterable[Record], notes: Sequence[str], shown: Shown) -> None:
    if shown.as_json:
        for record in records:
            echo(json_line(record))
    else:
        _show(list(records), notes, shown)


def _show(records: Sequence[Record], notes: Sequence[str], shown: Shown) -> None:
    """Print the analyses of one source, one convention after another, on stdout."""
    first = records[0]
    inputs = counted(first["inputs"], "input") + ", 95% intervals" * (first["inputs"] > 1)
    heads = counted(first["heads"], "head")
    lengths = "up to " if first.get("lengths") else ""
    echo(f"{first['file']}: {heads}, {lengths}{counted(first['nodes'], 'node')}, {inputs}")
    for note in notes:
        echo(f"  {note}")
    for convention, group in groupby(records, key=lambda record: record["convention"]):
        same = list(group)
        echo()
        echo(
            f"convention {convention}: combine {same[0]['combine']}, {same[0]['weights']} head "
            f"weights, ε = {same[0]['epsilon']:g}, sink {same[0]['sink']}"
        )
        _layers(same, wide=shown.wide)
        _sinks(same[-1])
        layers = [record for record in same if record["layer"] != "overall"]
        if shown.details:
            _heads(layers)
        print_reasons(layers, details=shown.details)
        print_layered(same[-1])
        _bounds(layers, details=shown.details)
        _paths(layers)
    read = f"{COLUMNS_READ}; diversity, 0 to 1 bits, 0: heads attend alike"
    if first["inputs"] > 1:
        read += "; held-out amplification: over one head for all inputs, chosen on others"
    print_note(f"{read}; t: the step at which the faintest node is heard best", "columns")
    print_nulls(records)


def _layers(records: Sequence[Record], *, wide: bool) -> None:
    """How soon, how clearly, and what the heads do together."""
    layers = [record for record in records if record["layer"] != "overall"]
    shown = records if len(layers) > 1 else layers
    several = records[0]["inputs"] > 1
    null = any(shuffled(record) for record in records)
    capped = f"capped\nat {number(records[0]['mixing'].get('hitting_time_cap'))}"
    left_out = print_table(
        [
            "layer",
            "steps\nto sink",
            capped,
            "median\narrival",
            "mixing\ntime",
            "mean L1\nmixing",
            "fidelity",
            "fidelity\nx nodes",
            "faintest\nnode",
            "best\nhead",
            "amplifi-\ncation",
            *(["held-out\namplif."] if several else []),
            *(["over\nshuffled"] if null else []),
            "mixing\ngain",
            "diver-\nsity",
        ],
        [
            [
                str(record["layer"]),
                _interval(record, "mixing", "hitting_time_mean"),
                number(record["mixing"].get("hitting_time_capped_mean")),
                number(record["mixing"].get("arrival_median")),
                number(record["mixing"].get("mixing_time_tv_max")),
                number(record["mixing"].get("mixing_time_l1_mean")),
                _interval(record, "fidelity", "minimax", key="fidelity_minimax"),
                number(record["fidelity"].get("normalised")),
                _faintest(record),
                number(record["synergy"].get("best_head_fidelity")),
                _interval(record, "synergy", "fidelity_amplification"),
                *(
                    [_interval(record, "synergy", "fidelity_amplification_held_out")]
                    if several
                    else []
                ),
                *([over_shuffled(record)] if null else []),
                _interval(record, "synergy", "mixing_gain"),
                number(record["diversity"].get("jensen_shannon"), 3),
            ]
            for record in shown
        ],
        spare=() if wide else (capped, *_SPARE),
    )
    if left_out:
        echo(f"left out of a narrow terminal: {', '.join(left_out)} (--wide shows all)")
    lost = {
        node
        for record in layers
        for node in record["fidelity"].get("unreachable", ())
        if node != ""
    }
    if lost:
        named = [node_name(layers[0], node) for node in sorted(lost)[:10]]
        listed = ", ".join(named) + (" …" if len(lost) > 10 else "")
        echo(f"nodes that cannot reach the sink: {listed}")


def _sinks(record: Record) -> None:
    """Fidelity averaged over the last positions as sinks, where that was asked for."""
    found = record.get("sinks")
    if found:
        echo(
            f"mean over the last {found['k']} positions as sinks in turn: fidelity "
            f"{number(found['minimax'])}, x nodes {number(found['normalised'])}, amplification "
            f"{number(found['fidelity_amplification'])}"
        )


def _interval(record: Record, group: str, name: str, *, key: str | None = None) -> str:
    """A number, with half the width of its interval where there are several inputs.

    Intervals of ratios are of their logarithms, hence not even: both ends are given.
    """
    text = number(record[group].get(name))
    low, high = (record.get("intervals") or {}).get(key or name) or (None, None)
    if low is None or record["inputs"] < 2 or low == high:
        return text
    if group == "synergy":
        return f"{text} [{number(low, 2)}, {number(high, 2)}]"
    return f"{text} ±{number((high - low) / 2, 2)}"


def _faintest(record: Record) -> str:
    """The node that is heard least, and when it is heard best."""
    fidelity = record["fidelity"]
    if fidelity.get("argmin") is None:
        return "–"
    when = fidelity.get("time")  # layers have one node in common, but hardly one time
    return node_name(record, fidelity["argmin"]) + (f" at t={when}" if when is not None else "")


def _heads(layers: Sequence[Record]) -> None:
    print_table(
        ["layer", "head", "weight", "steps to sink", "mixing time", "fidelity"],
        [
            [str(record["layer"]), str(head["head"])]
            + [
                number(head.get(key))
                for key in (
                    "weight",
                    "hitting_time_mean",
                    "mixing_time_tv_max",
                    "fidelity_minimax",
                )
            ]
            for record in layers
            for head in record["per_head"]
        ],
    )


def _bounds(layers: Sequence[Record], *, details: bool) -> None:
    """Print what theory predicts beside what is measured, where a bound applies.

    Without details, one line says how many hold, and only those that do not are listed. A bound is
    open where the measurement stopped before it (``> 10000``).
    """
    applying = [
        (record["layer"], name, bound)
        for record in layers
        for name, bound in (record.get("bounds") or {}).items()
        if bound.get("applies")
    ]
    shown = [each for each in applying if details or each[2]["holds"] is False]
    if shown:
        print_table(
            ["layer", "bound", "measured", "at most", "holds"],
            [
                [
                    str(layer),
                    bound_name(name),
                    number(bound["measured"]),
                    number(bound["bound"]),
                    {True: "yes", False: "NO"}.get(bound["holds"], "open"),
                ]
                for layer, name, bound in shown
            ],
            left=2,
        )
    if applying and not details:
        still_open = sum(bound["holds"] is None for _, _, bound in applying)
        rest = f", {still_open} open" if still_open else ""
        held = sum(bound["holds"] is True for _, _, bound in applying)
        echo(f"bounds: {held} of {len(applying)} hold{rest} (--details shows them)")


def _paths(layers: Sequence[Record]) -> None:
    for record in layers:
        paths = record.get("paths")
        if not paths:
            continue
        echo(
            f"strongest paths from node {node_name(record, paths['source'])}, "
            f"layer {record['layer']}" + (" (of the first input)" if record["inputs"] > 1 else "")
        )
        for path in paths["strongest"]:
            steps = path["names"][0]
            for head, name in zip(path["heads"], path["names"][1:], strict=True):
                steps += f" ─{head}→ {name}"
            echo(f"  {number(path['strength']):>10}  {steps}")
