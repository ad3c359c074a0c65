"""Null models that train nothing: how much of a fidelity averaging any heads would have given.

Averaging H rows raises their minimum, whatever the heads learned. Each null keeps what one
explanation needs and breaks the rest; what is left is a log ratio for every input, joint over
null, 0 where the heads do nothing together that the null's would not. Heads are dense attention
(B, H, n, n): inputs, heads, receivers, senders.

>>> from synergy_engine.analysis import nulls
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from synergy_engine import validation
from synergy_engine.analysis.batch import (
    Measures,
    Options,
    fidelities,
    log_interval,
    log_mean,
    ratio,
)
from synergy_engine.analysis.convention import CONVENTIONS
from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.errors import EngineError, InvalidSystemError, at_least, whole_number
from synergy_engine.measures.fidelity import TOLERANCE
from synergy_engine.operators import dense

Weights = str | npt.ArrayLike


def swap(
    attention: npt.ArrayLike,
    weights: Weights = "uniform",
    *,
    swaps: int = 3,
    seed: int = 0,
    depth: int | None = None,
) -> Floats:
    """Log ratios (S, B) of S trained networks over networks of heads that never trained together.

    Every head is taken from another seed's network on the same input, with its weight there,
    weights renormalised; heads of one null come from different networks where there are as many
    networks as heads. O(swaps) times the fidelities of all systems.

    Parameters
    ----------
    attention
        (S, B, H, n, n): one layer of S >= 2 networks on the same inputs.
    weights
        Head weights (S, H) or (H,), or ``"uniform"``.
    swaps
        Null networks to average over, by their logarithms.
    seed
        Of the draw.
    depth
        Steps that count; by default those that `engine.analyze` takes.

    >>> import numpy as np
    >>> one = np.tril(np.ones((1, 2, 5, 5))) / np.arange(1, 6)[:, None]
    >>> swap(np.stack([one, one]))  # networks of the same heads
    array([[0.],
           [0.]])
    """
    heads, shares = _networks(attention, weights)
    networks, inputs, count = heads.shape[:3]
    if networks < 2:
        raise EngineError("There is one network; swapping heads needs two or more.")
    random = np.random.default_rng(whole_number("seed", seed, 0))
    joint = _fidelity(heads.reshape(-1, *heads.shape[2:]), np.repeat(shares, inputs, axis=0), depth)
    logs = []
    for _ in range(whole_number("swaps", swaps, 1)):
        source = (np.arange(networks)[:, None] + offsets(count, networks, random)) % networks
        null = heads[source, :, np.arange(count)].swapaxes(1, 2)  # (S, B, H, n, n)
        own = shares[source, np.arange(count)]
        own = own / own.sum(axis=1, keepdims=True)
        clear = _fidelity(null.reshape(-1, *heads.shape[2:]), np.repeat(own, inputs, axis=0), depth)
        logs.append(_log_ratio(joint, clear))
    return np.mean(logs, axis=0).reshape(networks, inputs)


def shuffle(
    attention: npt.ArrayLike,
    weights: Weights = "uniform",
    *,
    shuffles: int = 2,
    seed: int = 0,
    depth: int | None = None,
) -> Floats:
    """Log ratios (B,) over systems whose heads looked at different inputs.

    Head h is taken from another input, a different one for each head where there are as many
    inputs as heads: what remains is what heads do whatever the input. ``attention`` (B, H, n, n),
    B >= 2; ``weights`` (H,); otherwise as `swap`.

    >>> import numpy as np
    >>> same = np.tril(np.ones((3, 2, 5, 5))) / np.arange(1, 6)[:, None]
    >>> shuffle(same)
    array([0., 0., 0.])
    """
    (heads,), (share,) = _networks(np.asarray(attention)[None], weights)
    inputs, count = heads.shape[:2]
    if inputs < 2:
        raise EngineError("There is one input; shuffling heads over inputs needs two or more.")
    random = np.random.default_rng(whole_number("seed", seed, 0))
    shares = np.tile(share, (inputs, 1))
    joint = _fidelity(heads, shares, depth)
    logs = []
    for _ in range(whole_number("shuffles", shuffles, 1)):
        source = (np.arange(inputs)[:, None] + offsets(count, inputs, random)) % inputs
        null = heads[source, np.arange(count)]
        logs.append(_log_ratio(joint, _fidelity(null, shares, depth)))
    return np.mean(logs, axis=0)


def shuffled_gains(
    heads: Reals, weights: Floats, found: Measures, options: Options, shuffles: int, seed: int = 0
) -> dict[str, object]:
    """What heads (B, H, n, n) from other inputs gain over the best of them, as `shuffle` draws it.

    ``found`` are the measures of the heads as they are. ``beyond`` are 95 % intervals of the
    ratio of their own gain to the null's, paired by input.
    """
    inputs, count = heads.shape[:2]
    random = np.random.default_rng(seed)
    places = np.arange(count)
    clear, soon = [], []
    for _ in range(shuffles):
        source = (np.arange(inputs)[:, None] + offsets(count, inputs, random)) % inputs
        mixed = np.ascontiguousarray(heads[source, places])
        fidelity = fidelities(
            mixed,
            weights,
            horizon=options.fidelity_steps(heads.shape[-1]),
            tolerance=-1.0 if options.convention.horizon else TOLERANCE,
            sink=options.convention.sink,
            whole=not options.sinks,
        )
        hitting = dense.mixture_stack(mixed, weights, "walk", options.combine).hitting()
        clear.append(_log_ratio(fidelity, found.head_fidelity[source, places].max(axis=1)))
        best = found.head_hitting[source, places].min(axis=1)
        soon.append(_log_ratio(best, hitting.mean(axis=1)))
    null = {
        "fidelity_amplification": np.exp(np.mean(clear, axis=0)),
        "hitting_gain": np.exp(np.mean(soon, axis=0)),
    }
    own = {
        "fidelity_amplification": ratio(found.fidelity.minimax, found.head_fidelity.max(axis=1)),
        "hitting_gain": ratio(found.head_hitting.min(axis=1), found.hitting_mean),
    }
    return {
        **{name: log_mean(gains) for name, gains in null.items()},
        "intervals": {name: log_interval(gains) for name, gains in null.items()},
        "beyond": {name: log_interval(ratio(own[name], null[name])) for name in null},
    }


def subset(
    attention: npt.ArrayLike,
    trained: npt.ArrayLike,
    weights: Weights = "uniform",
    trained_weights: Weights = "uniform",
    *,
    subsets: int = 8,
    seed: int = 0,
    depth: int | None = None,
) -> Floats:
    """Log ratios (B,) of a network trained with k heads over k of the heads of a larger one.

    ``attention`` (B, H, n, n) and ``trained`` (B, k, n, n), k <= H, on the same inputs, with head
    weights (H,) and (k,). ``subsets`` of the larger network are averaged over, by their
    logarithms: all where there are no more. Otherwise as `swap`.

    >>> import numpy as np
    >>> heads = np.tril(np.ones((1, 3, 5, 5))) / np.arange(1, 6)[:, None]
    >>> subset(heads, heads[:, :2])
    array([0.])
    """
    (heads,), (share,) = _networks(np.asarray(attention)[None], weights)
    (few,), (own,) = _networks(np.asarray(trained)[None], trained_weights)
    count, k = heads.shape[1], few.shape[1]
    if heads.shape[:1] + heads.shape[2:] != few.shape[:1] + few.shape[2:] or k > count:
        raise InvalidSystemError(
            f"The attention has shape {heads.shape} and that of the smaller network {few.shape}; "
            "expected the same inputs and nodes, and no more heads."
        )
    random = np.random.default_rng(whole_number("seed", seed, 0))
    joint = _fidelity(few, np.tile(own, (len(few), 1)), depth)
    logs = []
    for chosen in _subsets(count, k, whole_number("subsets", subsets, 1), random):
        part = share[chosen]
        part = part / part.sum() if part.sum() > 0 else np.full(k, 1 / k)
        null = _fidelity(heads[:, chosen], np.tile(part, (len(heads), 1)), depth)
        logs.append(_log_ratio(joint, null))
    return np.mean(logs, axis=0)


def jitter(
    attention: npt.ArrayLike,
    weights: Weights = "uniform",
    *,
    scale: float = 1e-9,
    seed: int = 0,
    depth: int | None = None,
) -> Floats:
    """Log ratios (B,) that should be 0: nearly equal heads over the best of them.

    Every head is replaced by the first, each weight moved by ``scale`` of itself and rows
    normalised. Heads that are equal bit for bit are recognised and give exactly 0 by construction;
    these are computed, so this control can fail. It stays within about ``2 · scale · t*``.
    ``attention`` (B, H, n, n); otherwise as `swap`.

    >>> import numpy as np
    >>> heads = np.tril(np.ones((1, 3, 5, 5))) / np.arange(1, 6)[:, None]
    >>> bool(abs(jitter(heads)[0]) < 1e-8)
    True
    """
    (heads,), (share,) = _networks(np.asarray(attention)[None], weights)
    inputs, count, n = heads.shape[:3]
    random = np.random.default_rng(whole_number("seed", seed, 0))
    copies = np.repeat(heads[:, :1], count, axis=1).astype(np.float64)
    copies *= 1.0 + scale * random.uniform(-1, 1, copies.shape)
    copies /= copies.sum(axis=-1, keepdims=True)
    joint = _fidelity(copies, np.tile(share, (inputs, 1)), depth)
    alone = _fidelity(copies.reshape(-1, 1, n, n), np.ones((inputs * count, 1)), depth)
    return _log_ratio(joint, alone.reshape(inputs, count).max(axis=1))


@dataclass(frozen=True)
class VarianceComponents:
    """Where log ratios over seeds and inputs vary, and how well their mean is known.

    Attributes
    ----------
    mean
        Over seeds and inputs; its exponential is the typical ratio.
    seeds, inputs, rest
        Variances: between seeds, between inputs that all seeds share (0 where they do not), and
        what is left. Estimates below 0 are 0.
    standard_error
        Of the mean, for new seeds and new inputs: ``√(seeds/S + inputs/B + rest/(S B))``.
    """

    mean: float
    seeds: float
    inputs: float
    rest: float
    standard_error: float


def variance_components(logs: npt.ArrayLike, *, common_inputs: bool = True) -> VarianceComponents:
    """Split the variance of log ratios (S, B) of S >= 2 seeds and B >= 2 inputs; O(S B).

    ``y_si = μ + a_s + b_i + e_si`` by the method of moments (analysis of variance with random
    effects). With ``common_inputs`` the design is crossed: all seeds saw the same inputs, whose
    own variance counts when the mean is to hold for others; otherwise inputs are nested and ``b``
    is part of ``e``. Source: Searle, Casella and McCulloch, *Variance Components*, 1992.

    >>> found = variance_components([[1.0, 2.0], [3.0, 4.0]])
    >>> found.mean, found.seeds, found.inputs, found.rest
    (2.5, 2.0, 0.5, 0.0)
    """
    y = np.asarray(logs, dtype=float)
    if y.ndim != 2 or min(y.shape) < 2:
        raise EngineError(
            f"The log ratios have shape {y.shape}; expected two seeds or more by two inputs or "
            "more."
        )
    seeds, inputs = y.shape
    by_seed, by_input = y.mean(axis=1), y.mean(axis=0)
    between = inputs * float(by_seed.var(ddof=1))
    if common_inputs:
        left = y - by_seed[:, None] - by_input + y.mean()
        rest = float((left**2).sum()) / ((seeds - 1) * (inputs - 1))
        of_inputs = max(0.0, (seeds * float(by_input.var(ddof=1)) - rest) / seeds)
    else:
        rest = float(y.var(axis=1, ddof=1).mean())
        of_inputs = 0.0
    of_seeds = max(0.0, (between - rest) / inputs)
    variance = of_seeds / seeds + of_inputs / inputs + rest / (seeds * inputs)
    return VarianceComponents(
        mean=float(y.mean()),
        seeds=of_seeds,
        inputs=of_inputs,
        rest=rest,
        standard_error=float(np.sqrt(variance)),
    )


def _networks(attention: npt.ArrayLike, weights: Weights) -> tuple[Reals, Floats]:
    """Heads (S, B, H, n, n), checked, and weights (S, H)."""
    heads = validation.dense_heads(attention, rows="check")
    if heads.ndim != 5:
        raise InvalidSystemError(
            f"The attention has shape {heads.shape[-4:]}; expected (inputs, heads, n, n), and "
            "networks before that where there are several."
        )
    networks, _, count = heads.shape[:3]
    if isinstance(weights, str):
        return heads, np.tile(validation.head_weights(weights, count), (networks, 1))
    given = np.asarray(weights, dtype=np.float64)
    if given.shape not in ((count,), (networks, count)):
        raise InvalidSystemError(
            f"The head weights have shape {given.shape}; expected ({count},) or "
            f"({networks}, {count})."
        )
    every = np.broadcast_to(given, (networks, count))
    return heads, np.stack([validation.head_weights(row, count) for row in every])


def _fidelity(heads: Reals, weights: Floats, depth: int | None) -> Floats:
    """Minimax fidelity (K,) of K systems: heads (K, H, n, n), weights (K, H)."""
    if depth is None:
        horizon = CONVENTIONS["theory"].fidelity_steps(heads.shape[-1])
    else:
        horizon = at_least("depth", depth, 1)
    return fidelities(heads, weights, horizon=horizon)


def _log_ratio(joint: Floats, null: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(ratio(joint, null))


def offsets(heads: int, others: int, random: np.random.Generator) -> Ints:
    """How far away each head is taken from, among ``others``: all different where there are enough.

    Never all from the same place, which would be a network as it is.
    """
    if others >= heads:
        return random.permutation(others)[:heads]
    while True:
        offsets = random.integers(0, others, heads)
        if heads == 1 or len(set(offsets.tolist())) > 1:
            return offsets


def _subsets(count: int, k: int, most: int, random: np.random.Generator) -> list[list[int]]:
    """At most ``most`` different subsets of ``k`` heads."""
    found: set[tuple[int, ...]] = set()
    while len(found) < min(most, comb(count, k)):
        found.add(tuple(sorted(random.permutation(count)[:k].tolist())))
    return [list(chosen) for chosen in sorted(found)]
