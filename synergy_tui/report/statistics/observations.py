"""What one run of one seed contributes to the evidence, in one convention."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
class Numbers:
    """A network's numbers at one probe, typical (geometric) over inputs and layers."""

    hitting_time: float  # steps, as the convention measures it; inf where the sink is out of reach
    fidelity: float  # minimax, in [0, 1]
    loss: float = math.nan  # held-out, nats
    gain: float = math.nan  # fidelity over one best head per network, chosen on other inputs


@dataclass(frozen=True)
class Gain:
    """What heads together gain over their best head: log ratios, means over inputs and layers."""

    held_out: float  # over one head per network, chosen on the other half of the inputs
    per_input: float  # over the best head of each input, which favours the heads


@dataclass(frozen=True)
class Gains:
    """Gains of a network's heads, and of heads that never trained together (``None``: no null).

    nan where its attention was not kept.
    """

    clear: Gain
    soon: Gain | None  # None where the convention's steps are not hitting times
    clear_swapped: Gain | None = None
    soon_swapped: Gain | None = None


@dataclass(frozen=True)
class Further:
    """A null beside the one that a claim is tested against, and what a network has beyond it."""

    name: str
    clear: float  # log ratio to the null
    soon: float  # nan where it was not measured
    required: bool = True  # whether an effect counts only where it exceeds this null, too


@dataclass(frozen=True)
class Condition:
    """What the computable condition of synergy and the routing bound say of some systems."""

    promised: int  # where the condition holds: some weights must give synergy
    kept: int  # of these, where some do
    forbidden: int  # where the routing bound allows none
    broken: int  # of these, where there is some


@dataclass(frozen=True)
class Layered:
    """All layers in order: gain over the best chain of one head per layer, a log ratio."""

    gain: float
    gamma: str


@dataclass(frozen=True)
class Observation:
    """One run's numbers at its last probe, in one convention."""

    group: str  # what is held fixed when runs are compared: task and sizes, or a family's sizes
    block: str  # what makes two runs a pair inside the group: the seed
    heads: int
    run: str
    now: Numbers
    untrained: Numbers | None = None  # the same network at step 0
    trained: bool = True
    loaded: bool = False  # learned elsewhere: nobody knows its untrained network
    dose: float | None = None  # how different heads are made: λ (over `tied`), or rows redrawn
    tied: int = 1  # heads that share one attention pattern
    settings: Mapping[str, object] = field(default_factory=dict)  # axis → value
    amplification: float = math.nan  # over each input's best head, typical; above 1 is synergy
    diversity: float = math.nan  # mean pairwise Jensen-Shannon divergence of the heads, bits
    accuracy: float = math.nan
    loss: float = math.nan  # at the last step, nats
    loss_of: str = ""  # held-out sequences or training batches, both are of
    binding_time: float = math.nan  # t*, the step at which the worst-heard node is heard best
    beyond_one_step: float = math.nan  # share of inputs with t* > 1
    bounds: Sequence[BoundCheck] = ()
    gains: Gains | None = None
    no_swap: str = ""  # why there is no null of swapped heads, or no attention to take gains of
    further: tuple[Further, ...] = ()  # nulls of synergy beside swapped heads
    exchangeable: bool = True  # whether no designed head is special (`graph.redraw = "all"`)
    layered: Layered | None = None
    condition: Condition | None = None
    jitter: float = math.nan  # |log ratio| of heads that differ by 1e-9 over the best of them

    @property
    def unkept(self) -> str:
        """Why its heads have no gains; empty where they have, and for a single head."""
        unknown = self.gains is not None and math.isnan(self.gains.clear.per_input)
        return self.no_swap if unknown else ""


def by_group(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Observations by what is held fixed, in order of appearance."""
    groups: dict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        groups[observation.group].append(observation)
    return dict(groups)


def dose_in_words(members: Iterable[Observation]) -> str:
    """What the dose of these observations is."""
    trained = [one for one in members if one.trained]
    if not trained:
        return "share of rows redrawn"
    if all(one.tied == 1 for one in trained):
        return "λ"
    distinct = "share of distinct heads"
    alone = all(one.dose is None or one.dose * one.tied == 1 for one in trained)
    return distinct if alone else f"λ × {distinct}"


Value = Callable[[Observation], float]


def number_at(one: Observation, path: str) -> float:
    """A number of an observation by its dotted name; nan below what it lacks."""
    found: Any = one
    for name in path.split("."):
        found = None if found is None else getattr(found, name)
    return math.nan if found is None else float(found)


def complete_blocks(
    observations: Iterable[Observation], condition: str, value: Value
) -> tuple[list[str], list[float], NDArray[np.float64]]:
    """Blocks, conditions (an attribute's values) and the table of values between them.

    A block that lacks a condition, or has nan in one, is left out.
    """
    cells: dict[tuple[str, float], list[float]] = defaultdict(list)
    for observation in observations:
        where = getattr(observation, condition)
        if where is not None:
            cells[observation.block, float(where)].append(value(observation))
    conditions = sorted({where for _, where in cells})
    blocks, rows = [], []
    for block in dict.fromkeys(block for block, _ in cells):
        row = [float(np.mean(cells.get((block, where), [math.nan]))) for where in conditions]
        if not np.isnan(row).any():
            blocks.append(block)
            rows.append(row)
    return blocks, conditions, np.array(rows, dtype=np.float64).reshape(len(rows), len(conditions))
