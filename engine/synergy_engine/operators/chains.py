"""The clearest chain of one head per layer, among H^L."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synergy_engine.arrays import Floats, Reals
from synergy_engine.limits import report
from synergy_engine.operators.dense import row_scales

WORK = 20_000_000_000
"""Multiplications that following chains may cost once they are too many to try all."""

SOURCES = 128
"""Nodes that bound how clear a chain can still become: those that the mixture hears least."""


class Chains(NamedTuple):
    """The best chain of heads found, first layer first, and what no other can exceed."""

    heads: tuple[int, ...]
    limit: float
    exact: bool


def best_chain(
    heads: Reals, gamma: Floats, mixture: Floats, most: int, *, whole: bool = True
) -> Chains:
    """Search the chains through heads (L, H, n, n) from the sink down; γ is (L, n).

    All are tried where there are at most ``most``. Beyond, rows ``v`` of partial chains are ranked
    by ``min_j (v U)_j``, a limit for all continuations: ``U[:, j]`` is what the layers below let
    through from node j when every node takes its best head. ``mixture`` (n,) says which nodes are
    worth bounding; ``whole`` as in `synergy_engine.operators.dense.head_stack`.
    """
    layers, count, n = heads.shape[:3]
    last = max(n - 1, 1)
    all_of_them = count**layers <= most
    scales = np.ones((layers, count, n))
    if whole:
        scales = row_scales(heads.reshape(-1, n, n)).reshape(layers, count, n)
    width, below = most, None
    if not all_of_them:
        width = max(1, min(most, WORK // (layers * count * n * n)))
        sources = np.argsort(mixture[:last], kind="stable")[:SOURCES]
        below = _routed(heads, scales, gamma, sources)
    rows = np.zeros((1, n))
    rows[0, -1] = 1.0
    chains = np.zeros((1, 0), dtype=np.int64)
    limit = 0.0
    for layer in range(layers - 1, -1, -1):
        report("chains of heads", layers - 1 - layer, layers)
        kept = rows * (1.0 - gamma[layer])
        moved = rows * gamma[layer]
        found = np.empty((count, len(rows), n))
        for h in range(count):
            np.matmul(moved, _diffusion(heads[layer, h], scales[layer, h]), out=found[h])
            found[h] += kept
        rows = found.reshape(-1, n)
        chains = np.concatenate([_with_head(chains, h) for h in range(count)])
        if layer == 0:
            score = rows[:, :last].min(axis=1)
        elif below is None:
            continue
        else:
            score = (rows @ below[layer]).min(axis=1)
        if layer and len(rows) > width:
            order = np.argsort(-score, kind="stable")
            limit = max(limit, float(score[order[width]]))
            rows, chains = rows[order[:width]], chains[order[:width]]
    best = int(np.argmax(score))
    return Chains(tuple(chains[best].tolist()), limit, limit <= score[best])


def _with_head(chains: np.ndarray, h: int) -> np.ndarray:
    """The chains with head ``h`` before them: layers are entered from the last to the first."""
    return np.concatenate([np.full((len(chains), 1), h, dtype=np.int64), chains], axis=1)


def _routed(heads: Reals, scales: Floats, gamma: Floats, sources: np.ndarray) -> list[Floats]:
    """What layers ``0 … l-1`` can let through from each source, by l: (n, sources) each."""
    layers, count, n = heads.shape[:3]
    through = np.zeros((n, len(sources)))
    through[sources, np.arange(len(sources))] = 1.0
    below = [through]
    for layer in range(layers - 1):
        report("routing bound", layer, layers)
        best = _diffusion(heads[layer, 0], scales[layer, 0]) @ through
        for h in range(1, count):
            np.maximum(best, _diffusion(heads[layer, h], scales[layer, h]) @ through, out=best)
        through = (1.0 - gamma[layer, :, None]) * through + gamma[layer, :, None] * best
        below.append(through)
    return below


def _diffusion(head: Reals, scale: Floats) -> Floats:
    """The diffusion of a raw head as float64, rows without weight kept."""
    matrix = head * scale[:, None]
    matrix[np.diag_indices(len(scale))] += scale == 0
    return matrix
