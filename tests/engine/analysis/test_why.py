"""Why a layer is as it is: one object with the measures' own numbers, and means over inputs."""

from __future__ import annotations

import json

import numpy as np
import pytest

import synergy_engine as engine
from tests.engine.measures.test_sensitivity import example, sparse_twin
from tests.engine.systems import attention

KEYS = [
    "node", "time", "value", "heads", "switch", "fidelity_at_most", "hitting_time_at_least",
    "best", "helps", "gains",
]  # fmt: skip


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_example_2(storage: str) -> None:
    found = engine.why(example(storage))
    assert list(found) == KEYS
    assert (found["node"], found["time"], found["helps"]) == (2, 1, [2])
    assert found["value"] == pytest.approx(5 / 12)
    assert [sorted(head) for head in found["heads"]] == [
        ["carriage", "gradient", "head", "towards"]
    ] * 2
    assert [head["head"] for head in found["heads"]] == [1, 2]
    assert found["heads"][0]["carriage"] == pytest.approx(0.6)
    assert found["heads"][0]["gradient"] == pytest.approx(0.5)
    assert found["heads"][0]["towards"] == pytest.approx(1 / 12)
    assert found["switch"] == [[0, 0], [0, 0]]
    assert (found["fidelity_at_most"], found["hitting_time_at_least"]) == (0.5, 2.125)
    best = found["best"]
    assert best["weights"][0] == pytest.approx(0.5787, abs=1e-3)
    assert best["lower"] <= 0.4297880420
    assert 0.4297880419 <= best["upper"] <= best["lower"] * 1.0011
    assert found["gains"]["now"] == pytest.approx(10 / 9)  # 5/12 over 3/8
    assert found["gains"]["best"] == pytest.approx(best["lower"] * 8 / 3)
    assert found["gains"]["at_most"] == pytest.approx(best["upper"] * 8 / 3)
    assert json.loads(json.dumps(found)) == found


def test_numbers_are_those_of_the_measures_and_in_order() -> None:
    system = engine.MultiHeadSystem.from_attention(attention(5, 20, 20, seed=3, sharp=1.5))
    found, measured = engine.why(system), engine.analyze(system)
    assert found["value"] == pytest.approx(measured["fidelity"]["minimax"])
    assert found["node"] == measured["fidelity"]["argmin"]
    assert found["time"] == measured["fidelity"]["time"]
    best = found["best"]
    assert found["value"] <= best["lower"] <= best["upper"] <= found["fidelity_at_most"]
    assert measured["mixing"]["hitting_time_mean"] >= found["hitting_time_at_least"]
    again = engine.fidelity(system.with_weights(best["weights"])).minimax
    assert again == pytest.approx(best["lower"])
    twin = engine.why(sparse_twin(system))
    assert twin["value"] == pytest.approx(found["value"])
    assert twin["fidelity_at_most"] == pytest.approx(found["fidelity_at_most"])
    assert twin["helps"] == found["helps"]


def test_without_a_proof_the_interval_is_wider() -> None:
    system = engine.MultiHeadSystem.from_attention(attention(2, 20, 20, seed=3, sharp=1.5))
    proved, quick = engine.why(system), engine.why(system, certified=False)
    assert quick["best"]["upper"] == quick["fidelity_at_most"]
    assert proved["best"]["upper"] < quick["best"]["upper"]
    assert proved["best"]["upper"] <= proved["best"]["lower"] * 1.0011


def test_a_minimum_that_settles_late_is_waited_for() -> None:
    """Of 1e-5 the first node gathers 1e-5 a step: past 256 steps it is no longer heard least."""
    system = example().with_weights([1e-5, 1 - 1e-5])
    found = engine.why(system, certified=False)
    assert (found["node"], found["time"]) == (2, 1)
    assert found["value"] == engine.fidelity(system).minimax
    assert "horizon cut it off" in engine.why(system, horizon=256)["refused"]


def test_a_refusal_gives_its_reason() -> None:
    found = engine.why(example().with_weights([0, 1]))
    assert list(found) == ["refused"]
    assert "approached and not attained" in found["refused"]


def test_several_inputs_are_means_over_those_not_refused() -> None:
    batch = attention(4, 2, 3, 9, 9, seed=8, sharp=1.0, dtype=np.float64)
    batch[1, 0] = np.eye(9)  # the sink hears nobody: refused
    first, second = engine.why_batch(batch, [3, 2, 1], certified=False)
    singles = [
        engine.why(engine.MultiHeadSystem.from_attention(batch[b, 0], [3, 2, 1]), certified=False)
        for b in range(4)
    ]
    assert "refused" in singles.pop(1)
    assert (first["inputs"], second["inputs"]) == (3, 4)
    assert list(first) == [*KEYS, "inputs"]
    for key in ("value", "fidelity_at_most", "hitting_time_at_least"):
        assert first[key] == pytest.approx(np.mean([each[key] for each in singles]))
    carried = [[head["carriage"] for head in each["heads"]] for each in singles]
    assert [h["carriage"] for h in first["heads"]] == pytest.approx(np.mean(carried, axis=0))
    assert sum(h["carriage"] for h in first["heads"]) == pytest.approx(1)
    assert sum(first["best"]["weights"]) == pytest.approx(1)
    assert first["value"] <= first["best"]["lower"] <= first["best"]["upper"]
    for head in (1, 2, 3):
        assert (head in first["helps"]) == (sum(head in each["helps"] for each in singles) >= 2)
    (nothing,) = engine.why_batch(np.broadcast_to(np.eye(5), (2, 1, 2, 5, 5)))
    assert nothing["inputs"] == 0
    assert "never hears" in nothing["refused"]


def test_gains_over_inputs_are_means_of_logarithms() -> None:
    """The ratio of mean fidelities would fall short of the synergy that there is: 3.3 of 4.4."""
    batch = np.zeros((2, 1, 2, 3, 3))
    batch[..., 0, 0] = 1
    batch[0, ..., 1:, :] = [[0.5, 0.5, 0], [0.3, 0.4, 0.3]]
    tiny = 1e-4
    batch[1, 0, 0, 1:] = [[tiny, 1 - tiny, 0], [tiny, 1 - 2 * tiny, tiny]]
    batch[1, 0, 1, 1:] = [[1 - tiny, tiny, 0], [1 - 2 * tiny, tiny, tiny]]
    (found,) = engine.why_batch(batch)
    (measured,) = engine.analyze_batch(batch)
    gains = found["gains"]
    assert gains["now"] == pytest.approx(measured["synergy"]["fidelity_amplification"])
    assert 4 < gains["now"] <= gains["best"] <= gains["at_most"] * (1 + 1e-9)
