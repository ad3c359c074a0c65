"""What a network of several layers can hear: fidelity through its own layers, one step each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from synergy_engine import validation
from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.errors import InvalidSystemError, OptionError, choose, whole_number
from synergy_engine.operators.chains import Chains, best_chain
from synergy_engine.operators.dense import merge_equal
from synergy_engine.operators.layers import carried, clearest

NAMED = {"half": 0.5, "one": 1.0}
"""Values of γ that have a name of their own."""

CHAINS = 4096
"""Chains of one head per layer up to which the best is found by trying all."""

SinkChoice = Literal["last", "each"]


@dataclass(frozen=True)
class LayeredFidelity:
    """How clearly the sink hears every node through L layers of H heads, n nodes.

    Arrays have an axis of B inputs in front where the attention had one; without it, what is
    given as (…) is a number.

    Attributes
    ----------
    gamma
        The name of γ: ``"half"``, ``"one"``, ``"norm"`` or the number.
    node
        (…, n) float64: ``φ^L_j``, the sink's own included.
    minimax
        (…) ``min_{j≠τ} φ^L_j``.
    normalised
        (…) ``n · φ^L_min``.
    argmin
        (…) the binding node: the one heard least.
    heads
        (…, L, H) what each head carries of the binding node's fidelity, layer by layer; with
        `skip` each layer sums to 1. ``nan`` where the fidelity is 0.
    skip
        (…, L) what passes each layer by the residual path.
    gradient
        (…, L, H) ``∂φ^L_min/∂β_{l,h}``, other weights and the binding node kept.
    pairs
        (…, L-1, H, H) what goes through head h of one layer and then head k of the next, at
        ``[l, h, k]``; ``None`` unless asked for.
    sinks
        The positions that served as sink: the last, or the last k.
    by_sink
        (…, k) ``φ^L_min`` with each of them as the sink of the nodes before it. All fields above
        are about the last one.
    """

    gamma: str
    node: Floats
    minimax: Floats
    normalised: Floats
    argmin: Ints
    heads: Floats
    skip: Floats
    gradient: Floats
    pairs: Floats | None
    sinks: tuple[int, ...]
    by_sink: Floats


def layered_fidelity(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    gamma: str | float | npt.ArrayLike = "half",
    sink: SinkChoice = "last",
    k: int = 8,
    pairs: bool = False,
    rows: str = "check",
) -> LayeredFidelity:
    """Fidelity of every node through the network's own layers, and what carries the least.

    ``φ^L_j = (M_L … M_1)[τ, j]`` with ``M_l = (1 - γ_l) I + γ_l Σ_h β_{l,h} D_{l,h}``: every layer
    is one step, and the residual path keeps ``1 - γ``. There is no largest value over steps and no
    horizon, and ``φ^L`` is continuous in the weights. O(L H n²): two passes over the heads, one
    for the sink's row and one for the binding node's column, whose products are the shares of the
    heads. Source: attention rollout (Abnar & Zuidema, 2020); Barbero et al., 2024, for the product
    as a bound on what the last token can depend on.

    Parameters
    ----------
    attention
        (L, H, n, n) or (B, L, H, n, n), as in `engine.analyze_batch`.
    weights
        Head weights (L, H) or (H,), normalised, or ``"uniform"``.
    gamma
        The part of a node's state that attention writes: ``"half"``, ``"one"`` (no residual
        path), a number from 0 to 1, or measured norms (L, n) or (B, L, n), named ``"norm"``:
        ``‖attention output‖ / (‖x‖ + ‖attention output‖)`` by receiver.
    sink
        ``"last"``, or ``"each"``: also the minimum with each of the last ``k`` positions as the
        sink of the nodes up to it (`LayeredFidelity.by_sink`).
    k
        How many positions ``"each"`` means; positions without a node before them do not count.
    pairs
        Whether to follow pairs of heads of neighbouring layers; O(L H² n) more.
    rows
        What to do about row sums, as in `engine.analyze_batch`.

    Examples
    --------
    The two heads of Example 2 of [BP] in two layers; of what arrives of node 0, head 2 of the
    first layer carries five eighths.

    >>> import synergy_engine as engine
    >>> system = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> network = [system.dense, system.dense]
    >>> found = engine.layered_fidelity(network, rows="normalise")
    >>> print(round(36 * found.minimax, 12), found.argmin, found.heads[0].round(3))
    1.0 0 [0.375 0.625]
    """
    choose("sink", sink, ("last", "each"))
    heads, shares, single = network(attention, weights, rows)
    name, share = residual(gamma, heads)
    n = heads.shape[-1]
    sinks = tuple(range(n - 1, n))
    if sink == "each":
        sinks = tuple(range(max(min(1, n - 1), n - whole_number("k", k, 1)), n))
    merged = merge_layers(heads, shares)
    whole = rows != "sinks"
    found = carried(heads, merged, share, n - 1, pairs=pairs, whole=whole)
    every = np.arange(len(heads))
    least = found.node[every, found.argmin]
    earlier = [smallest(heads, merged, share, each, whole=whole) for each in sinks[:-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        by_head = shares * found.gradient / least[:, None, None]
        skip = found.skip / least[:, None]
        by_pair = None
        if found.pairs is not None:
            both = shares[:-1, :, None] * shares[1:, None, :]
            by_pair = both * found.pairs / least[:, None, None, None]

    def shaped(array: npt.NDArray) -> npt.NDArray:
        return array[0] if single else array

    return LayeredFidelity(
        gamma=name,
        node=shaped(found.node),
        minimax=shaped(least),
        normalised=shaped(n * least),
        argmin=shaped(found.argmin),
        heads=shaped(by_head),
        skip=shaped(skip),
        gradient=shaped(found.gradient),
        pairs=None if by_pair is None else shaped(by_pair),
        sinks=sinks,
        by_sink=shaped(np.stack([*earlier, least], axis=1)),
    )


@dataclass(frozen=True)
class LayeredSynergy:
    """All heads of every layer against the best chain of one head per layer; (…) as there.

    Attributes
    ----------
    gamma
        The name of γ, as in `LayeredFidelity`.
    minimax
        (…) ``φ^L_min`` of the mixture.
    chain
        (…, L) heads, from 0, of the best chain found, first layer first.
    chain_minimax
        (…) its ``φ^L_min``.
    synergy
        (…) ``minimax / chain_minimax``; above 1 the heads of some layer do together what no
        choice of one per layer does. Not less than the true ratio.
    at_least
        (…) the true ratio is not below this; equal to ``synergy`` where ``exact``.
    exact
        (…) whether no chain can be better than the one found.
    """

    gamma: str
    minimax: Floats
    chain: Ints
    chain_minimax: Floats
    synergy: Floats
    at_least: Floats
    exact: npt.NDArray[np.bool_]


def layered_synergy(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    gamma: str | float | npt.ArrayLike = "half",
    rows: str = "check",
) -> LayeredSynergy:
    """``φ^L_min`` of the mixture over that of the best chain of one head per layer.

    Up to 4,096 chains (``H^L``) all are tried: O(H^L n²), in products of matrices. Beyond, the
    chains that may still become clearest are followed from the sink down. How clear a chain can
    still become is bounded by the routing bound of the layers below, in which every node takes,
    at every layer, the head that hears best; what is dropped then bounds all that was not tried.
    Being about chains only, that bound can prove a ratio above 1, which a bound that holds for
    mixtures too cannot.
    The ratio is 1 when mixture and best chain are 0, and ``inf`` when only the chain is.

    Arguments are those of `layered_fidelity`. Identical heads give exactly 1. Source:
    *Beyond Parallelism*'s amplification, followed through layers.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> system = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.layered_synergy([system.dense, system.dense], rows="normalise")
    >>> print(round(found.synergy, 4), found.exact)
    0.6667 True
    """
    heads, shares, single = network(attention, weights, rows)
    name, share = residual(gamma, heads)
    merged = merge_layers(heads, shares)
    whole = rows != "sinks"
    own = clearest(heads, merged, share, heads.shape[-1] - 1, whole=whole)[0][0]
    n = heads.shape[-1]
    least = own[:, : max(n - 1, 1)].min(axis=1)
    found: list[Chains] = [
        best_chain(heads[b], share[b], own[b], CHAINS, whole=whole) for b in range(len(heads))
    ]
    chain = np.array([each.heads for each in found])
    # By the same sums as the mixture, so that a mixture that is one chain is exactly that.
    one_hot = (chain[:, :, None] == np.arange(heads.shape[2])).astype(float)
    best = smallest(heads, one_hot, share, n - 1, whole=whole)
    exact = np.array([each.exact for each in found])
    limit = np.where(exact, best, np.maximum(best, [each.limit for each in found]))

    def shaped(array: npt.NDArray) -> npt.NDArray:
        return array[0] if single else array

    return LayeredSynergy(
        gamma=name,
        minimax=shaped(least),
        chain=shaped(chain),
        chain_minimax=shaped(best),
        synergy=shaped(_ratio(least, best)),
        at_least=shaped(_ratio(least, limit)),
        exact=shaped(exact),
    )


def smallest(
    heads: Reals, weights: Floats, gamma: Floats, sink: int, *, whole: bool = True
) -> Floats:
    """(B,) the fidelity of the node that ``sink`` hears least, among those before it."""
    node = clearest(heads, weights, gamma, sink, whole=whole)[0][0]
    return node[:, : max(sink, 1)].min(axis=1)


def merge_layers(heads: Reals, weights: Floats) -> Floats:
    """Head weights (B, L, H) with those of repeated heads moved to their first copy."""
    inputs, layers, count, n = heads.shape[:4]
    every = np.tile(weights, (inputs, 1))
    return merge_equal(heads.reshape(-1, count, n, n), every).reshape(inputs, layers, count)


def residual(gamma: str | float | npt.ArrayLike, heads: Reals) -> tuple[str, Floats]:
    """The name of γ, and its values (B, L, n) for heads (B, L, H, n, n)."""
    inputs, layers, _, n = heads.shape[:4]
    shape = (inputs, layers, n)
    if isinstance(gamma, str):
        if gamma == "norm":
            raise OptionError(
                'gamma is "norm", which is measured: give the norms themselves, an array '
                f"({layers}, {n}) or ({inputs}, {layers}, {n}) of numbers from 0 to 1."
            )
        return choose("gamma", gamma, tuple(NAMED)), np.full(shape, NAMED[gamma])
    try:
        values = np.asarray(gamma, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f'gamma is {gamma!r}; give "half", "one" or a number.') from None
    if values.ndim and values.shape not in ((layers, n), shape):
        raise OptionError(
            f"gamma has shape {values.shape}; expected one number, ({layers}, {n}) or {shape}."
        )
    if not np.all((values >= 0) & (values <= 1)):
        raise OptionError("gamma must be from 0 to 1 everywhere: it is a share of a node's state.")
    name = "norm" if values.ndim else f"{float(values):g}"
    return name, np.ascontiguousarray(np.broadcast_to(values, shape))


def network(
    attention: npt.ArrayLike, weights: str | npt.ArrayLike, rows: str
) -> tuple[Reals, Floats, bool]:
    """Heads (B, L, H, n, n), weights (L, H), and whether the attention had no axis of inputs."""
    array = np.asarray(attention)
    if array.ndim not in (4, 5):
        raise InvalidSystemError(
            f"The attention has shape {array.shape}; expected (layers, heads, n, n) or "
            "(inputs, layers, heads, n, n)."
        )
    single = array.ndim == 4
    heads, shares = validation.batch_of_heads(array[None] if single else array, weights, rows=rows)
    return heads, shares, single


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element-wise ratio in which 0/0 is a tie: 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((numerator == 0) & (denominator == 0), 1.0, numerator / denominator)
