"""Finished runs measured further, from kept attention: layers in order, sinks, the condition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.report.evidence import Row

Verdict = Literal["helps", "forbidden", "open", "unheard"]
VERDICTS: dict[Verdict, str] = {
    "helps": "a little of another head helps",
    "forbidden": "no weights can help",
    "open": "neither",
    "unheard": "a node is never heard",
}
"""What the condition and the routing bound say of a system, in words."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Through:
    """A network's layers in order, for one γ; beside what a single layer's walks say."""

    group: str
    run: str
    heads: int  # per layer
    seed: str
    gamma: str
    single_fidelity: float  # of a layer's own walks, mean over layers
    single_gain: float  # of those over the best head of each input
    normalised: float  # n · φ^L_min, mean over inputs
    synergy: float  # over the best chain of one head per layer, geometric mean over inputs
    exact: bool  # whether all chains were tried; else ``synergy`` is of the best that was found


@dataclass(frozen=True)
class InTurn:
    """A layer with its last position as the sink, and with each of the last k in turn."""

    group: str
    run: str
    heads: int  # per layer
    seed: str
    layer: int  # from 1
    k: int
    normalised: float  # n · φ of the last position, mean over inputs
    normalised_each: float  # the same, mean over sinks too
    gain: float  # φ over that of the best head of each input, geometric mean over inputs
    gain_each: float  # the same, over sinks too


@dataclass(frozen=True)
class Promise:
    """What theory says of one system, and the gain that its own weights attain."""

    group: str
    run: str
    heads: int  # per layer
    seed: str
    layer: int  # from 1
    input: int  # from 1
    verdict: Verdict
    best_head: float
    gain: float  # fidelity over the best head's; inf where no head alone hears every node, or nan
    at_most: float  # that no weights exceed


def _kept(rows: Sequence[Row]) -> Iterator[tuple[Row, str, Snapshot]]:
    """Runs with their seed and the attention that was kept of them."""
    found = False
    reason = "no run was measured"
    for row in rows:
        snapshot = row.place.load()
        if isinstance(snapshot, str):
            reason = snapshot
            continue
        found = True
        (observation, *_) = row.observations.values()
        yield row, observation.block, snapshot
    if not found:
        raise UserError(f"There is nothing to measure: {reason}.")


def _trained(rows: Sequence[Row], otherwise: str) -> list[tuple[Row, str, Snapshot]]:
    """Networks with their seed and the attention that was kept of them."""
    trained = [each for each in _kept(rows) if not each[2].designed]
    if not trained:
        raise UserError(f"{otherwise}: only networks have them, not graphs.")
    return trained


def through_layers(rows: Sequence[Row]) -> Iterator[Through]:
    """Follow attention through all layers with γ half, one and, where recorded, measured."""
    import synergy_engine as engine

    for row, seed, snapshot in _trained(rows, "There are no layers to follow"):
        (observation, *_) = row.observations.values()
        for found in engine.layered(
            snapshot.attention,
            snapshot.head_weights,
            gammas=["half", "one", *([] if snapshot.gamma is None else ["norm"])],
            norms=snapshot.gamma,
            rows="normalise",
        ):
            yield Through(
                group=row.group,
                run=row.run,
                heads=row.heads,
                seed=seed,
                gamma=found["gamma"],
                single_fidelity=observation.now.fidelity,
                single_gain=observation.amplification if row.heads > 1 else 1.0,
                normalised=found["normalised"],
                synergy=found["synergy"],
                exact=found["exact"],
            )


def sinks_in_turn(rows: Sequence[Row], k: int) -> Iterator[InTurn]:
    """Measure fidelity at each of the last ``k`` positions, not at the last alone."""
    import synergy_engine as engine

    for row, seed, snapshot in _trained(rows, "There are no positions to take as sinks"):
        for found in engine.analyze_batch(
            snapshot.attention, snapshot.head_weights, rows="normalise", sinks=k
        ):
            each = found["sinks"]
            yield InTurn(
                group=row.group,
                run=row.run,
                heads=row.heads,
                seed=seed,
                layer=found["layer"],
                k=each["k"],
                normalised=found["fidelity"]["normalised"],
                normalised_each=each["normalised"],
                gain=found["synergy"]["fidelity_amplification"],
                gain_each=each["fidelity_amplification"],
            )


def promises(rows: Sequence[Row]) -> Iterator[Promise]:
    """Set the condition and the routing bound of every system beside what its weights gain."""
    import synergy_engine as engine

    for row, seed, snapshot in _kept(rows):
        if snapshot.heads < 2:
            continue
        for layer in range(snapshot.layers):
            for place in range(snapshot.inputs):
                system = snapshot.system(layer, place)
                condition = engine.synergy_condition(system)
                cap = engine.routing_bound(system).minimax
                heard = engine.fidelity(system).minimax
                yield Promise(
                    group=row.group,
                    run=row.run,
                    heads=row.heads,
                    seed=seed,
                    layer=layer + 1,
                    input=place + 1,
                    verdict=_verdict(condition, heard, cap),
                    best_head=condition.value,
                    gain=_over(heard, condition.value),
                    at_most=_over(cap, condition.value),
                )


def _verdict(condition: Any, heard: float, cap: float) -> Verdict:
    if heard == 0:  # by no walk: other weights would make no difference
        return "unheard"
    if condition.helps:
        return "helps"
    return "forbidden" if cap <= condition.value * (1 + ROUNDING) else "open"


def _over(value: float, best: float) -> float:
    if best > 0:
        return value / best
    return math.inf if value > 0 else math.nan
