"""The walk and the diffusion of a system, as matrices and step by step."""

from __future__ import annotations

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.errors import EngineError, at_least
from synergy_engine.operators.door import mixture
from synergy_engine.operators.stack import Combine
from synergy_engine.system import MultiHeadSystem

MATRIX_LIMIT = 8192
"""Nodes beyond which a dense n × n matrix (0.5 GB) is refused."""


def refuse_large(system: MultiHeadSystem) -> None:
    """Refuse what needs a dense matrix over more than `MATRIX_LIMIT` nodes."""
    if system.nodes > MATRIX_LIMIT:
        gigabytes = system.nodes**2 * 8 / 1e9
        raise EngineError(
            f"A dense matrix over {system.nodes:,} nodes takes {gigabytes:,.1f} GB; the limit is "
            f"{MATRIX_LIMIT:,} nodes. The measures themselves do not need it."
        )


def walk(system: MultiHeadSystem, *, combine: Combine = "walks") -> Floats:
    """Transition matrix ``P`` (n, n) of the walk, rows = senders, row-stochastic.

    ``P = Σ_h α_h P_h`` with ``P_h[i, j] = A_h[j, i] / Σ_k A_h[k, i]`` (``combine="walks"``), or the
    mixed attention with columns normalised (``combine="attention"``). The sink is absorbing; a
    node that sends nothing stays where it is. float64, O(H n²); refused beyond `MATRIX_LIMIT`
    nodes. Source: [BP] Def. 2.4.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> engine.walk(line)
    array([[0.5, 0.5, 0. ],
           [0. , 0.5, 0.5],
           [0. , 0. , 1. ]])
    """
    refuse_large(system)
    return np.ascontiguousarray(mixture(system, "walk", combine).array().T)


def diffusion(system: MultiHeadSystem) -> Floats:
    """Diffusion matrix ``D`` (n, n), rows = receivers, row-stochastic.

    ``D = Σ_h β_h D_h`` with ``D_h[j, i] = A_h[j, i] / Σ_k A_h[j, k]``; a node that hears nothing
    keeps its own state. float64, O(H n²); refused beyond `MATRIX_LIMIT` nodes. Source: [BP]
    Def. 2.5.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> engine.diffusion(line)
    array([[1. , 0. , 0. ],
           [0.5, 0.5, 0. ],
           [0. , 0.5, 0.5]])
    """
    refuse_large(system)
    return mixture(system, "diffusion").array()


def spread(system: MultiHeadSystem, source: int, steps: int) -> Floats:
    """How much of every node's state is the source's: ``x_t = D^t e_source``.

    (steps+1, n) float64, times 0 … steps; O(edges) per step. `clarity` is its last column. Refused
    where that many numbers would not fit in memory.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> engine.spread(line, 0, 2)
    array([[1.  , 0.  , 0.  ],
           [1.  , 0.5 , 0.  ],
           [1.  , 0.75, 0.25]])
    """
    start = np.zeros(system.nodes)
    start[check_node(system, source)] = 1.0
    return mixture(system, "diffusion").trajectory(start, at_least("steps", steps, 0), pulled=True)


def clarity(system: MultiHeadSystem, source: int, steps: int) -> Floats:
    """How clearly the sink hears the source after each step: ``(D^t)[τ, source]``.

    (steps+1,) float64, times 0 … steps; its maximum over all times is the source's fidelity
    (`fidelity`). O(edges) per step. Source: [FF].

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> engine.clarity(line, 0, 3)
    array([0.  , 0.  , 0.25, 0.5 ])
    """
    return spread(system, source, steps)[:, -1].copy()


def check_node(system: MultiHeadSystem, node: int) -> int:
    if not 0 <= node < system.nodes:
        raise EngineError(f"There is no node {node}; nodes are 0 to {system.nodes - 1}.")
    return node
