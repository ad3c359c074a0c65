"""Products in bfloat16 change no conclusion: the same scenario in both precisions, many seeds.

Few CPUs have matrix units for bfloat16. Here every factor of every product of a matrix library is
rounded to bfloat16, forward and backward, which is what such a CPU does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import synergy_engine as engine
from synergy_trainer import Probe, RunSettings, TrainSettings, train
from tests.trainer.runs import of_kind

ATEN = torch.ops.aten
FACTORS = {ATEN.mm: (0, 1), ATEN.bmm: (0, 1), ATEN.addmm: (1, 2), ATEN.baddbmm: (1, 2)}
"""Products, and which of their arguments are multiplied."""

HEADS, SEEDS = (1, 2, 8), range(4)
SORT = TrainSettings(
    task="sort", length=33, steps=300, batch=64, layers=1, learning_rate=2e-3, probe_every=0
)


class RoundedFactors(TorchDispatchMode):
    """Rounds what matrix libraries multiply; counts the products."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        factors = FACTORS.get(function.overloadpacket)
        if factors is not None:
            self.count += 1
            rounded = list(given)
            for at in factors:
                rounded[at] = rounded[at].bfloat16().float()
            given = tuple(rounded)
        return function(*given, **(named or {}))


def measured() -> dict[str, np.ndarray]:
    """Loss, steps to the sink and minimax fidelity at the end, each (heads, seeds)."""
    runs = [RunSettings(f"{heads}-{seed}", heads, seed=seed) for heads in HEADS for seed in SEEDS]
    probes = {probe.run: probe for probe in of_kind(train(SORT, runs, device="cpu"), Probe)}
    found: dict[str, list[float]] = {"loss": [], "steps to sink": [], "fidelity": []}
    for run in runs:
        probe = probes[run.name]
        (layer,) = engine.analyze_batch(probe.attention, probe.head_weights)
        analysis = layer.as_dict()
        found["loss"].append(probe.loss)
        found["steps to sink"].append(analysis["mixing"]["hitting_time_mean"])
        found["fidelity"].append(analysis["fidelity"]["minimax"])
    return {name: np.reshape(values, (len(HEADS), -1)) for name, values in found.items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bf16_changes_no_conclusion() -> None:
    exact = measured()
    with RoundedFactors() as mode:
        rounded = measured()
    assert mode.count > SORT.steps * 10
    for name, wanted in exact.items():
        found = rounded[name]
        print(f"\n{name}: medians {np.median(wanted, 1)} in float32, {np.median(found, 1)} in bf16")
        assert not np.array_equal(wanted, found)
        assert np.array_equal(np.argsort(np.median(wanted, 1)), np.argsort(np.median(found, 1))), (
            name
        )
        apart = np.abs(np.median(np.log(found / wanted), 1))
        noise = np.ptp(np.log(wanted), 1)
        assert (apart < noise).all(), name
