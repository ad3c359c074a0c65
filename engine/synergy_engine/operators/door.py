"""The door to operators: dense or sparse as the system is."""

from __future__ import annotations

from synergy_engine.errors import choose
from synergy_engine.operators import dense, sparse
from synergy_engine.operators.stack import COMBINATIONS, Kind, Stack
from synergy_engine.system import MultiHeadSystem


def heads(system: MultiHeadSystem, kind: Kind) -> Stack:
    """One operator for each head."""
    if system.dense is not None:
        return dense.head_stack(system.dense, kind, whole=not system.learned_sinks)
    return sparse.head_stack(system, kind)


def mixture(system: MultiHeadSystem, kind: Kind, combine: str = "walks") -> Stack:
    """The one operator of the whole system; see `mixture_stack` for ``combine``."""
    choose("combine", combine, COMBINATIONS)
    if system.dense is not None:
        return dense.mixture_stack(
            system.dense[None],
            system.weights[None],
            kind,
            combine,
            whole=not system.learned_sinks,
        )
    return sparse.mixture_stack(system, kind, combine)
