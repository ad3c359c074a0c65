"""Nulls, conditions and layered measures of kept attention: nothing is trained for them.

Heads are swapped between the seeds of a group on common inputs. Everything is a log ratio, with
means over inputs and layers taken last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot, load_snapshot
from synergy_tui.experiments.comparison import log
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.report.statistics.observations import (
    Condition,
    Further,
    Gain,
    Gains,
    Layered,
    Observation,
)

SWAPS = 3
# The condition and the layered measures take many passes: of so many inputs of a run.
FEW_INPUTS = 2
TIMED = ("theory", "paper-code")  # conventions whose steps to the sink are hitting times
LARGEST = 256  # nodes of systems that are measured again
NOT_KEPT = 'the attention was not kept: keep = "last" with kept_inputs = 4 in [analysis] keeps it'
UNKNOWN = Gain(math.nan, math.nan)

Floats = NDArray[np.float64]
ByConvention = Mapping[str, Observation]


@dataclass(frozen=True)
class Place:
    """Where the attention of a run's last probe is kept."""

    experiment: Experiment
    file: str | None

    def load(self) -> Snapshot | str:
        """The attention, or why there is none to measure."""
        if self.file is None:
            return NOT_KEPT
        try:
            found = load_snapshot(self.experiment, self.file, weighted=True)
        except (UserError, OSError) as error:  # removed since, or damaged
            return f"the kept attention cannot be read: {str(error).rstrip('.')}"
        if found.nodes > LARGEST:
            return f"systems of more than {LARGEST} nodes are not measured again"
        return found


def with_nulls(rows: Sequence[tuple[Place, ByConvention]]) -> Sequence[ByConvention]:
    """The observations of runs, with what their kept attention says."""
    result = [dict(observations) for _, observations in rows]
    networks: dict[tuple[object, ...], list[int]] = {}
    for index, (_, observations) in enumerate(rows):
        one = next(iter(observations.values()), None)
        if one is not None and one.heads > 1:
            networks.setdefault((one.group, one.run, one.heads, one.dose), []).append(index)
    for members in networks.values():
        loaded = {index: rows[index][0].load() for index in members}
        kept = {index: each for index, each in loaded.items() if isinstance(each, Snapshot)}
        for convention in {name for index in members for name in result[index]}:
            own = {index: each for index, each in kept.items() if convention in result[index]}
            gains, reason = _gains(own, convention)
            unknown = Gains(UNKNOWN, UNKNOWN if convention in TIMED else None)
            for index, found in loaded.items():
                if convention in result[index]:
                    result[index][convention] = replace(
                        result[index][convention],
                        gains=gains.get(index, unknown),
                        no_swap=found if isinstance(found, str) else reason,
                    )
        for index, snapshot in kept.items():
            convention = next(iter(result[index]))
            result[index][convention] = _measured(result[index][convention], snapshot)
    for index, further in _beside_larger(rows):
        for convention, one in result[index].items():
            if convention == "theory":
                result[index][convention] = replace(one, further=(*one.further, further))
    return result


def _beside_larger(
    rows: Sequence[tuple[Place, ByConvention]],
) -> Iterator[tuple[int, Further]]:
    """How clear k heads are that trained together, beside k heads of a larger network."""
    from synergy_engine.analysis.nulls import subset

    seeds: dict[tuple[str, str], dict[int, int]] = {}
    for index, (_, observations) in enumerate(rows):
        for one in list(observations.values())[:1]:
            if one.trained and one.heads > 1 and one.dose in (None, 1.0):
                seeds.setdefault((one.group, one.block), {})[one.heads] = index
    for members in seeds.values():
        most = max(members)
        whole = rows[members.pop(most)][0].load()
        for heads, index in members.items():
            few = rows[index][0].load()
            if not (isinstance(whole, Snapshot) and isinstance(few, Snapshot)):
                continue
            if not _same_inputs(whole, few):
                continue
            logs = [
                subset(
                    _rows_of_one(whole.attention[:, layer]),
                    _rows_of_one(few.attention[:, layer]),
                    whole.head_weights[layer],
                    few.head_weights[layer],
                )
                for layer in range(few.layers)
            ]
            name = f"{heads} of the {most} heads of a larger network"
            yield index, Further(name, float(np.mean(logs)), math.nan, required=False)


def _same_inputs(one: Snapshot, other: Snapshot) -> bool:
    shapes = {(each.inputs, each.layers, each.nodes) for each in (one, other)}
    return len(shapes) == 1 and (
        one.tokens is None or other.tokens is None or np.array_equal(one.tokens, other.tokens)
    )


def _gains(kept: Mapping[int, Snapshot], convention: str) -> tuple[dict[int, Gains], str]:
    """Gains of each network, with swapped heads' where there are any; and why there are none."""
    scores = {index: _scores(each, convention) for index, each in kept.items()}
    reason = _not_common(list(kept.values()))
    swapped = {} if reason else _swapped(list(kept), kept, scores, convention)
    found = {}
    for index, (mixed, alone) in scores.items():
        clear, soon = (_gain(mixed[which], alone[which]) for which in (0, 1))
        null = swapped.get(index, (None, None))
        found[index] = Gains(clear, soon if convention in TIMED else None, *null)
    return found, reason


def _not_common(kept: Sequence[Snapshot]) -> str:
    """Why heads cannot be swapped between these networks; empty when they can."""
    if len(kept) < 2:
        return "heads of one seed have none to be swapped with"
    if len({each.attention.shape for each in kept}) > 1:
        return "the kept attention of seeds differs in shape"
    first, *rest = kept
    if first.tokens is not None and not all(
        each.tokens is not None and np.array_equal(each.tokens, first.tokens) for each in rest
    ):
        return "seeds saw different inputs: give train.probe_stream"
    return ""


def _scores(snapshot: Snapshot, convention: str) -> tuple[Floats, Floats]:
    """Scores, of which larger is better: log fidelity, and minus log steps to the sink.

    (2, B, L) of the heads together and (2, B, L, H) of each alone.
    """
    inputs, layers, heads, nodes = snapshot.attention.shape[:4]
    alone = snapshot.attention.reshape(inputs, layers * heads, 1, nodes, nodes)
    mixed = _headline(snapshot.attention, snapshot.head_weights, snapshot.designed, convention)
    single = _headline(alone, np.ones((layers * heads, 1)), snapshot.designed, convention)
    return mixed, single.reshape(2, inputs, layers, heads)


def _headline(attention: NDArray, weights: Floats, designed: bool, convention: str) -> Floats:
    import synergy_engine as engine

    rows = "any" if designed else "normalise"
    found = engine.headline(attention, weights, convention=convention, rows=rows)
    with np.errstate(divide="ignore"):
        return np.stack([np.log(found.fidelity), -np.log(found.hitting_time)])


def _swapped(
    order: Sequence[int],
    kept: Mapping[int, Snapshot],
    scores: Mapping[int, tuple[Floats, Floats]],
    convention: str,
) -> dict[int, tuple[Gain, Gain]]:
    """Gains of heads that come from networks of different seeds, averaged over draws."""
    from synergy_engine.analysis.nulls import offsets

    networks, heads = len(order), kept[order[0]].heads
    random = np.random.default_rng(0)
    drawn: dict[int, list[tuple[Gain, Gain]]] = {index: [] for index in order}
    for _ in range(SWAPS):
        away = offsets(heads, networks, random)
        for place, index in enumerate(order):
            sources = [order[(place + step) % networks] for step in away]
            attention = np.stack(
                [kept[s].attention[:, :, h] for h, s in enumerate(sources)], axis=2
            )
            weights = np.stack([kept[s].head_weights[:, h] for h, s in enumerate(sources)], axis=1)
            alone = np.stack([scores[s][1][..., h] for h, s in enumerate(sources)], axis=-1)
            mixed = _headline(attention, weights, kept[index].designed, convention)
            drawn[index].append((_gain(mixed[0], alone[0]), _gain(mixed[1], alone[1])))
    return {
        index: (_mean([clear for clear, _ in each]), _mean([soon for _, soon in each]))
        for index, each in drawn.items()
    }


def _mean(gains: Sequence[Gain]) -> Gain:
    return Gain(
        float(np.mean([each.held_out for each in gains])),
        float(np.mean([each.per_input for each in gains])),
    )


def _gain(mixed: Floats, alone: Floats) -> Gain:
    """What scores (B, L) exceed the best of (B, L, H) by, means over inputs and layers.

    One best head per layer is chosen on every other input and scored on the rest, and the other
    way round. A single input has no others.
    """
    per_input = float(np.mean(_minus(mixed, alone.max(axis=-1))))
    if len(mixed) < 2:
        return Gain(per_input, per_input)
    best = np.empty_like(mixed)
    for half in (0, 1):
        chosen = alone[1 - half :: 2].mean(axis=0).argmax(axis=-1)  # (L,)
        scored = alone[half::2]
        best[half::2] = np.take_along_axis(scored, chosen[None, :, None], axis=-1)[..., 0]
    return Gain(float(np.mean(_minus(mixed, best))), per_input)


def _minus(one: Floats, other: Floats) -> Floats:
    """A difference of logarithms in which 0/0 and ∞/∞ are ties."""
    with np.errstate(invalid="ignore"):
        found = one - other
    return np.where(np.isnan(found), 0.0, found)


def _measured(one: Observation, snapshot: Snapshot) -> Observation:
    """With the condition, the control, and layered measures of the first inputs."""
    import synergy_engine as engine
    from synergy_engine.analysis.nulls import jitter

    few = snapshot.first(FEW_INPUTS)
    rows = "any" if snapshot.designed else "normalise"
    layered = None
    if snapshot.layers > 1:
        gamma = "half" if few.gamma is None else "norm"
        (found,) = engine.layered(
            few.attention, few.head_weights, gammas=[gamma], norms=few.gamma, rows=rows
        )
        layered = Layered(log(float(found["synergy"])), gamma)
    off, rows_of_one = math.nan, few.attention[:1, 0]
    if rows_of_one.any(axis=-1).all():  # a designed graph may have nodes that hear nobody
        logs = jitter(_rows_of_one(rows_of_one), few.head_weights[0])
        off = float(np.abs(logs).max())
    return replace(one, layered=layered, condition=_condition(few), jitter=off)


def _rows_of_one(attention: NDArray) -> Floats:
    wide = attention.astype(np.float64)
    return np.asarray(wide / wide.sum(axis=-1, keepdims=True))


def _condition(snapshot: Snapshot) -> Condition:
    import synergy_engine as engine

    promised = kept = forbidden = broken = 0
    for layer in range(snapshot.layers):
        for one in range(snapshot.inputs):
            system = snapshot.system(layer, one)
            found = engine.synergy_condition(system)
            if found.helps:
                promised += 1
                best = np.eye(system.heads)[found.best_head]
                # First order: a little of the direction helps, how little is not known.
                kept += any(
                    engine.fidelity(
                        system.with_weights((1 - share) * best + share * found.together)
                    ).minimax
                    > found.value
                    for share in 10.0 ** np.arange(-1, -10, -1)
                )
            elif engine.routing_bound(system).minimax <= found.value:
                forbidden += 1
                broken += engine.fidelity(system).minimax > found.value * (1 + 1e-9)
    return Condition(promised, kept, forbidden, broken)
