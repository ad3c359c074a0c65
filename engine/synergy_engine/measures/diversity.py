"""How different the heads are."""

from __future__ import annotations

from dataclasses import dataclass

from synergy_engine.operators import dense, sparse
from synergy_engine.system import MultiHeadSystem


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
    """Mean pairwise diversity of the heads, each measure exact; O(H² · edges).

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
        return Diversity(*dense.diversity(system.dense[None])[0].tolist())
    return Diversity(*sparse.diversity(system))
