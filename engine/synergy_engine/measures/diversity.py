"""How different the heads are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.operators import dense, sparse
from synergy_engine.system import MultiHeadSystem


@dataclass(frozen=True)
class Diversity:
    """Pairwise differences of heads and their means; all are 0 for identical heads and one head.

    Row 0 is the same in every head of causal attention (node 0 hears only itself), so it dilutes
    the mean over rows by the factor ``(n - 1) / n``.

    Attributes
    ----------
    jensen_shannon
        Mean over pairs and rows of the Jensen-Shannon divergence of diffusion rows, in bits: 0
        for equal rows, 1 for rows without a common sender.
    jaccard
        Mean over pairs of the Jaccard distance of supports, self-loops left out.
    cosine_disagreement
        Mean over pairs of ``1 - cos`` between whole diffusion matrices (after Li et al., 2018).
    pairs
        (3, H, H) float64: the three, in this order, of each pair of heads; symmetric, 0 on the
        diagonal.
    """

    jensen_shannon: float
    jaccard: float
    cosine_disagreement: float
    pairs: Floats = field(repr=False, compare=False)


def diversity(system: MultiHeadSystem) -> Diversity:
    """Diversity of the heads, pair by pair and on average, exact; O(H² · edges).

    Head weights do not matter. With diffusion rows ``p`` and ``q`` of two heads the
    Jensen-Shannon divergence is ``(KL(p‖m) + KL(q‖m)) / 2``, ``m = (p + q) / 2``. Sources: [BP];
    Lin, *Divergence measures based on the Shannon entropy*, 1991, for the divergence; Li et al.,
    *Multi-head attention with disagreement regularization*, 2018, for the cosine.

    >>> import synergy_engine as engine
    >>> same = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]] * 2)
    >>> engine.diversity(same)
    Diversity(jensen_shannon=0.0, jaccard=0.0, cosine_disagreement=0.0)
    """
    if system.dense is not None:
        pairs = dense.diversity(system.dense[None])[0]
    else:
        pairs = sparse.diversity(system)
    divergence, jaccard, cosine = mean_over_pairs(pairs).tolist()
    return Diversity(divergence, jaccard, cosine, pairs)


def mean_over_pairs(pairs: Floats) -> Floats:
    """Means (…) over pairs of heads of symmetric matrices (…, H, H); 0 for one head."""
    count = pairs.shape[-1]
    one, other = np.triu_indices(count, 1)
    return pairs[..., one, other].mean(axis=-1) if count > 1 else np.zeros(pairs.shape[:-2])
