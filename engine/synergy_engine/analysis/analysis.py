"""Everything about a layer at once: one system, or a batch of inputs with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_engine import validation
from synergy_engine.analysis.batch import (
    MEDIAN,
    Measures,
    Options,
    Stacks,
    amplification_held_out,
    dense_stacks,
    each_sink,
    interval,
    learned_sink,
    log_interval,
    log_mean,
    mean,
    measure,
    medians,
    most_frequent,
    ratio,
    stacks_of,
    typical,
)
from synergy_engine.analysis.bounds import bound_table
from synergy_engine.analysis.convention import CONVENTIONS, convention as named_convention
from synergy_engine.analysis.html import analysis_table
from synergy_engine.analysis.nulls import shuffled_gains
from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.errors import at_least, choose, whole_number
from synergy_engine.graphio import layouts
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.measures.diversity import mean_over_pairs
from synergy_engine.measures.mixing import MAX_STEPS, MIXING_TIMES, levels
from synergy_engine.measures.routing import routing_bound, routing_times
from synergy_engine.measures.sensitivity import sensitivity
from synergy_engine.operators.stack import COMBINATIONS
from synergy_engine.system import MultiHeadSystem

TIE = 1e-9
"""Amplifications within this of 1 are ties: rounding, not synergy."""

DISTANCES = ("jensen_shannon", "jaccard", "cosine_disagreement")


@dataclass(frozen=True)
class Analysis(Mapping[str, Any]):
    """The measures of one layer, as `as_dict` and ``synergy analyze --json`` show them.

    A mapping of plain Python numbers, lists and dicts, in the order in which they are shown.
    Infinite numbers are ``float("inf")``; a mixing time beyond ``max_steps`` is the text ``">
    10000"``. Over several inputs numbers are means, times medians, places the most frequent.

    Keys
    ----
    layer, heads, nodes, inputs, head_weights, weights
        What was measured; ``weights`` is where the head weights come from.
    convention, combine, epsilon, sink
        How.
    mixing
        ``hitting_time_mean`` and ``_median`` over starts, ``_capped_mean`` (at ``_cap`` steps);
        ``arrival_median``, when half of the walks from anywhere have arrived; the four
        ``mixing_time_{tv,l1}_{max,mean}``, and under ``backward`` those of the reversed chain.
    fidelity
        As in `engine.Fidelity`; ``converged`` is the share of inputs that are certified,
        ``beyond_one_step`` that of inputs whose ``time`` is above 1.
        ``depth_limited`` is the minimax over the first ``depth`` steps only.
    per_head
        For each head (from 1) alone: ``weight``, ``hitting_time_mean``, ``mixing_time_tv_max``,
        ``fidelity_minimax``.
    synergy
        ``fidelity_amplification`` over the best head of each input, and
        ``fidelity_amplification_held_out`` over one head for all, chosen on half of the inputs and
        scored on the other, both ways (``None`` with one input); ``mixing_gain`` (a bound when
        ``_censored``), ``hitting_gain``, ``best_head_fidelity``, and ``beats_best_head``: the share
        of inputs amplified by more than a tie. Ratios are averaged by their logarithms.
    diversity, bounds
        As in `engine.Diversity`, with the Jensen-Shannon divergence in bits of each pair of heads
        under ``pairs``; and, by name, `engine.Bound`.
    arrival
        Arrival probabilities at ``steps``: ``mean``, ``median`` and ``worst`` over starts.
    intervals
        95 % Student-t intervals of means over inputs; of ratios, of the mean logarithm.
    per_input
        With several inputs: ``log_hitting_time`` and ``log_fidelity`` of each, in nats, so that
        systems on the same inputs can be compared input by input.
    nulls
        Only where asked for (`analyze_batch`). ``shuffled``: ``fidelity_amplification`` and
        ``hitting_gain`` of heads that looked at different inputs, their ``intervals``, and
        ``beyond``, intervals of the ratio of the heads' own gain to it.
    learned_sink
        Only where there are learned sinks: the ``share`` of attention that goes to the one of each
        head under the head weights, and ``per_head``. It stands before node 0 and is only heard;
        no other measure counts it.
    sinks
        Only where asked for (`analyze_batch`): the last ``k`` positions as sinks in turn, averaged.
        ``minimax``, ``normalised`` and ``fidelity_amplification``, as above.
    """

    values_by_name: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as a new dictionary."""
        return dict(self.values_by_name)

    def __getitem__(self, key: str) -> Any:
        return self.values_by_name[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def _repr_html_(self) -> str:
        return analysis_table(self)


def analyze(
    system: MultiHeadSystem,
    *,
    convention: str = "theory",
    combine: str = "walks",
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    horizon: int | None = None,
    depth: int | None = None,
    layer: int | str = 1,
) -> Analysis:
    """Measure a system: mixing, fidelity, each head, synergy, diversity, bounds, arrival.

    Everything together costs about O(H · edges) per step, over the steps that mixing times and
    certificates need, and O(H² · edges) for the diversity. Every result names its convention,
    combination, ε and whether the sink counts. Sources: [BP], [FF], [RV].

    Parameters
    ----------
    convention
        ``"theory"``, ``"feedforward"`` or ``"paper-code"`` (`synergy_engine.analysis.convention`).
    combine
        ``"walks"`` mixes the heads' walks, ``"attention"`` their attention (`engine.walk`).
    epsilon
        Distance below which a walk counts as mixed.
    max_steps
        Where mixing times are censored.
    horizon
        Steps to spend on certifying fidelity; by default a few n, or the convention's horizon.
    depth
        Steps that count for the depth-limited fidelity; by default n, and never more than the
        horizon.
    layer
        What the result calls its layer.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.analyze(both)
    >>> round(found["synergy"]["fidelity_amplification"], 6)
    1.111111
    """
    options = replace(
        _options(
            convention,
            combine,
            epsilon,
            max_steps,
            horizon,
            system.nodes if depth is None else depth,
        ),
        sinks=system.learned_sinks,
    )
    stacks = stacks_of(system, options)
    found = measure(stacks, options)
    weights = system.weights[None]
    analysis = _analysis(stacks, found, weights, system.weights_label, options, layer)
    if options.sinks:
        assert system.dense is not None
        analysis.values_by_name["learned_sink"] = learned_sink(system.dense[None], weights)
    return analysis


def analyze_batch(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    convention: str = "theory",
    combine: str = "walks",
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    horizon: int | None = None,
    depth: int | None = None,
    sinks: int = 1,
    shuffles: int = 0,
    rows: str = "check",
    weights_label: str | None = None,
    axes: str | None = None,
) -> list[Analysis]:
    """Measure attention ``(B, L, H, n, n)``: one `Analysis` for each of the L layers.

    Every input is a system of its own; numbers are means over the B inputs (mixing times:
    medians; ratios: exponentials of mean logarithms), with 95 % Student-t intervals over inputs
    where B > 1. O(B · L) times the cost of
    `analyze`, a layer's inputs in parallel. `InvalidSystemError` names everything that is wrong
    with the attention or the weights.

    Parameters
    ----------
    attention
        Rows = queries, lower triangular, rows summing to one; float32 is kept and accumulated in
        float64.
    weights
        Head weights ``(L, H)`` or ``(H,)``, normalised, or ``"uniform"``.
    rows
        What to do about row sums, as in `MultiHeadSystem.from_attention`; or ``"sinks"``: rows sum
        to at most one, and a learned sink before node 0, which no measure counts, has the rest.
    axes
        What the axes are where they are others, as in ``axes="L,B,H,n,n"`` for the
        ``outputs.attentions`` of Transformers; a sequence of arrays is refused without.
    weights_label
        What to call the weights, for instance ``"learned"``.
    depth
        As in `analyze`, but L by default: a network of L layers takes L steps.
    sinks
        Measure fidelity also with each of the last so many positions as the sink of the nodes up
        to it, averaged, as ``sinks``: what one layer's last position hears is mostly a property of
        its own row.
    shuffles
        With several heads and inputs, how often heads are also shuffled over inputs, as ``nulls``;
        not in the convention ``"paper-code"``.
    convention, combine, epsilon, max_steps, horizon
        As in `analyze`.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> import numpy as np
    >>> uniform = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    >>> (layer,) = engine.analyze_batch(np.broadcast_to(uniform, (3, 1, 2, 4, 4)))
    >>> layer["inputs"], layer["heads"], layer["fidelity"]["normalised"]
    (3, 2, 1.0)
    """
    whole_number("sinks", sinks, 1)
    whole_number("shuffles", shuffles, 0)
    batch, shares = validation.batch_of_heads(
        layouts.with_axes(attention, axes), weights, rows=rows
    )
    inputs, layers = batch.shape[:2]
    options = replace(
        _options(
            convention, combine, epsilon, max_steps, horizon, layers if depth is None else depth
        ),
        sinks=rows == "sinks",
    )
    label = weights_label or ("uniform" if isinstance(weights, str) else "given")
    found = []
    room = None
    for layer in range(layers):
        heads = batch[:, layer]
        if not heads.flags.c_contiguous:  # of several inputs
            # Into the same room each time: new memory costs more than copying.
            room = np.empty_like(heads, order="C") if room is None else room
            over_ranges(partial(_copy, heads, room), inputs, float(heads.size))
            heads = room
        repeated = np.tile(shares[layer], (inputs, 1))
        stacks = dense_stacks(heads, repeated, options)
        measures = measure(stacks, options)
        analysis = _analysis(stacks, measures, repeated, label, options, layer + 1)
        if options.sinks:
            analysis.values_by_name["learned_sink"] = learned_sink(heads, repeated)
        if sinks > 1:
            analysis.values_by_name["sinks"] = each_sink(heads, repeated, options, sinks)
        if shuffles and min(heads.shape[:2]) > 1 and not options.convention.published_walk:
            gains = shuffled_gains(heads, repeated, measures, options, shuffles)
            analysis.values_by_name["nulls"] = {"shuffled": gains}
        found.append(analysis)
    return found


def _copy(source: Reals, target: Reals, low: int, high: int) -> None:
    np.copyto(target[low:high], source[low:high])


def _options(
    convention: str,
    combine: str,
    epsilon: float,
    max_steps: int,
    horizon: int | None,
    depth: int,
) -> Options:
    """Check the options that every analysis takes."""
    chosen = named_convention(convention)
    choose("combine", combine, COMBINATIONS)
    levels(epsilon)
    at_least("max_steps", max_steps, 1)
    if horizon is not None:
        at_least("horizon", horizon, 1)
    at_least("depth", depth, 1)
    if chosen.published_walk:
        combine = "attention"
    return Options(chosen, combine, epsilon, max_steps, horizon, depth)


def _analysis(
    stacks: Stacks,
    found: Measures,
    weights: Floats,
    label: str,
    options: Options,
    layer: int | str,
) -> Analysis:
    """Everything about S systems of one layer."""
    chosen = options.convention
    systems, count, nodes = stacks.systems, stacks.heads, stacks.walk.nodes
    clear = found.fidelity
    best = found.head_fidelity.max(axis=1)
    pairs = stacks.diversities.mean(axis=0)
    amplification = ratio(clear.minimax, best)
    held_out = amplification_held_out(clear.minimax, found.head_fidelity)
    gain, gain_censored = _mixing_gain(found, options)
    hitting_gain = ratio(found.head_hitting.min(axis=1), found.hitting_mean)
    return Analysis(
        {
            "layer": layer,
            "heads": count,
            "nodes": nodes,
            "inputs": systems,
            "head_weights": weights.mean(axis=0).tolist(),
            "weights": label,
            "convention": chosen.name,
            "combine": options.combine,
            "epsilon": options.epsilon,
            "sink": chosen.sink,
            "mixing": {
                "hitting_time_mean": mean(found.hitting_mean),
                "hitting_time_median": mean(found.hitting_median),
                "hitting_time_capped_mean": mean(found.capped),
                "hitting_time_cap": chosen.cap,
                "arrival_median": typical(found.crossing[:, MEDIAN], options.max_steps),
                "max_steps": options.max_steps,
                **_four(found.crossing, options),
                "backward": _four(found.backward, options),
            },
            "fidelity": {
                "minimax": mean(clear.minimax),
                "normalised": nodes * mean(clear.minimax),
                "argmin": most_frequent(clear.argmin),
                "time": most_frequent(clear.time),
                "lower": mean(clear.lower),
                "upper": mean(clear.upper),
                "beyond_one_step": mean((clear.time > 1).astype(float)),
                "converged": mean(clear.converged.astype(float)),
                "horizon": found.fidelity_steps,
                "depth_limited": mean(found.depth_limited),
                "depth": min(options.depth, options.fidelity_steps(nodes)),
                # Named when cut off in some input: one silent node is one too many.
                "unreachable": np.flatnonzero(found.cut_off.any(axis=0)).tolist(),
            },
            "per_head": [
                {
                    "head": h + 1,
                    "weight": float(weights[:, h].mean()),
                    "hitting_time_mean": mean(found.head_hitting[:, h]),
                    "mixing_time_tv_max": typical(found.head_crossing[:, h, 0], options.max_steps),
                    "fidelity_minimax": mean(found.head_fidelity[:, h]),
                }
                for h in range(count)
            ],
            "synergy": {
                "fidelity_amplification": log_mean(amplification),
                "fidelity_amplification_held_out": None if held_out is None else log_mean(held_out),
                "mixing_gain": log_mean(gain),
                "mixing_gain_censored": gain_censored,
                "hitting_gain": log_mean(hitting_gain),
                "best_head_fidelity": mean(best),
                "beats_best_head": mean((amplification > 1 + TIE).astype(float)),
            },
            "diversity": {
                **dict(zip(DISTANCES, mean_over_pairs(pairs).tolist(), strict=True)),
                "pairs": pairs[0].tolist(),
            },
            "bounds": bound_table(
                found,
                weights,
                epsilon=options.epsilon,
                max_steps=options.max_steps,
                proper_walks=options.combine == "walks",
            ),
            "arrival": {
                "steps": found.curve_steps.tolist(),
                "mean": found.curve.mean(axis=(0, 2)).tolist(),
                "median": medians(found.curve).mean(axis=0).tolist(),
                "worst": found.curve.min(axis=2).mean(axis=0).tolist(),
            },
            "intervals": {
                "hitting_time_mean": interval(found.hitting_mean, low=0.0),
                "hitting_time_capped_mean": interval(found.capped, low=0.0),
                "fidelity_minimax": interval(clear.minimax, low=0.0, high=1.0),
                "fidelity_amplification": log_interval(amplification),
                "mixing_gain": log_interval(gain),
                "hitting_gain": log_interval(hitting_gain),
                **(
                    {}
                    if held_out is None
                    else {"fidelity_amplification_held_out": log_interval(held_out)}
                ),
            },
            **({"per_input": per_input(found.hitting_mean, clear.minimax)} if systems > 1 else {}),
        }
    )


def per_input(hitting_time: Floats, fidelity: Floats) -> dict[str, list[float]]:
    """Each input's own measures, as logarithms in nats."""
    with np.errstate(divide="ignore"):
        return {
            "log_hitting_time": np.log(hitting_time).tolist(),
            "log_fidelity": np.log(fidelity).tolist(),
        }


def _mixing_gain(found: Measures, options: Options) -> tuple[Floats, bool]:
    """How many times sooner than its best head each system mixes, and whether that is censored.

    A time beyond ``max_steps`` counts as ``max_steps``, which makes the gain a bound.
    """
    chosen = options.convention
    if chosen.gain == "hitting":
        return ratio(found.head_hitting.min(axis=1), found.hitting_mean), False
    headline = MIXING_TIMES.index((chosen.distance, chosen.aggregate))
    alone, together = found.head_crossing[:, :, headline], found.crossing[:, headline]
    best = np.where(alone < 0, options.max_steps, alone).min(axis=1)
    own = np.where(together < 0, options.max_steps, together)
    censored = bool(np.any(together < 0) or np.any((alone < 0).all(axis=1)))
    return ratio(best.astype(float), own.astype(float)), censored


def _four(crossing: Ints, options: Options) -> dict[str, int | float | str]:
    """The four mixing times under their names."""
    return {
        f"mixing_time_{distance}_{aggregate}": typical(crossing[:, c], options.max_steps)
        for c, (distance, aggregate) in enumerate(MIXING_TIMES)
    }


def warm_up() -> None:
    """Compile the kernels that analyses of dense heads run, `why` too, or load them from disk.

    Compiling takes some twenty seconds, once for each version of the engine; loading, under one. A
    program that will analyse attention calls this in a thread, or when it is installed, so that
    its first answer does not wait.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> engine.warm_up()
    """
    # Twenty nodes that nearly keep what they have: slow enough for the kernels that look far ahead.
    attention = np.tril(np.full((2, 1, 2, 20, 20), 0.001, dtype=np.float32))
    attention /= np.arange(1, 21, dtype=np.float32)[:, None]
    attention += 0.999 * np.eye(20, dtype=np.float32)
    for convention in CONVENTIONS:
        analyze_batch(attention, convention=convention)
    layer = MultiHeadSystem.from_attention(attention[0, 0])
    sensitivity(layer, time=2)
    routing_bound(layer)
    routing_times(layer)
    analyze(MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2), (1, 2)]]))
