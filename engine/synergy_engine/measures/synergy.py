"""What the heads do together that none does alone."""

from __future__ import annotations

import numpy as np

from synergy_engine.measures.fidelity import fidelity, head_fidelities
from synergy_engine.measures.mixing import MAX_STEPS, Aggregate, Distance, mixing_times
from synergy_engine.operators import dense, sparse
from synergy_engine.operators.door import heads, mixture
from synergy_engine.operators.stack import Combine
from synergy_engine.system import MultiHeadSystem


def one_distinct_head(system: MultiHeadSystem) -> bool:
    """Whether all heads that carry weight are equal bit for bit."""
    if system.heads == 1:
        return True
    if system.dense is None:
        return sparse.one_distinct_head(system)
    merged = dense.merge_equal(system.dense[None], system.weights[None])
    return int(np.count_nonzero(merged)) == 1


def amplification(system: MultiHeadSystem) -> float:
    """Fidelity amplification ``φ_min(D) / max_h φ_min(D_h)``, the sink excluded.

    Above 1 the mixture beats its own best head: synergy ([BP]). Heads of weight 0 count as heads.
    Identical heads (equal bit for bit) give exactly 1: they are recognised, not compared through
    rounding; other values within 1e-9 of 1 should be read as ties. ``inf`` when no head alone hears
    every node but the mixture does; 1 when neither does. O(H · edges) per step.

    >>> import synergy_engine as engine
    >>> chain = [(0, 1), (1, 2)]
    >>> engine.amplification(engine.MultiHeadSystem.from_edges([chain] * 3))
    1.0
    >>> engine.amplification(engine.MultiHeadSystem.from_edges([chain[:1], chain[1:]]))
    inf
    """
    if one_distinct_head(system):
        best = max(f.minimax for f in head_fidelities(system))
        own = head_fidelities(system.head(int(np.argmax(system.weights))))[0].minimax
        return own / best if best > 0 else 1.0
    together = fidelity(system).minimax
    best = max(f.minimax for f in head_fidelities(system))
    if best == 0:
        return float("inf") if together > 0 else 1.0
    return together / best


def mixing_gain(
    system: MultiHeadSystem,
    *,
    distance: Distance = "tv",
    aggregate: Aggregate = "max",
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    combine: Combine = "walks",
) -> float:
    """How many times sooner than its best head the system mixes: ``min_h T(P_h) / T(P)``.

    Options are those of `mixing_time`, forward. ``inf`` when every head alone is beyond
    ``max_steps`` and the mixture is not; 0 the other way round; ``nan`` when both are. Identical
    heads give exactly 1. O(H · edges) per step. Source: [BP].

    Two heads that are slow on opposite halves are quick together:

    >>> import synergy_engine as engine
    >>> import numpy as np
    >>> forward = np.array([[0.05, 0.05, 0.95, 0.95], [0.95, 0.95, 0.05, 0.05]])
    >>> heads = [np.diag(np.append(1 - f, 1)) + np.diag(f, -1) for f in forward]
    >>> round(engine.mixing_gain(engine.MultiHeadSystem.from_weights(heads)), 2)
    5.6
    """
    alone = mixing_times(heads(system, "walk"), epsilon=epsilon, max_steps=max_steps)
    best = min(float(times[distance, aggregate]) for times in alone)
    if one_distinct_head(system):
        own = float(alone[int(np.argmax(system.weights))][distance, aggregate])
    else:
        stack = mixture(system, "walk", combine)
        together = mixing_times(stack, epsilon=epsilon, max_steps=max_steps, combine=combine)
        own = float(together[0][distance, aggregate])
    if own == 0:
        return 1.0
    return best / own if np.isfinite(own) else float("nan" if np.isinf(best) else 0.0)
