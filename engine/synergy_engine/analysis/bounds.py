"""The bounds that theory proves, beside what is measured."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synergy_engine.analysis.batch import (
    QUARTER,
    Measures,
    Options,
    mean,
    measure,
    stacks_of,
    typical,
)
from synergy_engine.analysis.convention import CONVENTIONS
from synergy_engine.arrays import Floats, Ints
from synergy_engine.measures.mixing import MAX_STEPS
from synergy_engine.system import MultiHeadSystem

CONDITION = "ε = {:g}; proved for ε >= e^-2, or N·p >= ln(1/ε)"


@dataclass(frozen=True)
class Bound:
    """A bound, the number it bounds, and when it may be relied on.

    Attributes
    ----------
    name
        ``"thm_2_9"``, ``"sharper"`` or ``"fidelity_backward"``.
    bound
        The bound; infinite when it bounds nothing.
    measured
        What it bounds; the text ``"> 10000"`` when that is censored.
    holds
        Whether ``measured <= bound``; ``None`` when censoring leaves it open.
    applies
        Whether the condition under which it is proved is met here.
    condition
        That condition, in words, with the ε that was asked for.
    """

    name: str
    bound: float
    measured: float | str
    holds: bool | None
    applies: bool
    condition: str


def bounds(
    system: MultiHeadSystem, *, epsilon: float = 0.25, max_steps: int = MAX_STEPS
) -> list[Bound]:
    """The bounds of [BP] and [RV] for a system, with what is measured beside them.

    ``thm_2_9`` is ``T_mix(P, ε) <= 2 N / p`` with ``N = n - 1`` and ``p = Σ_h α_h min_{i≠τ}
    (1 - P_h[i, i])`` ([BP] Thm 2.9): an average over heads, so it cannot show synergy. ``sharper``
    has ``p = min_i Σ_h α_h (1 - P_h[i, i])`` and can. ``fidelity_backward`` is ``n φ_min <= c
    T_bwd`` with the l1, mean, 1/4 backward mixing time and ``c = 2 n / (n - ⌈n/4⌉)``, which is 8/3
    where 4 divides n ([RV], whose 8/3 is proved for other n only where all weights are equal).

    The first two are proved for ``ε >= e^-2``, and for smaller ε where ``N p >= ln(1/ε)``; the last
    for one source and one sink. Where that is not so, ``applies`` is false and they may fail. Cost:
    that of `analyze`, O(H · edges) per step.

    Parameters
    ----------
    epsilon
        Of the mixing time that the first two are about, from 1e-20 to 2.
    max_steps
        How far to look; a time beyond it leaves a bound open where it could still hold.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(i, i + 1) for i in range(7)]])
    >>> [(b.name, b.bound, b.measured, b.holds) for b in engine.bounds(line)][0]
    ('thm_2_9', 28.0, 16, True)
    """
    options = Options(CONVENTIONS["theory"], "walks", epsilon, max_steps, None, 1)
    found = measure(stacks_of(system, options), options)
    table = bound_table(found, system.weights[None], epsilon=epsilon, max_steps=max_steps)
    return [Bound(name, **fields) for name, fields in table.items()]


def bound_table(
    found: Measures, weights: Floats, *, epsilon: float, max_steps: int, proper_walks: bool = True
) -> dict[str, dict[str, Any]]:
    """The fields of every `Bound` over S measured systems, by name.

    ``weights`` (S, H). Numbers are means over systems (times: medians); a bound holds when it
    holds in every system. ``proper_walks`` says whether walks were mixed as [BP] defines them; the
    two mixing bounds are about these only.
    """
    count, nodes = found.leaving.shape[1:]
    moving = found.leaving[:, :, :-1] if nodes > 1 else np.ones((len(weights), count, 1))
    published = (weights * moving.min(axis=2)).sum(axis=1)
    sharper = (weights[:, :, None] * moving).sum(axis=1).min(axis=1)
    table: list[Bound] = []
    for name, p in (("thm_2_9", published), ("sharper", sharper)):
        with np.errstate(divide="ignore"):
            limit = 2.0 * (nodes - 1) / p
        enough = epsilon >= math.exp(-2) or bool(np.all((nodes - 1) * p >= math.log(1 / epsilon)))
        measured, holds = _compare(found.crossing[:, 0], limit, max_steps)
        condition = CONDITION.format(epsilon)
        table.append(Bound(name, mean(limit), measured, holds, proper_walks and enough, condition))
    slow = found.backward[:, QUARTER]
    clear = nodes * found.fidelity.minimax
    limit = 2.0 * nodes / max(1, nodes - math.ceil(nodes / 4)) * np.where(slow < 0, max_steps, slow)
    within = clear <= limit * (1 + 1e-12)
    table.append(
        Bound(
            name="fidelity_backward",
            bound=math.inf if np.any(slow < 0) else mean(limit),
            measured=mean(clear),
            # A censored time is at least max_steps: what holds there holds.
            holds=True if within.all() else (False if np.any(~within & (slow >= 0)) else None),
            # One node alone is source and sink at once, heard at t = 0.
            applies=nodes > 1 and found.one_source and not found.cut_off.any(),
            condition="one source and one sink; T_bwd: backward mixing time, l1, mean, ε = 1/4",
        )
    )
    return {each.name: {k: v for k, v in asdict(each).items() if k != "name"} for each in table}


def _compare(times: Ints, limit: Floats, max_steps: int) -> tuple[float | str, bool | None]:
    """The typical time of several systems, and whether all stay within their limits."""
    open_ = (times < 0) & (limit > max_steps)
    broken = (np.where(times < 0, np.inf, times) > limit) & ~open_
    holds = False if broken.any() else None if open_.any() else True
    return typical(times, max_steps), holds
