"""The layered measures of a network, one object for each γ, as ``analyze --json`` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_engine.analysis.batch import log_mean, mean, most_frequent
from synergy_engine.errors import OptionError
from synergy_engine.measures.layers import (
    NAMED,
    SinkChoice,
    layered_fidelity,
    layered_synergy,
    network,
)


def layered(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    gammas: Sequence[str | float | npt.ArrayLike] = ("half",),
    norms: npt.ArrayLike | None = None,
    sink: SinkChoice = "last",
    k: int = 8,
    rows: str = "check",
) -> list[dict[str, Any]]:
    """Layered fidelity and synergy of attention (B, L, H, n, n) or (L, H, n, n), one per γ.

    Plain numbers over the B inputs: fidelities and shares are means, ``node`` the most frequent
    binding node, synergy the exponential of the mean logarithm. Shares are over the inputs in
    which the sink hears every node. For each γ O(B L H n²), beside `engine.layered_synergy`.

    Parameters
    ----------
    gammas
        Each ``"half"``, ``"one"``, ``"norm"``, or a number as such or as text (``"0.25"``).
    norms
        What ``"norm"`` stands for: measured γ, (L, n) or (B, L, n).
    sink, k
        With ``"each"`` the objects also have ``k`` and ``minimax_each``: the mean of the minimum
        over the last k positions as sinks in turn.
    attention, weights, rows
        As in `engine.layered_fidelity`.

    Returns
    -------
    list of dict
        ``gamma``, ``minimax``, ``normalised``, ``node``, ``layers`` (``heads``: shares by head, and
        ``skip``), ``synergy``, ``exact``, and ``synergy_at_least``, which is ``synergy`` where
        ``exact``.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> system = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> half, one = engine.layered(
    ...     [system.dense, system.dense], gammas=["half", 1], rows="normalise")
    >>> print(half["gamma"], one["gamma"], round(one["minimax"], 6), round(one["synergy"], 4))
    half 1 0.111111 0.6667
    """
    heads, _, _ = network(attention, weights, rows)
    checked = "sinks" if rows == "sinks" else "any"
    found = []
    for gamma in gammas:
        value = _value(gamma, norms)
        clear = layered_fidelity(heads, weights, gamma=value, sink=sink, k=k, rows=checked)
        gain = layered_synergy(heads, weights, gamma=value, rows=checked)
        # Where nothing arrives there is nothing to share.
        heard = clear.minimax > 0 if (clear.minimax > 0).any() else slice(None)
        shares, skip = clear.heads[heard].mean(axis=0), clear.skip[heard].mean(axis=0)
        found.append(
            {
                "gamma": clear.gamma,
                "minimax": mean(clear.minimax),
                "normalised": mean(clear.normalised),
                "node": most_frequent(clear.argmin),
                "layers": [
                    {"heads": by_head.tolist(), "skip": float(past)}
                    for by_head, past in zip(shares, skip, strict=True)
                ],
                "synergy": log_mean(gain.synergy),
                "synergy_at_least": log_mean(gain.at_least),
                "exact": bool(gain.exact.all()),
            }
        )
        if sink == "each":
            found[-1] |= {
                "k": len(clear.sinks),
                "minimax_each": float(np.mean(clear.by_sink)),
            }
    return found


def _value(
    gamma: str | float | npt.ArrayLike, norms: npt.ArrayLike | None
) -> str | float | npt.ArrayLike:
    """One γ as `engine.layered_fidelity` takes it."""
    if not isinstance(gamma, str) or gamma in NAMED:
        return gamma
    if gamma == "norm":
        return gamma if norms is None else norms
    try:
        return float(gamma)
    except ValueError:
        allowed = ", ".join(map(repr, (*NAMED, "norm")))
        raise OptionError(
            f"gamma is {gamma!r}; allowed: {allowed}, a number from 0 to 1."
        ) from None
