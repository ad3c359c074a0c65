"""What one run of one seed contributes to the evidence, in one convention."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BoundCheck:
    """One theoretical bound beside what was measured."""

    name: str
    bound: float
    measured: float
    applies: bool
    holds: bool


@dataclass(frozen=True)
class Observation:
    """One run's numbers at its last probe, in one convention.

    Attributes
    ----------
    group
        What is held fixed when runs are compared: task and sizes, or a graph family's sizes.
    block
        What makes two runs a pair inside the group: the seed (and the graph family, if several).
    seed, heads
        Of the run.
    run
        Its name, to find it again.
    steps_to_sink
        Mean expected hitting time, steps; inf where a node cannot reach the sink.
    fidelity
        Minimax fidelity in [0, 1].
    fidelity_amplification, mixing_gain
        The mixture against its best head: above 1 is synergy; nan for one head.
    beats_best_head
        (inputs,) 1 where the mixture's fidelity exceeds its best head's, else 0.
    diversity
        Mean pairwise Jensen-Shannon divergence of the heads, nats.
    redrawn
        The diversity knob of a designed run (share of edges redrawn); ``None`` when there is none.
    loss
        Task loss at the last step, nats; nan for designed graphs.
    bounds
        The bounds of the theory.
    """

    group: str
    block: str
    seed: int
    heads: int
    run: str
    steps_to_sink: float
    fidelity: float
    fidelity_amplification: float = math.nan
    mixing_gain: float = math.nan
    beats_best_head: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    diversity: float = math.nan
    redrawn: float | None = None
    loss: float = math.nan
    bounds: Sequence[BoundCheck] = ()


def by_group(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Observations by what is held fixed, in order of appearance."""
    groups: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        groups[observation.group].append(observation)
    return dict(groups)


def complete_blocks(
    observations: Iterable[Observation], condition: str, value: str
) -> tuple[list[str], list[float], NDArray[np.float64]]:
    """A table of blocks against an ordered condition, only of blocks that have every condition.

    Parameters
    ----------
    observations
        Of one group.
    condition
        Attribute that orders the columns: ``"heads"``, ``"redrawn"``.
    value
        Attribute in the cells.

    Returns
    -------
    blocks : list of str
    conditions : list of float
        Sorted.
    table : ndarray
        (blocks, conditions); a block lacking a condition, or with nan in one, is left out.
    """
    cells: dict[tuple[str, float], list[float]] = defaultdict(list)
    for observation in observations:
        where = getattr(observation, condition)
        if where is not None:
            cells[observation.block, float(where)].append(float(getattr(observation, value)))
    conditions = sorted({where for _, where in cells})
    blocks, rows = [], []
    for block in dict.fromkeys(block for block, _ in cells):
        row = [float(np.mean(cells.get((block, where), [math.nan]))) for where in conditions]
        if not np.isnan(row).any():
            blocks.append(block)
            rows.append(row)
    return blocks, conditions, np.array(rows, dtype=np.float64).reshape(len(rows), len(conditions))
