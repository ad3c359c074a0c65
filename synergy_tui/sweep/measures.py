"""What a sweep's points are compared by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_tui.experiments.metrics import as_number, leaf, run_record
from synergy_tui.experiments.state import RunState

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A number of a run, and how it moved."""

    key: str  # of `run_record`
    name: str
    unit: str
    better: str  # what a ratio above 1 says
    curve: Callable[[RunState], Curve]
    less_is_better: bool = False
    is_ratio: bool = False  # is itself a ratio, to the best head: 1 means no difference

    def value(self, run: RunState) -> float:
        """The run's newest number; nan where it was not measured."""
        found = as_number(run_record(run)[self.key])
        return math.nan if found is None else found


def _probed(group: str, key: str) -> Callable[[RunState], Curve]:
    def curve(run: RunState) -> Curve:
        values = [leaf(probe.overall, (group, key)) for probe in run.probes]
        return np.array(
            [float(v) if isinstance(v, int | float) else math.nan for v in values], dtype=np.float64
        )

    return curve


LOSS, STEPS, FIDELITY, AMPLIFICATION = MEASURES = (
    Measure("loss", "loss", "nats", "lower than", lambda run: run.losses, less_is_better=True),
    Measure(
        "hitting_time",
        "steps to sink",
        "mean expected hitting time",
        "sooner than",
        _probed("mixing", "hitting_time_mean"),
        less_is_better=True,
    ),
    Measure(
        "fidelity",
        "minimax fidelity",
        "sink excluded",
        "clearer than",
        _probed("fidelity", "minimax"),
    ),
    Measure(
        "amplification",
        "amplification",
        "fidelity over the best head's",
        "clearer than",
        _probed("synergy", "fidelity_amplification"),
        is_ratio=True,
    ),
)
