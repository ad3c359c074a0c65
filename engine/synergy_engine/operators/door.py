from __future__ import annotations

from synergy_engine.errors import choose
from synergy_engine.operators.dense import dense_heads, dense_mixtures
from synergy_engine.operators.stack import COMBINATIONS, Kind, Stack
from synergy_engine.system import MultiHeadSystem


def heads(system: MultiHeadSystem, kind: Kind) -> Stack:
    """One operator for each head."""
    if system.dense is not None:
        return dense_heads(system.dense, kind)
    from synergy_engine.operators import sparse as sparse_operators

    return sparse_operators.heads(system, kind)


def mixture(system: MultiHeadSystem, kind: Kind, combine: str = "walks") -> Stack:
    """The one operator of the whole system; see `dense_mixtures` for ``combine``."""
    choose("combine", combine, COMBINATIONS)
    if system.dense is not None:
        return dense_mixtures(system.dense[None], system.weights[None], kind, combine)
    from synergy_engine.operators import sparse as sparse_operators

    return sparse_operators.mixture(system, kind, combine)
