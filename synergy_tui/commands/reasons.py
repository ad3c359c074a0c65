"""How ``synergy analyze`` shows why a fidelity is what it is, and what layers in order can hear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synergy_tui.analyze.listing import node_name
from synergy_tui.commands.presentation import print_table
from synergy_tui.console import echo
from synergy_tui.words import number, percent

Record = Mapping[str, Any]

MOST_HEADS = 4
"""Heads named in one cell of a table."""
TIE = 1e-9
"""Ratios within this of 1 are rounding, not synergy."""


def print_reasons(layers: Sequence[Record], *, details: bool) -> None:
    """Print which heads carry the faintest node's signal, and what weights could reach."""
    shown = [record for record in layers if "why" in record]
    if not shown:
        return
    explained = [record for record in shown if "refused" not in record["why"]]
    if explained:
        print_table(
            [
                "layer",
                "faintest\nnode",
                "carried by\nheads",
                "best at\nstep t*",
                "fidelity",
                "best weights\nreach",
                "no weights\nexceed",
                "steps\nto sink",
                "no weights\nneed fewer",
            ],
            [_row(record) for record in explained],
            left=3,
        )
    for record in shown:
        for sentence in _sentences(record):
            echo(f"layer {record['layer']}: {sentence}")
    if details:
        _print_heads(explained)
        for record in explained:
            _print_switch(record)


def _row(record: Record) -> list[str]:
    why = record["why"]
    return [
        str(record["layer"]),
        node_name(record, why["node"]),
        shares_text([head["carriage"] for head in why["heads"]]),
        str(why["time"]),
        number(why["value"]),
        number(why["best"]["lower"]),
        number(_ceiling(why)),
        number(record["mixing"]["hitting_time_mean"]),
        number(why["hitting_time_at_least"]),
    ]


def _ceiling(why: Record) -> float:
    """The smaller of what no weights and what no routing can exceed."""
    return min(float(why["best"]["upper"]), float(why["fidelity_at_most"]))


def shares_text(shares: Sequence[float]) -> str:
    """``2: 62%, 1: 38%``: the heads with the largest shares, largest first."""
    order = sorted(range(len(shares)), key=lambda head: -shares[head])
    listed = [f"{head + 1}: {percent(shares[head])}" for head in order[:MOST_HEADS]]
    rest = sum(shares[head] for head in order[MOST_HEADS:])
    if len(order) > MOST_HEADS:
        listed.append(f"others: {percent(rest)}")
    return ", ".join(listed)


def _sentences(record: Record) -> list[str]:
    """What the numbers of a layer mean."""
    why = record["why"]
    if "refused" in why:
        return [f"why is not known: {why['refused']}"]
    said = []
    # A layer of one input has no count of those explained.
    refused = record["inputs"] - why.get("inputs", 1)
    if refused:
        said.append(
            f"explained in {why['inputs']} of {record['inputs']} inputs; in the others the "
            "fidelity is 0, or no step attains it"
        )
    if len(why["heads"]) > 1:
        said.append(_composition(why))
        said.append(_synergy(record))
        if why["helps"]:
            listed = ", ".join(map(str, why["helps"]))
            heads = "head" if len(why["helps"]) == 1 else "any of heads"
            said.append(f"mixing a little of {heads} {listed} into the best head makes it clearer")
    if len(why["heads"]) > 1 and refused == 0:
        # Of the same inputs only do the two mean times compare.
        soonest = min(record["per_head"], key=lambda head: float(head["hitting_time_mean"]))
        steps = float(soonest["hitting_time_mean"])
        if float(why["hitting_time_at_least"]) >= steps * (1 - TIE):
            said.append(f"no weights are sooner than head {soonest['head']}: {number(steps)} steps")
    return said


def _composition(why: Record) -> str:
    """How much of the signal changes heads on its way."""
    switch = why["switch"]
    total = sum(map(sum, switch))
    if total <= 0:
        return "at t* = 1 nothing composes: the signal takes one step, over one head"
    changing = total - sum(row[head] for head, row in enumerate(switch))
    # Heads that took as many steps, in no order, would follow themselves so often.
    met = sum(sum(row) * sum(other[head] for other in switch) for head, row in enumerate(switch))
    share = (
        f"{percent(changing / total)} of consecutive steps on the signal's paths change heads "
        f"({percent(1 - met / total**2)} if heads followed one another by chance)"
    )
    return share if why["time"] > 1 else f"in the inputs with t* > 1, {share}"


def _synergy(record: Record) -> str:
    """Whether there is synergy in fidelity, and whether there can be any."""
    why = record["why"]
    now, best, at_most = (float(why["gains"][key]) for key in ("now", "best", "at_most"))
    if at_most == float("inf"):
        where = "in some inputs " if why.get("inputs", 1) > 1 else ""
        return f"{where}no head alone is heard from every node"
    shown = f"synergy {number(now)}×" if now > 1 + TIE else "no synergy under these weights"
    if at_most <= 1 + TIE:
        alone = number(why["value"] / now) if why.get("inputs", 1) == 1 else "own fidelity"
        return f"{shown}, and no weights can give any: none exceeds the best head's {alone}"
    limit = f"no weights give more than {number(at_most)}×"
    if best <= 1 + TIE:
        return f"{shown}; none was found with other weights; {limit}"
    weights = ", ".join(number(weight, 3) for weight in why["best"]["weights"])
    # Each of several inputs has its own best weights.
    found = (
        f"weights {weights} give" if why.get("inputs", 1) == 1 else "the best weights found give"
    )
    return f"{shown}; {found} {number(best)}×; {limit}"


def _print_heads(records: Sequence[Record]) -> None:
    print_table(
        ["layer", "head", "carries", "gradient", "towards"],
        [
            [
                str(record["layer"]),
                str(head["head"]),
                percent(head["carriage"]),
                number(head["gradient"]),
                number(head["towards"]),
            ]
            for record in records
            for head in record["why"]["heads"]
        ],
    )


def _print_switch(record: Record) -> None:
    """Expected numbers of hand-overs between heads, where paths have more than one step."""
    switch = record["why"]["switch"]
    if record["why"]["time"] == 1 or len(switch) < 2:
        return
    echo(f"layer {record['layer']}: expected hand-overs from one head (column) to the next")
    print_table(
        ["to head", *(str(head + 1) for head in range(len(switch)))],
        [[str(head + 1), *(number(value, 3) for value in row)] for head, row in enumerate(switch)],
    )


def print_layered(overall: Record) -> None:
    """Print what the layers in order can hear, for each share of attention γ asked for."""
    for found in overall.get("layered") or ():
        gain = f"{number(found['synergy'])}×"
        if not found["exact"]:
            gain = f"{number(found['synergy_at_least'])}× to {gain}"
        echo(
            f"all layers in order, γ = {found['gamma']}: fidelity {number(found['minimax'])}, "
            f"x nodes {number(found['normalised'])}, of node "
            f"{node_name(overall, found['node'])}; {gain} the best chain of one head per layer"
        )
        if "minimax_each" in found:
            echo(f"  mean over the last {found['k']} sinks: {number(found['minimax_each'])}")
        print_table(
            ["layer", "carried by heads", "residual path"],
            [
                [str(layer + 1), shares_text(each["heads"]), percent(each["skip"])]
                for layer, each in enumerate(found["layers"])
            ],
            left=2,
        )
