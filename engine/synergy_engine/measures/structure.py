"""What [FF] assumes of graphs, and which nodes break it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synergy_engine.arrays import Bools
from synergy_engine.system import MultiHeadSystem

_SHOWN = 10


@dataclass(frozen=True)
class Structure:
    """Nodes that stand out, by number, over all heads together.

    Attributes
    ----------
    sinks
        Nodes before the last that send to no other node: what they hear is lost.
    sources
        Nodes after the first that hear no other node. Harmless, but the backward bounds assume one
        source.
    unreachable
        Nodes without a way to the sink: their mixing time is infinite, their fidelity 0.
    loopless
        Nodes without a self-loop in some head; [FF] assumes all self-loops.
    notes
        The same for a person, with names; empty when nothing stands out.
    """

    sinks: tuple[int, ...]
    sources: tuple[int, ...]
    unreachable: tuple[int, ...]
    loopless: tuple[int, ...]
    notes: tuple[str, ...]


def structure(system: MultiHeadSystem) -> Structure:
    """Find extra sinks and sources, nodes cut off from the sink, and missing self-loops.

    [FF] assumes one sink and all self-loops, [RV] one source as well. Heads of weight 0 count.
    O(edges), or O(H n²) for dense heads.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> branch = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (0, 2)]], nodes=3, unreachable="allow")
    >>> structure(branch).notes[0]
    '1 sink other than the last node: 1'
    """
    sends, hears, loops = _contacts(system)
    sinks = np.flatnonzero(~sends[:-1])
    sources = np.flatnonzero(~hears[1:]) + 1
    loopless = np.flatnonzero(~loops)
    unreachable = system.unreachable()
    notes = []
    for what, nodes in (
        ("sink{} other than the last node", sinks.tolist()),
        ("source{} other than the first node", sources.tolist()),
        ("node{} without a way to the sink: mixing time infinite, fidelity 0", unreachable),
        ("node{} without a self-loop in some head", loopless.tolist()),
    ):
        if nodes:
            shown = ", ".join(system.name(node) for node in nodes[:_SHOWN])
            more = f" and {len(nodes) - _SHOWN:,} more" if len(nodes) > _SHOWN else ""
            plural = "s" if len(nodes) > 1 else ""
            notes.append(f"{len(nodes):,} {what.format(plural)}: {shown}{more}")
    return Structure(
        tuple(sinks.tolist()),
        tuple(sources.tolist()),
        tuple(unreachable),
        tuple(loopless.tolist()),
        tuple(notes),
    )


def _contacts(system: MultiHeadSystem) -> tuple[Bools, Bools, Bools]:
    """Which nodes send to another, and hear another, in any head; which loop in all heads."""
    sends, hears = np.zeros(system.nodes, dtype=bool), np.zeros(system.nodes, dtype=bool)
    loops = np.ones(system.nodes, dtype=bool)
    if system.dense is not None:
        for matrix in system.dense:
            support = matrix > 0
            loops &= np.diagonal(support)
            np.fill_diagonal(support, False)
            sends |= support.any(axis=0)
            hears |= support.any(axis=1)
        return sends, hears, loops
    assert system.sparse is not None
    for head in system.sparse:
        own = head.has_self_loop()
        counts = np.bincount(head.indices, minlength=head.nodes)
        sends |= counts > own
        hears |= np.diff(head.indptr) > own
        loops &= own
    return sends, hears, loops
