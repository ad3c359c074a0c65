"""What theory predicts, beside what is measured."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .mixing import mixing_times
from .operators import heads, mixture
from .system import MultiHeadSystem

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """A bound, the number it bounds, and when it may be relied on.

    Attributes
    ----------
    name
        ``"thm_2_9"``, ``"sharper"`` or ``"fidelity_backward"``.
    bound, measured
        The bound, and what it bounds; ``measured <= bound`` is what ``holds`` says.
    applies
        Whether the condition under which it is proved is met here.
    condition
        That condition, in words.
    """

    name: str
    bound: float
    measured: float
    holds: bool
    applies: bool
    condition: str


def bounds(
    system: MultiHeadSystem, *, epsilon: float = 0.25, max_steps: int = 10_000
) -> list[Bound]:
    """The bounds of [BP] and [RV] for a system, with what is measured beside them.

    ``thm_2_9`` is ``T_mix(P, ε) <= 2 N / p`` with ``N = n - 1`` and ``p = Σ_h α_h min_{i≠τ}
    (1 - P_h[i, i])`` ([BP] Thm 2.9); ``sharper`` has ``p = min_i Σ_h α_h (1 - P_h[i, i])``;
    ``fidelity_backward`` is ``n φ_min <= (8/3) T_bwd`` with the l1, mean, 1/4 backward mixing
    time ([RV]).
    """
    from .minimax import fidelity

    walk, diffusion = mixture(system, "walk"), mixture(system, "diffusion")
    forward = mixing_times(walk, epsilon=epsilon, max_steps=max_steps)[0]["tv", "max"]
    reverse = mixing_times(diffusion, direction="backward", max_steps=max_steps)[0]["l1", "mean"]
    table = bound_table(
        leaving=heads(system, "walk").leaving()[None],
        weights=system.weights[None],
        epsilon=epsilon,
        mixing_tv_max=np.array([float(forward)]),
        backward_l1_mean=np.array([float(reverse)]),
        normalised=np.array([fidelity(system).normalised]),
        one_source=bool(np.isfinite(diffusion.hitting_backward()).all()),
    )
    return [Bound(name, **fields) for name, fields in table.items()]


def bound_table(
    *,
    leaving: Floats,
    weights: Floats,
    epsilon: float,
    mixing_tv_max: Floats,
    backward_l1_mean: Floats,
    normalised: Floats,
    one_source: bool,
) -> dict[str, dict[str, Any]]:
    """Bounds of S systems, averaged: ``leaving`` (S, H, n), ``weights`` (S, H), the rest (S,)."""
    nodes = leaving.shape[-1]
    moving = leaving[:, :, :-1]
    if nodes == 1:
        moving = np.ones((*leaving.shape[:2], 1))
    published = (weights * moving.min(axis=2)).sum(axis=1)
    sharper = (weights[:, :, None] * moving).sum(axis=1).min(axis=1)
    entries = [
        _mixing_bound(name, p, nodes, epsilon, mixing_tv_max)
        for name, p in (("thm_2_9", published), ("sharper", sharper))
    ]
    limit = 8.0 / 3.0 * backward_l1_mean
    entries.append(
        Bound(
            name="fidelity_backward",
            bound=float(np.mean(limit)),
            measured=float(np.mean(normalised)),
            holds=bool(np.all(normalised <= limit * (1 + 1e-12))),
            applies=one_source and bool(np.all(normalised > 0)),
            condition="unique source and unique sink; T_bwd is the l1, mean, 1/4 mixing time",
        )
    )
    return {entry.name: _without_name(entry) for entry in entries}


def _mixing_bound(name: str, p: Floats, nodes: int, epsilon: float, measured: Floats) -> Bound:
    with np.errstate(divide="ignore"):
        limit = 2.0 * (nodes - 1) / p
    everywhere = epsilon >= math.exp(-2)
    applies = everywhere or bool(np.all((nodes - 1) * p >= math.log(1 / epsilon)))
    return Bound(
        name=name,
        bound=float(np.mean(limit)),
        measured=float(np.mean(measured)),
        holds=bool(np.all(measured <= limit)),
        applies=applies,
        condition="ε >= e^-2, or N·p >= ln(1/ε)",
    )


def _without_name(entry: Bound) -> dict[str, Any]:
    fields = asdict(entry)
    del fields["name"]
    return fields
