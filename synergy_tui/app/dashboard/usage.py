"""The worker's use of the machine as a small history: a sparkline and the newest number of each."""

from __future__ import annotations

import math

import numpy as np

from synergy_tui.app.widgets.grid import spark
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.words import size

LENGTH, SHORT = 8, 4
"""Characters of a history, and of one where columns are few."""
FULL = 100.0
"""Percent: where the scale of a load ends, unless it uses more than one core."""


def histories(state: ExperimentState, ascii_only: bool = False, length: int = LENGTH) -> list[str]:
    """GPU, processor and memory over the last minutes, the scarcest first; as far as measured."""
    found = []
    for name, key in (
        ("gpu", "gpu_percent"),
        ("gpu mem", "gpu_memory_bytes"),
        ("cpu", "cpu_percent"),
        ("mem", "memory_bytes"),
    ):
        values = np.array(
            [math.nan if (value := each.get(key)) is None else value for each in state.usage],
            dtype=np.float64,
        )
        if not values.size or math.isnan(values[-1]):
            continue
        percent = key.endswith("percent")
        top = float(np.nanmax(values))
        curve = spark(values, length, ascii_only, ends=(0.0, max(top, FULL) if percent else top))
        newest = f"{values[-1]:.0f}%" if percent else size(values[-1])
        found.append(f"{name} {curve.strip()} {newest}")
    return found
