"""Measures systems: operators in, arrays of numbers out, one row a system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import operators
from .convention import Convention
from .disagreement import diversity
from .minimax import TOLERANCE, Minima, minima, run_peaks
from .mixing import CONVENTIONS, arrived, levels
from .operators import DenseStack, Stack
from .states import Survival
from .system import MultiHeadSystem
from .validation import as_attention

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

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


@dataclass(frozen=True)
class Stacks:
    """The operators of S systems of H heads: heads one after another, system by system."""

    systems: int
    heads: int
    head_walks: Stack
    head_diffusions: Stack
    walk: Stack
    diffusion: Stack
    same: npt.NDArray[np.bool_]
    """(S,) which systems have one head, or heads with weight that are equal bit for bit."""
    first: Counts
    """(S,) in those, the head that the mixture is."""
    diversities: Floats
    """(S, 3): Jensen-Shannon, Jaccard, cosine disagreement."""


@dataclass(frozen=True)
class Measures:
    """Everything measured: S systems, H heads, n nodes. Crossings are -1 where censored."""

    hitting_mean: Floats  # (S,) over starts
    hitting_median: Floats  # (S,)
    capped: Floats  # (S,)
    crossing: Counts  # (S, 6): the four mixing times, MEDIAN, ARRIVED
    backward: Counts  # (S, 5): the four mixing times, QUARTER
    head_hitting: Floats  # (S, H)
    head_crossing: Counts  # (S, H, 4)
    fidelity: Minima  # (S,)
    cut_off: npt.NDArray[np.bool_]  # (S, n): nodes without a way to the sink
    head_fidelity: Floats  # (S, H)
    fidelity_steps: int
    leaving: Floats  # (S, H, n)
    one_source: bool
    curve_steps: Counts  # (T,)
    curve: Floats  # (S, T, n) arrival


def stacks_of(system: MultiHeadSystem, options: Options) -> Stacks:
    """Operators of one system. The published code reads attention, which is dense."""
    if options.convention.published_walk:
        system = system.to_dense()
    if system.dense is not None:
        return dense_stacks(system.dense[None], system.weights[None], options)
    return sparse_stacks(system, options)


def dense_stacks(heads: npt.NDArray[np.floating], weights: Floats, options: Options) -> Stacks:
    """Operators of dense systems: raw heads (S, H, n, n), head weights (S, H)."""
    systems, count, n = heads.shape[:3]
    if options.convention.published_walk:
        heads = as_attention(heads)
    flat = heads.reshape(-1, n, n)
    merged = operators.merge_equal(heads, weights)
    if options.convention.published_walk:
        # The published code takes attention as it is: rows are not normalised again.
        one = np.ones((systems, count, n))
        mixed = operators.mix(heads, merged, one, one)
        head_walks, walk = operators.paper_chains(flat), operators.paper_chains(mixed)
        head_diffusions = DenseStack(flat, one.reshape(-1, n), one.reshape(-1, n))
        diffusion = DenseStack(mixed, one[:, 0].copy(), one[:, 0].copy())
    else:
        head_walks = operators.dense_heads(flat, "walk")
        head_diffusions = operators.dense_heads(flat, "diffusion")
        walk = operators.dense_mixtures(heads, weights, "walk", options.combine)
        diffusion = operators.dense_mixtures(heads, weights, "diffusion")
    return Stacks(
        systems=systems,
        heads=count,
        head_walks=head_walks,
        head_diffusions=head_diffusions,
        walk=walk,
        diffusion=diffusion,
        same=np.count_nonzero(merged, axis=1) == 1,
        first=np.argmax(merged, axis=1),
        diversities=operators.diversity(heads),
    )


def sparse_stacks(system: MultiHeadSystem, options: Options) -> Stacks:
    """Operators of one sparse system, in every convention but the published code's."""
    from . import sparse_operators

    found = diversity(system)
    return Stacks(
        systems=1,
        heads=system.heads,
        head_walks=operators.heads(system, "walk"),
        head_diffusions=operators.heads(system, "diffusion"),
        walk=operators.mixture(system, "walk", options.combine),
        diffusion=operators.mixture(system, "diffusion"),
        same=np.array([sparse_operators.one_distinct_head(system)]),
        first=np.array([int(np.argmax(system.weights))]),
        diversities=np.array([[found.jensen_shannon, found.jaccard, found.cosine_disagreement]]),
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
        hitting_median = np.median(lasting.sum(axis=1), axis=1)
        head_hitting = heads.capped.reshape(systems, count)
    else:
        hitting = stacks.walk.hitting()
        hitting_mean, hitting_median = hitting.mean(axis=1), np.median(hitting, axis=1)
        head_hitting = stacks.head_walks.hitting().mean(axis=1).reshape(systems, count)
    steps = chosen.horizon or options.horizon or chosen.fidelity_steps(n)
    tolerance = -1.0 if chosen.horizon else TOLERANCE
    peaks = run_peaks(stacks.diffusion, tolerance=tolerance, horizon=steps, every_node=False)
    head_peaks = run_peaks(
        stacks.head_diffusions, tolerance=tolerance, horizon=steps, every_node=False
    )
    clear = minima(peaks, stacks.diffusion, chosen.sink)
    head_clear = minima(head_peaks, stacks.head_diffusions, chosen.sink).minimax
    head_clear = head_clear.reshape(systems, count)
    head_crossing = heads.crossing.reshape(systems, count, -1)

    same, first = np.flatnonzero(stacks.same), stacks.first[stacks.same]
    clear.minimax[same] = head_clear[same, first]
    state.crossing[same, : len(CONVENTIONS)] = head_crossing[same, first]
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


def _curve_steps(ends: Counts, max_steps: int) -> Counts:
    """At most `CURVE_POINTS` steps until nearly all have arrived, evenly or by their logarithm."""
    last = int(np.median(np.where(ends < 0, max_steps, ends)))
    last = max(1, last)
    if last < CURVE_POINTS:
        return np.arange(last + 1)
    rising = np.geomspace(1, last, CURVE_POINTS - 1)
    return np.unique(np.concatenate([[0], np.round(rising).astype(np.int64)]))
