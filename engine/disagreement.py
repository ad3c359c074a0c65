"""How different the heads are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .operators import heads
from .system import MultiHeadSystem


@dataclass(frozen=True)
class Diversity:
    """Mean pairwise differences of heads; all are 0 for identical heads and for one head.

    Attributes
    ----------
    jensen_shannon
        Mean over pairs and rows of the Jensen-Shannon divergence of diffusion rows, in bits: 0
        for equal rows, 1 for rows without a common sender.
    jaccard
        Mean over pairs of the Jaccard distance of supports, self-loops left out.
    cosine_disagreement
        Mean over pairs of ``1 - cos`` between whole diffusion matrices (after Li et al., 2018).
    """

    jensen_shannon: float
    jaccard: float
    cosine_disagreement: float


def diversity(system: MultiHeadSystem) -> Diversity:
    """Mean pairwise diversity of the heads, O(H² n²).

    >>> import engine
    >>> same = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]] * 2)
    >>> engine.diversity(same)
    Diversity(jensen_shannon=0.0, jaccard=0.0, cosine_disagreement=0.0)
    """
    if system.heads == 1:
        return Diversity(0.0, 0.0, 0.0)
    if system.dense is None:
        from .sparse_operators import diversity as sparse_diversity

        return Diversity(*sparse_diversity(system))
    stack = heads(system, "diffusion")
    rows = np.stack([stack.array(h) for h in range(system.heads)])
    return dense_diversity(rows)


def dense_diversity(rows: np.ndarray) -> Diversity:
    """Diversity of diffusion matrices (H, n, n)."""
    count, n = rows.shape[:2]
    lower = np.tril_indices(n)
    packed = rows[:, lower[0], lower[1]]
    entropy = -(packed * np.log2(packed, where=packed > 0, out=np.zeros_like(packed))).sum(axis=1)
    support = packed > 0
    support[:, lower[0] == lower[1]] = False
    norms = np.sqrt((packed * packed).sum(axis=1))
    divergence = jaccard = cosine = 0.0
    for a in range(count):
        for b in range(a + 1, count):
            if np.array_equal(packed[a], packed[b]):
                continue
            middle = 0.5 * (packed[a] + packed[b])
            mixed = -(middle * np.log2(middle, where=middle > 0, out=np.zeros_like(middle))).sum()
            divergence += max(0.0, (mixed - 0.5 * (entropy[a] + entropy[b])) / n)
            union = np.count_nonzero(support[a] | support[b])
            common = np.count_nonzero(support[a] & support[b])
            jaccard += 1.0 - common / union if union else 0.0
            cosine += max(0.0, 1.0 - float(packed[a] @ packed[b] / (norms[a] * norms[b])))
    pairs = max(1.0, count * (count - 1) / 2)
    return Diversity(float(divergence / pairs), jaccard / pairs, cosine / pairs)
