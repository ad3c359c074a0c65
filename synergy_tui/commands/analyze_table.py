"""Shows analyses to people: a table a convention, then heads, bounds and paths where wanted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import click

from synergy_tui.commands.presentation import print_table
from synergy_tui.words import clean, number

Record = dict[str, Any]


def show(records: Sequence[Record], notes: Sequence[str], *, details: bool) -> None:
    """Print the analyses of one source on stdout.

    Parameters
    ----------
    records
        As ``measure`` yields them: layers and overall, for one convention after another.
    notes
        Sentences to print under the heading.
    details
        Print every head and every bound of every layer too.
    """
    first = records[0]
    inputs = "1 input" if first["inputs"] == 1 else f"{first['inputs']} inputs, 95 % intervals"
    size = f"{first['heads']} head{'s' * (first['heads'] > 1)}, {first['nodes']} nodes"
    click.echo(f"{clean(first['file'])}: {size}, {inputs}")
    for note in notes:
        click.echo(f"  {clean(note)}")
    for convention, group in groupby(records, key=lambda record: record["convention"]):
        same = list(group)
        click.echo()
        click.echo(
            f"convention {convention}: combine {same[0]['combine']}, {same[0]['weights']} head "
            f"weights, ε = {same[0]['epsilon']:g}, sink {same[0]['sink']}"
        )
        _layers(same)
        layers = [record for record in same if record["layer"] != "overall"]
        if details:
            _heads(layers)
        _bounds(layers, details=details)
        _paths(layers)


def _layers(records: Sequence[Record]) -> None:
    """How soon, how clearly, and what the heads do together."""
    layers = [record for record in records if record["layer"] != "overall"]
    shown = records if len(layers) > 1 else layers
    print_table(
        [
            "layer",
            "steps\nto sink",
            f"capped\nat {number(records[0]['mixing'].get('hitting_time_cap'))}",
            "median\narrival",
            "mixing\ntime",
            "mean L1\nmixing",
            "fidelity",
            "fidelity\nx nodes",
            "faintest\nnode",
            "best\nhead",
            "amplifi-\ncation",
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
                _interval(record, "synergy", "mixing_gain"),
                number(record["diversity"].get("jensen_shannon"), 3),
            ]
            for record in shown
        ],
    )
    lost = {
        node
        for record in layers
        for node in record["fidelity"].get("unreachable", ())
        if node != ""
    }
    if lost:
        listed = ", ".join(map(str, sorted(lost)[:10])) + (" …" if len(lost) > 10 else "")
        click.echo(f"nodes that cannot reach the sink: {listed}")


def _interval(record: Record, group: str, name: str, *, key: str | None = None) -> str:
    """Return a number, with half the width of its interval where there are several inputs."""
    text = number(record[group].get(name))
    low, high = (record.get("intervals") or {}).get(key or name) or (None, None)
    if low is None or record["inputs"] < 2 or low == high:
        return text
    return f"{text} ±{number((high - low) / 2, 2)}"


def _faintest(record: Record) -> str:
    """Return the node that is heard least, and when it is heard best."""
    fidelity = record["fidelity"]
    if fidelity.get("argmin") is None:
        return "–"
    when = fidelity.get("time")  # layers have one node in common, but hardly one time
    return f"{fidelity['argmin']}" + (f" at t={when}" if when is not None else "")


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
                    name.replace("_", " "),
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
        click.echo(f"bounds: {held} of {len(applying)} hold{rest} (--details shows them)")


def _paths(layers: Sequence[Record]) -> None:
    for record in layers:
        paths = record.get("paths")
        if not paths:
            continue
        click.echo(
            f"strongest paths from node {paths['source']}, layer {record['layer']}"
            + (" (of the first input)" if record["inputs"] > 1 else "")
        )
        for path in paths["strongest"]:
            steps = path["names"][0]
            for head, name in zip(path["heads"], path["names"][1:], strict=True):
                steps += f" ─{head}→ {name}"
            click.echo(f"  {number(path['strength']):>10}  {clean(steps)}")
