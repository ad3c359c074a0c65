"""Products in bfloat16 change no conclusion: the same scenario in both precisions, many seeds.

Few CPUs have matrix units for bfloat16. Here every factor of every product of the hand-written step
is rounded to bfloat16, forward and backward, which is what such a CPU does.
"""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

import synergy_engine as engine
from synergy_trainer import Probe, RunSettings, TrainSettings, train
from synergy_trainer.attend import step, tiles
from tests.trainer.runs import of_kind

HEADS, SEEDS = (1, 2, 8), range(4)
SORT = TrainSettings(
    task="sort", length=33, steps=300, batch=64, layers=1, learning_rate=2e-3, probe_every=0
)


def round_factors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Round what the step multiplies; counts the products."""
    count = [0]

    def rounded(*tensors: Tensor) -> list[Tensor]:
        count[0] += 1
        return [values.bfloat16().float() for values in tensors]

    affine, product, add = step._affine, step._product, step._add_product
    attention = tiles.TiledAttention._product
    monkeypatch.setattr(step, "_affine", lambda x, w, b, out: affine(*rounded(x, w), b, out))
    monkeypatch.setattr(
        step,
        "_product",
        lambda left, right, out, scale=1.0: product(*rounded(left, right), out, scale),
    )
    monkeypatch.setattr(
        step, "_add_product", lambda to, left, right: add(to, *rounded(left, right))
    )
    monkeypatch.setattr(
        tiles.TiledAttention,
        "_product",
        lambda self, name, left, right: attention(self, name, *rounded(left, right)),
    )
    return count


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
def test_bf16_changes_no_conclusion(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = measured()
    count = round_factors(monkeypatch)
    rounded = measured()
    assert count[0] > SORT.steps * 10
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
