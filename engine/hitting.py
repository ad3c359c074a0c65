"""Expected hitting times of the sink, exactly, and cut at a number of steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import EngineError
from .operators import heads, mixture, raw_hitting
from .system import MultiHeadSystem
from .walks import Combine, survival_blocks

Floats = npt.NDArray[np.float64]


def hitting_times(
    system: MultiHeadSystem, *, combine: Combine = "walks", cap: int | None = None
) -> Floats:
    """Expected steps of the walk from every node to the sink, exactly: (n,) float64.

    ``h_τ = 0`` and ``h_i = (1 + Σ_{j>i} P_ij h_j) / Σ_{j>i} P_ij``: one backward substitution over
    a triangular matrix, O(edges). Off-diagonals are summed and ``1 - P_ii`` is never formed (the
    idea of Grassmann, Taksar and Heyman, 1985), so a self-loop of 1 - 1e-14 costs no digits.
    ``inf`` where the walk may never arrive. Source: [BP].

    Parameters
    ----------
    combine
        As in `engine.walk`.
    cap
        Cut walks off after that many steps: ``E_i[min(steps, cap)] = Σ_{t<cap} P_i(steps > t)``,
        finite always; O(cap · edges).

    >>> import engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    >>> engine.hitting_times(line)
    array([6., 4., 2., 0.])
    >>> engine.hitting_times(line, cap=3)
    array([3.  , 2.75, 1.75, 0.  ])
    """
    stack = mixture(system, "walk", combine)
    if cap is None:
        return stack.hitting()[0]
    if cap < 0:
        raise EngineError(f"cap is {cap}; it must be 0 or more.")
    total = np.zeros(system.nodes)
    for _, survival in survival_blocks(stack, cap):
        total += survival.sum(axis=0)
    return total


def head_hitting_times(system: MultiHeadSystem) -> Floats:
    """Expected steps to the sink in every head alone: (H, n) float64, O(edges).

    `hitting_times` of ``P_h``, all heads together; ``inf`` where the head's walk may never arrive.

    >>> import engine
    >>> both = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2), (1, 2)]])
    >>> engine.head_hitting_times(both)
    array([[4., 2., 0.],
           [2., 2., 0.]])
    """
    if system.dense is not None:
        return raw_hitting(system.dense)
    return heads(system, "walk").hitting()


def backward_hitting_times(system: MultiHeadSystem) -> Floats:
    """Expected steps of the reversed chain from every node to node 0: (n,) float64, O(edges).

    The chain has rows ``D[j, :]`` and stops at node 0: ``h_0 = 0`` and ``h_j = (1 + Σ_{i<j} D_ji
    h_i) / Σ_{i<j} D_ji``. ``inf`` where it may end at another node that hears nobody. Source: [RV].

    >>> import engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    >>> engine.backward_hitting_times(line)
    array([0., 2., 4., 6.])
    """
    return mixture(system, "diffusion").hitting_backward()[0]
