"""The published checkpoints' attention against the independent reference numbers."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synergy_engine as engine
from tests.engine import exact


@pytest.fixture(scope="module")
def layers(paper: Path) -> list[tuple[dict[str, Any], engine.MultiHeadSystem]]:
    records = json.loads((paper / "reference.json").read_text())["records"]
    attention = np.load(paper / "attention.npz")
    return [
        (
            record,
            engine.MultiHeadSystem.from_attention(
                attention[f"copy_h{record['heads']}_l{record['layer']}"], record["head_weights"]
            ),
        )
        for record in records
    ]


Layers = list[tuple[dict[str, Any], engine.MultiHeadSystem]]


def test_fidelity(layers: Layers) -> None:
    """Within 1e-9: the reference takes float32 rows as they are, the theory normalises them."""
    for record, system in layers:
        truth = record["fidelity"]
        found = engine.analyze(system)
        assert found["fidelity"]["minimax"] == pytest.approx(
            truth["theory_excluding_sink"], abs=1e-9
        )
        assert found["fidelity"]["argmin"] == truth["argmin_node"]
        assert found["fidelity"]["time"] == truth["argmax_t"]
        assert found["synergy"]["best_head_fidelity"] == pytest.approx(
            truth["best_single_head_excluding_sink"], abs=1e-9
        )
        assert [head["fidelity_minimax"] for head in found["per_head"]] == pytest.approx(
            truth["per_head_excluding_sink"], abs=1e-9
        )


def test_the_published_code_is_reproduced_exactly(layers: Layers) -> None:
    for record, system in layers:
        found = engine.analyze(system, convention="paper-code")
        fidelity, mixing = record["fidelity"], record["mixing"]["paper_code"]
        assert 100 * found["fidelity"]["minimax"] == pytest.approx(
            fidelity["paper_code_percent"], rel=1e-12
        )
        assert [100 * head["fidelity_minimax"] for head in found["per_head"]] == pytest.approx(
            fidelity["paper_code_percent_per_head"], rel=1e-12
        )
        assert found["mixing"]["hitting_time_mean"] == pytest.approx(
            mixing["expected_steps_capped_100"], rel=1e-12
        )
        assert found["bounds"]["thm_2_9"]["applies"] is False


@pytest.mark.parametrize("combine", ["walks", "attention"])
def test_mixing(layers: Layers, combine: str) -> None:
    for record, system in layers:
        truth = record["mixing"][combine]
        found = engine.analyze(system, combine=combine)["mixing"]
        for name in ("tv_max", "tv_mean", "l1_mean"):
            if f"{name}_quarter" in truth:
                expected = truth[f"{name}_quarter"]
                got = found[f"mixing_time_{name}"]
                assert got == (expected if expected is not None else "> 10000")
        assert found["hitting_time_capped_mean"] == pytest.approx(
            truth["mean_hitting_time_capped_100"], rel=1e-12
        )
        # The reference forms 1 - P_jj, which costs digits where self-loops are nearly one; the
        # next test settles who is right.
        slow = truth["mean_hitting_time"] > 1e12
        assert found["hitting_time_mean"] == pytest.approx(
            truth["mean_hitting_time"], rel=2e-3 if slow else 1e-9
        )


def test_astronomical_hitting_times_against_exact_rationals(layers: Layers) -> None:
    record, system = layers[3]
    assert record["mixing"]["walks"]["mean_hitting_time"] > 1e13
    heads = [exact.fractions(system.head_array(0))]
    # 100 nodes in rationals take long; float digits beyond the 40th change nothing here.
    truth = _hitting_in_high_precision(heads[0])
    np.testing.assert_allclose(engine.hitting_times(system), truth, rtol=1e-13)


def _hitting_in_high_precision(head: exact.Matrix) -> list[float]:
    from decimal import Decimal, localcontext

    def decimal(x: Fraction) -> Decimal:
        return Decimal(x.numerator) / Decimal(x.denominator)

    n = len(head)
    with localcontext() as context:
        context.prec = 60
        weights = [[decimal(x) for x in row] for row in head]
        times = [Decimal(0)] * n
        for i in range(n - 2, -1, -1):
            column = [weights[j][i] for j in range(i, n)]
            onward = sum(w * times[i + k] for k, w in enumerate(column) if k)
            times[i] = (sum(column) + onward) / sum(column[1:])
        return [float(t) for t in times]


@pytest.mark.parametrize(
    ("heads", "medians"), [(1, [0.0474, 0.0952, 0.1639]), (8, [0.2336, 0.1651, 0.0001])]
)
def test_layered_fidelity_of_the_published_checkpoints(
    paper: Path, heads: int, medians: list[float]
) -> None:
    """``n·φ^4_min`` for γ = ¼, ½ and 1, median of 40 inputs: γ decides which model is clearer."""
    from synergy_trainer import load_published

    model = load_published(paper / f"{heads}_heads_copy.pt", heads)
    inputs = np.random.default_rng(0).integers(0, 256, (40, 100))
    attention, weights = model.attention(inputs), model.head_weights()
    for gamma, truth in zip((0.25, 0.5, 1.0), medians, strict=True):
        found = engine.layered_fidelity(attention, weights, gamma=gamma)
        assert np.median(found.normalised) == pytest.approx(truth, abs=5.1e-5)
