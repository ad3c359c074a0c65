"""``synergy measure``: what finished runs say beyond what was recorded, and tests of it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from synergy_tui.commands.arguments import Whole, experiments_argument, json_option, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import json_line, print_table
from synergy_tui.console import echo
from synergy_tui.errors import UserError, as_user_errors
from synergy_tui.experiments.comparison import log
from synergy_tui.words import number, span

if TYPE_CHECKING:
    from synergy_tui.report.ablation import Network, Relation, Removal
    from synergy_tui.report.evidence import Row
    from synergy_tui.report.further import InTurn, Through

Each = TypeVar("Each")
_REMOVED: Mapping[Removal, str] = {"zero": "zero", "mean": "its mean"}


@click.command(
    cls=Examples,
    examples="""
    synergy measure last --layers
    synergy measure last --sinks 8
    synergy measure sweep_condition --condition
    synergy measure sweep_head_diversity --ablate --run lambda-1
    synergy measure last --ablate --json | jq 'select(.kind == "relation")'
    """,
)
@experiments_argument
@out_option
@click.option(
    "--run", "runs", multiple=True, metavar="RUN", help="Only runs of this name; may be repeated."
)
@click.option(
    "--layers",
    is_flag=True,
    help="All layers in order, for γ half, one and, where `norms` recorded it, measured.",
)
@click.option(
    "--sinks",
    type=Whole(min=2),
    metavar="K",
    help="Fidelity with each of the last K positions as the sink, not the last alone.",
)
@click.option(
    "--condition",
    is_flag=True,
    help="What heads gain where the condition for synergy holds, and where no weights can.",
)
@click.option(
    "--ablate",
    is_flag=True,
    help="What removing a head costs, and whether the share that it carries says so.",
)
@json_option
def command(
    names: tuple[str, ...],
    out: Path | None,
    runs: tuple[str, ...],
    layers: bool,
    sinks: int | None,
    condition: bool,
    ablate: bool,
    as_json: bool,
) -> None:
    """Measure finished runs of experiments and sweeps NAME… further, from what they kept.

    --layers, --sinks and --condition read the kept attention of the last probe, --ablate the last
    checkpoint. Seeds are the sample: intervals are over them. With --json, one object per network,
    system or layer, and per test.
    """
    from synergy_tui.report.evidence import collect

    if not (layers or sinks or condition or ablate):
        raise UserError(
            "Nothing was asked for.",
            hint="Give --layers, --sinks K, --condition, --ablate, or several.",
        )
    rows = [row for row in collect(names, out).rows if not runs or row.run in runs]
    if not rows:
        raise UserError(f"No finished run is called {' or '.join(runs)}.")
    with as_user_errors():
        if layers:
            _layers(rows, as_json)
        if sinks:
            _sinks(rows, sinks, as_json)
        if condition:
            _condition(rows, as_json)
        if ablate:
            _ablate(rows, as_json)


def _layers(rows: Sequence[Row], as_json: bool) -> None:
    from synergy_tui.report.further import through_layers

    found = list(through_layers(rows))
    if as_json:
        for each in found:
            echo(json_line({"kind": "layers", **asdict(each)}))
        return
    echo("all layers in order: medians over seeds, gains geometric means [95% over seeds]")
    groups = _grouped(found, lambda each: (each.group, each.run, each.heads, each.gamma))
    print_table(
        ["group", "run", "heads", "γ", "seeds", "one layer:\nfidelity", "gain over\nbest head",
         "all layers:\nn·fidelity", "gain over\nbest chain", "95%", "above 1 in"],
        [[*map(str, key), *_through(members)] for key, members in groups.items()],
        left=4,
    )  # fmt: skip
    if not all(each.exact for each in found):
        echo("best chains were searched, not all tried, where there are more than 4,096")


def _through(members: Sequence[Through]) -> list[str]:
    import numpy as np

    return [
        str(len(members)),
        number(float(np.median([each.single_fidelity for each in members])), 3),
        number(_typical([each.single_gain for each in members]), 3),
        number(float(np.median([each.normalised for each in members])), 3),
        *_gain([each.synergy for each in members]),
    ]


def _sinks(rows: Sequence[Row], k: int, as_json: bool) -> None:
    from synergy_tui.report.further import sinks_in_turn

    found = list(sinks_in_turn(rows, k))
    if as_json:
        for each in found:
            echo(json_line({"kind": "sinks", **asdict(each)}))
        return
    echo(
        f"the last position as the sink, and each of the last {k} in turn: medians over seeds, "
        "gains geometric means [95% over seeds]"
    )
    groups = _grouped(found, lambda each: (each.group, each.run, each.heads, each.layer))
    print_table(
        ["group", "run", "heads", "layer", "seeds", "last:\nn·fidelity", "gain over\nbest head",
         "95%", "above 1 in", "each:\nn·fidelity", "gain over\nbest head", "95%", "above 1 in"],
        [[*map(str, key), *_in_turn(members)] for key, members in groups.items()],
        left=2,
    )  # fmt: skip


def _in_turn(members: Sequence[InTurn]) -> list[str]:
    import numpy as np

    return [
        str(len(members)),
        number(float(np.median([each.normalised for each in members])), 3),
        *_gain([each.gain for each in members]),
        number(float(np.median([each.normalised_each for each in members])), 3),
        *_gain([each.gain_each for each in members]),
    ]


def _gain(ratios: Sequence[float]) -> list[str]:
    """A geometric mean over seeds, its interval, and in how many networks there is a gain."""
    from synergy_tui.report.statistics.intervals import bootstrap_interval

    low, high = bootstrap_interval([log(each) for each in ratios])
    return [
        number(_typical(ratios), 3),
        span((math.exp(low), math.exp(high))),
        f"{sum(each > 1 + 1e-9 for each in ratios)} of {len(ratios)}",
    ]


def _condition(rows: Sequence[Row], as_json: bool) -> None:
    from synergy_tui.report.further import VERDICTS, promises

    found = list(promises(rows))
    if as_json:
        for each in found:
            echo(json_line({"kind": "condition", **asdict(each)}))
        return
    echo("gain of each system's own weights over its best head, by what theory says of it")
    groups = _grouped(found, lambda each: (each.group, each.run, each.heads))
    print_table(
        ["group", "run", "heads", "theory says", "systems", "median\ngain", "range", "above 1 in"],
        [
            [
                *map(str, key),
                words,
                *_gains([each.gain for each in members if each.verdict == verdict]),
            ]
            for key, members in groups.items()
            for verdict, words in VERDICTS.items()
            if any(each.verdict == verdict for each in members)
        ],
        left=4,
    )


def _gains(gains: Sequence[float]) -> list[str]:
    import numpy as np

    above = sum(gain > 1 + 1e-9 for gain in gains)
    return [
        str(len(gains)),
        number(float(np.median(gains)), 3),
        "" if math.isnan(min(gains)) else f"{number(min(gains), 3)} to {number(max(gains), 3)}",
        f"{above} of {len(gains)}",
    ]


def _ablate(rows: Sequence[Row], as_json: bool) -> None:
    from synergy_tui.report.ablation import DRAWS, REMOVALS, ablated, in_words

    found = list(ablated(rows))
    groups = _grouped(found, lambda each: (each.group, each.run, each.heads, each.layer))
    tests = {
        (key, removal): _relations(members, removal)
        for key, members in groups.items()
        for removal in REMOVALS
    }
    if as_json:
        for each in found:
            echo(json_line({"kind": "ablation", **asdict(each)}))
        for (key, removal), related in tests.items():
            about = dict(zip(("group", "run", "heads", "layer"), key, strict=True))
            for name, one in related.items():
                echo(
                    json_line(
                        {"kind": "relation", **about, "removal": removal, "of": name, **asdict(one)}
                    )
                )
        return
    echo(
        "what removing a head costs (rise of the held-out loss, nats), and rank correlations with "
        "it within a network"
    )
    print_table(
        [
            "group", "run", "heads", "layer", "removed:\nwrites", "networks",
            "cost,\nmean", "largest,\nmedian", "weight:\nρ", "p", "share:\nρ", "95%", "p",
            "by weight\nalone: ρ", "beyond\nit: p",
        ],
        [
            [*map(str, key), _REMOVED[removal], *_cost(groups[key], removal),
             *_related(related)]
            for (key, removal), related in tests.items()
        ],
        left=5,
    )  # fmt: skip
    echo(
        f"weight: of the output projection; share: carried of the faintest token's best paths; p: "
        f"two-sided, of {DRAWS:,} permutations among a network's heads; beyond the weight: of "
        "share / weight, heads keeping their weights"
    )
    if words := in_words(found):
        echo(words)


def _relations(members: Sequence[Network], removal: Removal) -> dict[str, Relation]:
    from synergy_tui.report.ablation import relation

    return {
        "weight": relation(members, removal, of="weight"),
        "share": relation(members, removal),
        "share beyond weight": relation(members, removal, keep_weights=True),
    }


def _cost(members: Sequence[Network], removal: Removal) -> list[str]:
    import numpy as np

    costs = [getattr(each, removal) for each in members]
    return [
        str(len(members)),
        number(float(np.mean([cost.mean() for cost in costs])), 3),
        number(float(np.median([cost.max() for cost in costs])), 3),
    ]


def _related(related: Mapping[str, Relation]) -> list[str]:
    weight, share, beyond = related.values()
    return [
        number(weight.correlation, 2),
        number(weight.p, 2),
        number(share.correlation, 2),
        span(share.interval),
        number(share.p, 2),
        number(beyond.shuffled, 2),
        number(beyond.p, 2),
    ]


def _grouped(members: Sequence[Each], key: Any) -> dict[Any, list[Each]]:
    groups: dict[Hashable, list[Each]] = {}
    for each in members:
        groups.setdefault(key(each), []).append(each)
    return groups


def _typical(values: Sequence[float]) -> float:
    """A geometric mean."""
    return math.exp(sum(map(log, values)) / len(values))
