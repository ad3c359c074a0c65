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
    """A bound of the theory beside what was measured."""

    name: str
    bound: float
    measured: float
    applies: bool
    holds: bool


@dataclass(frozen=True)
class Observation:
    """One run's numbers at its last probe, in one convention."""

    group: str  # what is held fixed when runs are compared: task and sizes, or a family's sizes
    block: str  # what makes two runs a pair inside the group: the seed
    heads: int
    run: str
    hitting_time: float  # steps, as the convention measures it; inf where the sink is out of reach
    fidelity: float  # minimax, in [0, 1]
    amplification: float = math.nan  # fidelity against the best head's: above 1 is synergy
    beats_best_head: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(inputs,) 1 where the mixture's fidelity exceeds its best head's, else 0."""
    diversity: float = math.nan  # mean pairwise Jensen-Shannon divergence of the heads, bits
    redrawn: float | None = None  # designed runs: the share of rows redrawn between heads
    loss: float = math.nan  # of the task at the last step, nats; nan for designed graphs
    accuracy: float = math.nan
    loss_of: str = ""  # held-out sequences or training batches, both are of
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
    """Blocks, conditions and the table of values between them; names are of attributes.

    A block that lacks a condition, or has nan in one, is left out.
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
