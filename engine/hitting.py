"""Exact expected hitting times of the sink."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .operators import heads, mixture, raw_hitting
from .system import MultiHeadSystem
from .walks import Combine

Floats = npt.NDArray[np.float64]


def hitting_times(system: MultiHeadSystem, *, combine: Combine = "walks") -> Floats:
    """Expected steps of the walk from every node to the sink, exactly: (n,) float64.

    ``h_τ = 0`` and ``h_i = (1 + Σ_{j>i} P_ij h_j) / Σ_{j>i} P_ij``: one backward substitution over
    a triangular matrix, O(edges). Off-diagonals are summed and ``1 - P_ii`` is never formed (the
    idea of Grassmann, Taksar and Heyman, 1985), so a self-loop of 1 - 1e-14 costs no digits.
    ``inf`` where the walk may never arrive.

    >>> import engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2), (2, 3)]])
    >>> engine.hitting_times(line)
    array([6., 4., 2., 0.])
    """
    return mixture(system, "walk", combine).hitting()[0]


def head_hitting_times(system: MultiHeadSystem) -> Floats:
    """Expected steps to the sink in every head alone: (H, n) float64."""
    if system.dense is not None:
        return raw_hitting(system.dense)
    return heads(system, "walk").hitting()


def backward_hitting_times(system: MultiHeadSystem) -> Floats:
    """Expected steps of the reversed chain (rows ``D[j, :]``) from every node to node 0: (n,)."""
    return mixture(system, "diffusion").hitting_backward()[0]
