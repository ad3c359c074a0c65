"""What each head contributes to the fidelity, beyond the margin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial, sqrt

import numpy as np

from synergy_engine.arrays import Bools, Floats
from synergy_engine.errors import whole_number
from synergy_engine.limits import report
from synergy_engine.measures.mixing import MAX_STEPS
from synergy_engine.measures.weights import scorer
from synergy_engine.system import MultiHeadSystem

EXACT_HEADS = 10
"""Heads up to which every subset is measured."""

AT_ONCE = 256
"""Subsets measured between two looks at whether somebody wants to stop."""


@dataclass(frozen=True)
class Contributions:
    """Who contributes what to ``φ_min``; heads are numbered from 0.

    Attributes
    ----------
    shapley
        (H,) float64 Shapley values; they sum to ``φ_min`` of the whole system.
    standard_error
        (H,) of each, 0 where exact.
    interaction
        (H, H) Shapley interaction of pairs, symmetric, 0 on the diagonal; ``None`` where sampled.
        Mostly below 0 even with synergy, since no heads at all are worth 0.
    value
        ``φ_min`` of each subset that was measured, its weights renormalised.
    surplus
        How much each subset is worth beyond its best proper subset; above 0 the whole subset is
        needed. Where sampled, of all heads only, and over the subsets measured: no less than the
        true one.
    exact
        Whether every subset was measured.
    """

    shapley: Floats
    standard_error: Floats
    interaction: Floats | None
    value: dict[tuple[int, ...], float]
    surplus: dict[tuple[int, ...], float]
    exact: bool


def contributions(
    system: MultiHeadSystem, *, permutations: int = 256, seed: int = 0
) -> Contributions:
    """Shapley values of the heads, their interaction, and the surplus of sets of heads.

    ``value(S) = φ_min`` of the mixture of the heads in S, weights renormalised; ``value(∅) = 0``. A
    head's Shapley value is its marginal value averaged over all orders in which heads may join.
    Exact up to 10 heads, from the fidelities of all 2^H subsets; beyond, an average over random
    orders, H fidelities each: O(edges) per step and fidelity. Sources: Shapley, 1953; Grabisch
    and Roubens, 1999, for the interaction.

    Parameters
    ----------
    permutations
        Random orders, at least 2, for more than 10 heads.
    seed
        Of the orders.

    Examples
    --------
    Example 2 of [BP]: head 1 contributes more, and both together more than either alone.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.contributions(both)
    >>> print(found.shapley.round(6), round(found.surplus[0, 1], 6))
    [0.270833 0.145833] 0.041667
    """
    permutations = whole_number("permutations", permutations, 2)
    seed = whole_number("seed", seed, 0)
    count = system.heads
    if count <= EXACT_HEADS:
        masks = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
        return _exact(_values(system, masks), masks)
    return _sampled(system, permutations, np.random.default_rng(seed))


def _values(system: MultiHeadSystem, masks: Bools) -> Floats:
    """``φ_min`` of each subset (S, H) of the heads; 0 for no heads."""
    weights = np.where(masks, system.weights, 0.0)
    # Heads of weight 0 among themselves count alike, as in `MultiHeadSystem.subset`.
    weights = np.where(weights.any(axis=1, keepdims=True), weights, masks.astype(float))
    used = masks.any(axis=1)
    weights = weights[used] / weights[used].sum(axis=1, keepdims=True)
    score = scorer(system, "fidelity", 0.25, MAX_STEPS, "walks")
    found = []
    for first in range(0, len(weights), AT_ONCE):
        report("subsets of heads", first, len(weights))
        found.append(score(weights[first : first + AT_ONCE]))
    values = np.zeros(len(masks))
    values[used] = np.concatenate(found)
    return values


def _heads(mask: Bools) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _exact(values: Floats, masks: Bools) -> Contributions:
    """From the values of all subsets; bit h of an index says whether head h is in it."""
    count = masks.shape[1]
    size = masks.sum(axis=1)
    every = np.arange(len(values))
    orders = np.array([float(factorial(k)) for k in range(count + 1)])
    shapley = np.empty(count)
    for h in range(count):
        without = every[~masks[:, h]]
        share = orders[size[without]] * orders[count - size[without] - 1] / orders[count]
        shapley[h] = np.sum(share * (values[without | 1 << h] - values[without]))
    interaction = np.zeros((count, count))
    for h, k in combinations(range(count), 2):
        without = every[~masks[:, h] & ~masks[:, k]]
        share = orders[size[without]] * orders[count - size[without] - 2] / orders[count - 1]
        together = values[without | 1 << h | 1 << k] + values[without]
        apart = values[without | 1 << h] + values[without | 1 << k]
        interaction[h, k] = interaction[k, h] = np.sum(share * (together - apart))
    best = np.zeros(len(values))  # over proper subsets
    for subset in range(1, len(values)):
        smaller = subset ^ 1 << np.flatnonzero(masks[subset])
        best[subset] = np.maximum(values[smaller], best[smaller]).max()
    return Contributions(
        shapley=shapley,
        standard_error=np.zeros(count),
        interaction=interaction,
        value={_heads(masks[s]): float(values[s]) for s in every},
        surplus={_heads(masks[s]): float(values[s] - best[s]) for s in every[1:]},
        exact=True,
    )


def _sampled(
    system: MultiHeadSystem, permutations: int, random: np.random.Generator
) -> Contributions:
    """From subsets that grow head by head, in random orders."""
    count = system.heads
    orders = random.permuted(np.tile(np.arange(count), (permutations, 1)), axis=1)
    joined = np.argsort(orders, axis=1)  # when each head joins
    grown = joined[:, None, :] < np.arange(1, count + 1)[:, None]
    masks, where = np.unique(grown.reshape(-1, count), axis=0, return_inverse=True)
    values = _values(system, masks)
    steps = values[where.reshape(permutations, count)]
    gains = np.diff(steps, axis=1, prepend=0.0)
    marginal = np.take_along_axis(gains, joined, axis=1)
    whole = tuple(range(count))
    value = {_heads(mask): float(v) for mask, v in zip(masks, values, strict=True)}
    rest = max(v for heads, v in value.items() if heads != whole)
    return Contributions(
        shapley=marginal.mean(axis=0),
        standard_error=marginal.std(axis=0, ddof=1) / sqrt(permutations),
        interaction=None,
        value=value,
        surplus={whole: value[whole] - rest},
        exact=False,
    )
