"""Measures systems: operators in, arrays of numbers out, one row per system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_engine.analysis.convention import Convention, convention as named_convention
from synergy_engine.arrays import Bools, Floats, Ints, Reals
from synergy_engine.errors import choose
from synergy_engine.kernels.states import Survival
from synergy_engine.measures.fidelity import TOLERANCE, Minima, minima, run_peaks
from synergy_engine.measures.mixing import MIXING_TIMES, arrived, levels
from synergy_engine.operators import dense, door, sparse
from synergy_engine.operators.dense import DenseStack
from synergy_engine.operators.stack import COMBINATIONS, Stack
from synergy_engine.system import MultiHeadSystem
from synergy_engine.validation import as_attention, batch_of_heads

MEDIAN, ARRIVED = 4, 5
"""Columns of `Measures.crossing` after the four mixing times: half, and nearly all, arrived."""

NEARLY_ALL = 0.99
"""An arrival curve is drawn until the mean of this share has arrived."""

CURVE_POINTS = 64

QUARTER = 4
"""Column of `Measures.backward` after the four: l1, mean, ε = 1/4, which [RV]'s bound is about."""


@dataclass(frozen=True)
class Options:
    """How to measure; `engine.analyze` explains the fields."""

    convention: Convention
    combine: str
    epsilon: float
    max_steps: int
    horizon: int | None
    depth: int
    sinks: bool = False
    """Whether learned sinks are heard besides: rows sum to less than one and stay as they are."""

    def fidelity_steps(self, nodes: int) -> int:
        """Steps at most for fidelity."""
        chosen = self.convention
        return chosen.horizon or self.horizon or chosen.fidelity_steps(nodes)


@dataclass(frozen=True)
class Stacks:
    """The operators of S systems of H heads: heads one after another, system by system."""

    systems: int
    heads: int
    head_walks: Stack
    head_diffusions: Stack
    walk: Stack
    diffusion: Stack
    same: Bools
    """(S,) which systems have one head, or heads with weight that are equal bit for bit."""
    first: Ints
    """(S,) in those, the head that the mixture is."""
    diversities: Floats
    """(S, 3, H, H): Jensen-Shannon, Jaccard, cosine disagreement of pairs of heads."""


@dataclass(frozen=True)
class Measures:
    """Everything measured: S systems, H heads, n nodes. Crossings are -1 where censored."""

    hitting_mean: Floats  # (S,) over starts
    hitting_median: Floats  # (S,)
    capped: Floats  # (S,)
    crossing: Ints  # (S, 6): the four mixing times, MEDIAN, ARRIVED
    backward: Ints  # (S, 5): the four mixing times, QUARTER
    head_hitting: Floats  # (S, H)
    head_crossing: Ints  # (S, H, 4)
    fidelity: Minima  # (S,)
    depth_limited: Floats  # (S,) minimax over the first `Options.depth` steps
    cut_off: Bools  # (S, n): nodes without a way to the sink
    head_fidelity: Floats  # (S, H)
    fidelity_steps: int
    leaving: Floats  # (S, H, n)
    one_source: bool
    curve_steps: Ints  # (T,)
    curve: Floats  # (S, T, n) arrival


def stacks_of(system: MultiHeadSystem, options: Options) -> Stacks:
    """Operators of one system. The published code reads attention, which is dense."""
    if options.convention.published_walk:
        system = system.to_dense()
    if system.dense is not None:
        return dense_stacks(system.dense[None], system.weights[None], options)
    return sparse_stacks(system, options)


def dense_stacks(heads: Reals, weights: Floats, options: Options) -> Stacks:
    """Operators of dense systems: raw heads (S, H, n, n), head weights (S, H)."""
    systems, count, n = heads.shape[:3]
    if options.convention.published_walk and not options.sinks:
        heads = as_attention(heads)
    flat = heads.reshape(-1, n, n)
    merged = dense.merge_equal(heads, weights)
    if options.convention.published_walk:
        # The published code takes attention as it is: rows are not normalised again.
        mixed = dense.mix(heads, merged)
        head_walks, walk = dense.paper_chains(flat), dense.paper_chains(mixed)
        head_diffusions, diffusion = DenseStack(flat), DenseStack(mixed)
    else:
        head_walks = dense.head_stack(flat, "walk")
        head_diffusions = dense.head_stack(flat, "diffusion", whole=not options.sinks)
        diffusion = dense.mixture_of(head_diffusions, heads, merged)
        if options.combine == "walks":
            walk = dense.mixture_of(head_walks, heads, merged)
        else:
            walk = dense.head_stack(dense.mix(heads, merged), "walk")
    return Stacks(
        systems=systems,
        heads=count,
        head_walks=head_walks,
        head_diffusions=head_diffusions,
        walk=walk,
        diffusion=diffusion,
        same=np.count_nonzero(merged, axis=1) == 1,
        first=np.argmax(merged, axis=1),
        diversities=dense.diversity(heads),
    )


def sparse_stacks(system: MultiHeadSystem, options: Options) -> Stacks:
    """Operators of one sparse system, in every convention but the published code's."""
    return Stacks(
        systems=1,
        heads=system.heads,
        head_walks=door.heads(system, "walk"),
        head_diffusions=door.heads(system, "diffusion"),
        walk=door.mixture(system, "walk", options.combine),
        diffusion=door.mixture(system, "diffusion"),
        same=np.array([sparse.one_distinct_head(system)]),
        first=np.array([int(np.argmax(system.weights))]),
        diversities=sparse.diversity(system)[None],
    )


def measure(stacks: Stacks, options: Options) -> Measures:
    """Take every measure of every system.

    Where `Stacks.same` the mixture is one of its heads, and that head's numbers are used: equal
    heads then amplify by exactly 1, which computing the mixture again would only round.
    """
    chosen = options.convention
    systems, count, n = stacks.systems, stacks.heads, stacks.walk.nodes
    heads = _survival(stacks.head_walks, options, cap=chosen.cap if chosen.published_walk else 0)
    # Crossings are strict; the median arrives when at least half has.
    whole_curve = ((float(np.nextafter(0.5, 1)), True), (1.0 - NEARLY_ALL, True))
    state = _survival(stacks.walk, options, cap=chosen.cap, also=whole_curve)
    back = _survival(stacks.diffusion, options, pulled=True, also=((0.125, True),))
    if chosen.published_walk:
        # The published walks are cut at the cap, so their mean is the capped one.
        hitting_mean = state.capped.copy()
        lasting = stacks.walk.survival_at(np.arange(chosen.cap))
        hitting_median = medians(lasting.sum(axis=1))
        head_hitting = heads.capped.reshape(systems, count)
    else:
        hitting = stacks.walk.hitting()
        hitting_mean, hitting_median = hitting.mean(axis=1), medians(hitting)
        head_hitting = stacks.head_walks.hitting().mean(axis=1).reshape(systems, count)
    steps = options.fidelity_steps(n)
    tolerance = -1.0 if chosen.horizon else TOLERANCE
    peaks = run_peaks(
        stacks.diffusion, tolerance=tolerance, horizon=min(options.depth, steps), every_node=False
    )
    depth_limited = minima(peaks, stacks.diffusion, chosen.sink).minimax
    stacks.diffusion.peaks(peaks, steps)
    head_peaks = run_peaks(
        stacks.head_diffusions, tolerance=tolerance, horizon=steps, every_node=False
    )
    clear = minima(peaks, stacks.diffusion, chosen.sink)
    head_clear = minima(head_peaks, stacks.head_diffusions, chosen.sink).minimax
    head_clear = head_clear.reshape(systems, count)
    head_crossing = heads.crossing.reshape(systems, count, -1)

    same, first = np.flatnonzero(stacks.same), stacks.first[stacks.same]
    clear.minimax[same] = head_clear[same, first]
    state.crossing[same, : len(MIXING_TIMES)] = head_crossing[same, first]
    hitting_mean[same] = head_hitting[same, first]

    curve_steps = _curve_steps(state.crossing[:, ARRIVED], options.max_steps)
    return Measures(
        hitting_mean=hitting_mean,
        hitting_median=hitting_median,
        capped=state.capped,
        crossing=state.crossing,
        backward=back.crossing,
        head_hitting=head_hitting,
        head_crossing=head_crossing,
        fidelity=clear,
        depth_limited=depth_limited,
        cut_off=~stacks.diffusion.reaching(),
        head_fidelity=head_clear,
        fidelity_steps=int(peaks.clock.max()),
        leaving=stacks.head_walks.leaving().reshape(systems, count, n),
        one_source=bool(np.isfinite(stacks.diffusion.hitting_backward()).all()),
        curve_steps=curve_steps,
        curve=arrived(stacks.walk.survival_at(curve_steps)),
    )


def _survival(
    stack: Stack,
    options: Options,
    *,
    cap: int = 0,
    pulled: bool = False,
    also: Sequence[tuple[float, bool]] = (),
) -> Survival:
    """Run survival curves until the four mixing times are known, and the levels ``also`` asked."""
    where, of_mean = levels(options.epsilon)
    state = Survival.start(
        stack.count,
        stack.nodes,
        levels=[*where, *(level for level, _ in also)],
        of_mean=[*of_mean, *(mean for _, mean in also)],
        cap=cap,
        pulled=pulled,
    )
    stack.survive(state, options.max_steps)
    return state


def _curve_steps(ends: Ints, max_steps: int) -> Ints:
    """At most `CURVE_POINTS` steps until nearly all have arrived, evenly or by their logarithm."""
    last = int(np.median(np.where(ends < 0, max_steps, ends)))
    last = max(1, last)
    if last < CURVE_POINTS:
        return np.arange(last + 1)
    rising = np.geomspace(1, last, CURVE_POINTS - 1)
    return np.unique(np.concatenate([[0], np.round(rising).astype(np.int64)]))


@dataclass(frozen=True)
class Headline:
    """What papers plot, for each of B inputs and L layers.

    Attributes
    ----------
    hitting_time
        (B, L) mean expected steps to the sink over all starts; capped where the convention caps.
    fidelity
        (B, L) minimax fidelity.
    convention, combine
        What was followed; the convention ``"paper-code"`` always combines ``"attention"``.
    """

    hitting_time: Floats
    fidelity: Floats
    convention: str
    combine: str


def headline(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    convention: str = "theory",
    combine: str = "walks",
    rows: str = "check",
) -> Headline:
    """The two headline measures of attention ``(B, L, H, n, n)``, and nothing else.

    The same numbers, up to rounding, as `engine.analyze_batch` gives under
    ``mixing.hitting_time_mean`` and ``fidelity.minimax`` before it averages over inputs, at a
    fraction of its cost: O(H n²) to mix the heads, O(n²) for hitting times and O(n²) per step for
    fidelity. Arguments are those of `engine.analyze_batch`.

    >>> import synergy_engine as engine, numpy as np
    >>> uniform = np.tril(np.ones((8, 8))) / np.arange(1, 9)[:, None]
    >>> found = engine.headline(uniform[None, None, None])
    >>> found.fidelity
    array([[0.125]])
    """
    chosen = named_convention(convention)
    choose("combine", combine, COMBINATIONS)
    batch, shares = batch_of_heads(attention, weights, rows=rows)
    inputs, layers, count, n = batch.shape[:4]
    heads = batch.reshape(-1, count, n, n)
    per_system = np.tile(shares, (inputs, 1))
    if chosen.published_walk:
        heads = heads if rows in ("check", "sinks") else as_attention(heads)
        mixed = dense.mix(heads, per_system)
        diffusion, walk = DenseStack(mixed), dense.paper_chains(mixed)
        state = Survival.start(walk.count, n, levels=[], of_mean=[], cap=chosen.cap)
        walk.survive(state, chosen.cap)
        hitting = state.capped
    else:
        whole = rows != "sinks"
        diffusion = dense.mixture_stack(heads, per_system, "diffusion", whole=whole)
        walk = dense.mixture_stack(heads, per_system, "walk", combine)
        hitting = walk.hitting().mean(axis=1)
    peaks = run_peaks(
        diffusion,
        tolerance=-1.0 if chosen.horizon else TOLERANCE,
        horizon=chosen.fidelity_steps(n),
        every_node=False,
    )
    fidelity = minima(peaks, diffusion, chosen.sink).minimax
    return Headline(
        hitting.reshape(inputs, layers),
        fidelity.reshape(inputs, layers),
        chosen.name,
        "attention" if chosen.published_walk else combine,
    )


def mean(values: Floats) -> float:
    """The mean as a Python float; equal values give that value, not one that rounding made."""
    # Methods, not functions of NumPy, here and below: for a few inputs, the call is what it costs.
    first = float(values[0])
    return first if (values == first).all() else float(values.sum()) / len(values)


def medians(values: Floats) -> Floats:
    """Medians over the last axis. Sorting takes just over half the time of `numpy.median`."""
    ordered = np.sort(values, axis=-1)
    middle = values.shape[-1] // 2
    return 0.5 * (ordered[..., (values.shape[-1] - 1) // 2] + ordered[..., middle])


def log_mean(ratios: Floats) -> float:
    """The exponential of the mean logarithm: ratios of 2 and 1/2 average to 1.

    Equal values give that value; zeros and infinities beside one another give nan.
    """
    first = float(ratios[0])
    if (ratios == first).all():
        return first
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.log(ratios).sum() / len(ratios)))


def fidelities(
    heads: Reals,
    weights: Floats,
    *,
    horizon: int,
    tolerance: float = TOLERANCE,
    sink: str = "excluded",
    whole: bool = True,
) -> Floats:
    """Minimax fidelity (S,) of S systems: raw heads (S, H, n, n), head weights (S, H).

    ``whole`` as in `synergy_engine.operators.dense.mixture_stack`.
    """
    stack = dense.mixture_stack(np.ascontiguousarray(heads), weights, "diffusion", whole=whole)
    state = run_peaks(stack, tolerance=tolerance, horizon=horizon, every_node=False)
    return minima(state, stack, sink).minimax


def learned_sink(heads: Reals, weights: Floats) -> dict[str, Any]:
    """What rows of heads (S, H, n, n) lack of one, by head and under weights (S, H)."""
    share = 1.0 - heads.sum(axis=-1, dtype=np.float64).mean(axis=-1)
    return {
        "share": mean((weights * share).sum(axis=1)),
        "per_head": [mean(own) for own in share.T],
    }


def each_sink(heads: Reals, weights: Floats, options: Options, k: int) -> dict[str, Any]:
    """Fidelity with the last ``k`` positions as sinks in turn: heads (S, H, n, n), (S, H)."""
    systems, count, nodes = heads.shape[:3]
    chosen = options.convention
    heads = as_attention(heads) if chosen.published_walk and not options.sinks else heads
    clear, normalised, gain = [], [], []
    ends = range(max(min(2, nodes), nodes - k + 1), nodes + 1)
    for end in ends:
        how: dict[str, Any] = {
            "horizon": options.fidelity_steps(end),
            "tolerance": -1.0 if chosen.horizon else TOLERANCE,
            "sink": chosen.sink,
            "whole": not options.sinks,
        }
        cut = np.ascontiguousarray(heads[..., :end, :end])
        together = fidelities(cut, weights, **how)
        alone = fidelities(cut.reshape(-1, 1, end, end), np.ones((systems * count, 1)), **how)
        clear.append(together)
        normalised.append(end * together)
        gain.append(log_mean(ratio(together, alone.reshape(systems, count).max(axis=1))))
    return {
        "k": len(ends),
        "minimax": float(np.mean(clear)),
        "normalised": float(np.mean(normalised)),
        "fidelity_amplification": log_mean(np.array(gain)),
    }


def typical(times: Ints, max_steps: int) -> int | float | str:
    """Median over inputs of times of which -1 means censored, as the text ``"> max_steps"``."""
    ordered = sorted(math.inf if time < 0 else time for time in times.tolist())
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    if middle == math.inf:
        return f"> {max_steps}"
    return int(middle) if middle.is_integer() else middle


def interval(values: Floats, low: float = -np.inf, high: float = np.inf) -> list[float]:
    """95 % Student-t interval of the mean over inputs; the value itself, twice, for one input.

    Cut at ``low`` and ``high``, which no mean can be beyond, so that it covers as often.
    """
    count, middle = len(values), mean(values)
    if count < 2 or not math.isfinite(middle):
        return [middle, middle]
    # scipy.stats takes most of a second to import; this is the one number it is needed for.
    from scipy.special import stdtrit

    apart = values - values.sum() / count
    deviation = math.sqrt((apart * apart).sum() / (count - 1))
    half = float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)
    return [max(middle - half, low), min(middle + half, high)]


def log_interval(ratios: Floats) -> list[float]:
    """95 % Student-t interval of `log_mean` over inputs: of the mean logarithm, as ratios."""
    if (ratios == ratios[0]).all():
        return [float(ratios[0])] * 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(interval(np.log(ratios))).tolist()


def amplification_held_out(mixture: Floats, heads: Floats) -> Floats | None:
    """Fidelities (S,) over those (S, H) of a head that was chosen on other inputs.

    The head of highest mean log fidelity over every other input is scored on the rest, and the
    other way round: choosing the best head input by input favours the heads. ``None`` for one
    input.
    """
    if len(mixture) < 2:
        return None
    out = np.empty(len(mixture))
    for half in (0, 1):
        with np.errstate(divide="ignore"):
            typical_fidelity = np.log(heads[1 - half :: 2]).mean(axis=0)
        chosen = int(np.argmax(typical_fidelity))
        out[half::2] = ratio(mixture[half::2], heads[half::2, chosen])
    return out


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element-wise ratio in which 0/0 and inf/inf are ties: 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = numerator / denominator
    return np.where(np.isnan(quotient), 1.0, quotient)


def most_frequent(values: npt.NDArray[np.integer]) -> int:
    """The value seen most often, the smallest among equals."""
    numbers, counts = np.unique(values, return_counts=True)
    return int(numbers[np.argmax(counts)])
