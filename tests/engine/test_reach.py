"""Which nodes reach the sink."""

from __future__ import annotations

from synergy_engine.system import MultiHeadSystem


def test_reachability_is_over_all_heads_together() -> None:
    edges = [[(0, 1)], [(1, 3)]]
    kinds = ("dense", "sparse")
    systems = [
        MultiHeadSystem.from_edges(edges, nodes=4, storage=kind, unreachable="allow")  # type: ignore[arg-type]
        for kind in kinds
    ]
    assert [system.unreachable() for system in systems] == [[2], [2]]
