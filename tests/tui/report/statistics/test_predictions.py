"""Predictions on simulated sweeps whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.statistics.findings import Finding, summarise
from synergy_tui.report.statistics.observations import BoundCheck, Observation
from synergy_tui.report.statistics.predictions import examine

HEADS = (1, 2, 4, 8)


def sweep(
    *,
    seeds: int = 5,
    groups: tuple[str, ...] = ("sort",),
    steps: Callable[[int, float], float] = lambda heads, noise: 40 / heads * math.exp(0.1 * noise),
    fidelity: Callable[[int, float], float] = lambda heads, noise: 0.01 * math.exp(0.3 * noise),
    amplification: Callable[[int, float], float] = lambda heads, noise: math.exp(0.1 * noise),
    loss: Callable[[int, float], float] = lambda heads, noise: 1.0 + 0.1 * noise,
) -> list[Observation]:
    rng = np.random.default_rng(0)
    return [
        Observation(
            group=group,
            block=f"seed {seed}",
            heads=heads,
            run=f"{heads} heads",
            hitting_time=steps(heads, rng.normal()),
            fidelity=fidelity(heads, rng.normal()),
            amplification=amplification(heads, rng.normal()) if heads > 1 else math.nan,
            beats_best_head=(rng.random(16) < 0.7).astype(float) if heads > 1 else np.empty(0),
            diversity=rng.random() if heads > 1 else 0.0,
            loss=loss(heads, rng.normal()),
            bounds=(BoundCheck("thm_2_9", 80.0, 31.0, applies=True, holds=True),),
        )
        for group in groups
        for seed in range(seeds)
        for heads in HEADS
    ]


def find(observations: list[Observation], prediction: str) -> Finding:
    (finding,) = [f for f in examine(observations, "theory") if f.prediction == prediction]
    return finding


def test_a_real_trend_is_supported_and_sized() -> None:
    finding = find(sweep(), "P1")
    assert finding.verdict is Verdict.SUPPORTED
    assert finding.estimate == -1.0
    assert finding.adjusted_p >= finding.p_value
    assert any(text.startswith("8 heads against 1: ×0.1") for text in finding.details)


def test_the_opposite_trend_is_contradicted_not_undecided() -> None:
    finding = find(sweep(steps=lambda heads, noise: heads * math.exp(0.1 * noise)), "P1")
    assert finding.verdict is Verdict.CONTRADICTED


def test_no_trend_is_undecided_with_the_sample_that_would_decide() -> None:
    finding = find(sweep(), "P2")
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.needed is None or finding.needed > 5


def test_a_weak_effect_names_the_seeds_it_needs_and_they_suffice() -> None:
    def weak(heads: int, noise: float) -> float:
        return 0.01 * math.exp(0.12 * math.log2(heads) + 0.4 * noise)

    few = find(sweep(seeds=4, fidelity=weak), "P2")
    assert few.verdict is Verdict.UNDECIDED
    assert few.needed is not None
    enough = find(sweep(seeds=2 * few.needed, fidelity=weak), "P2")
    assert enough.verdict is Verdict.SUPPORTED


def test_infinite_hitting_times_count_as_slow() -> None:
    finding = find(sweep(steps=lambda heads, noise: math.inf if heads == 1 else 9 / heads), "P1")
    assert finding.verdict is Verdict.SUPPORTED


def test_amplification_is_tested_against_one() -> None:
    above = find(sweep(amplification=lambda heads, noise: 1.5 * math.exp(0.05 * noise)), "P3")
    assert above.verdict is Verdict.SUPPORTED
    assert above.estimate == pytest.approx(1.5, rel=0.05)
    assert above.interval[0] < 1.5 < above.interval[1]
    below = find(sweep(amplification=lambda heads, noise: 0.8 * math.exp(0.05 * noise)), "P3")
    assert below.verdict is Verdict.CONTRADICTED
    assert find(sweep(), "P3").verdict is Verdict.UNDECIDED


def designed(levels: tuple[float, ...], growth: float, control: float = 1.0) -> list[Observation]:
    rng = np.random.default_rng(1)
    return [
        Observation(
            group="line · 32 nodes",
            block=f"seed {seed}",
            heads=4,
            run=f"redrawn {level:g}",
            hitting_time=10.0,
            fidelity=0.1,
            amplification=control if level == 0 else 1 + growth * level + 0.01 * rng.random(),
            diversity=level,
            redrawn=level,
        )
        for seed in range(5)
        for level in levels
    ]


def test_diversity_knob_and_its_control() -> None:
    observations = designed((0.0, 0.25, 0.5, 1.0), growth=1.0)
    assert find(observations, "P4").verdict is Verdict.SUPPORTED
    assert find(observations, "P4-control").verdict is Verdict.SUPPORTED
    assert find(designed((0.0, 0.5, 1.0), -0.5), "P4").verdict is Verdict.CONTRADICTED


def test_identical_heads_that_amplify_contradict_the_control() -> None:
    finding = find(designed((0.0, 1.0), 1.0, control=1.0 + 1e-6), "P4-control")
    assert finding.verdict is Verdict.CONTRADICTED


def test_one_violated_bound_contradicts_and_is_named() -> None:
    observations = sweep()
    broken = BoundCheck("thm_2_9", 40.0, 45.0, applies=True, holds=False)
    observations[3] = Observation(**{**vars(observations[3]), "bounds": (broken,)})
    finding = find(observations, "P5")
    assert finding.verdict is Verdict.CONTRADICTED
    assert any("VIOLATED: thm_2_9 by 8 heads (seed 0)" in text for text in finding.details)
    assert find(sweep(), "P5").verdict is Verdict.SUPPORTED


def test_a_bound_that_applies_nowhere_is_undecided() -> None:
    idle = BoundCheck("sharper", 1.0, 2.0, applies=False, holds=False)
    observations = [Observation(**{**vars(o), "bounds": (idle,)}) for o in sweep()]
    assert find(observations, "P5").verdict is Verdict.UNDECIDED


def test_loss_that_follows_mixing_is_supported_and_its_reverse_contradicted() -> None:
    follows = sweep(loss=lambda heads, noise: 1 / heads + 0.01 * noise)
    assert find(follows, "P6-mixing").verdict is Verdict.SUPPORTED
    against = sweep(loss=lambda heads, noise: heads + 0.01 * noise)
    assert find(against, "P6-mixing").verdict is Verdict.CONTRADICTED
    assert any("at equal head counts" in text for text in find(follows, "P6-mixing").details)


def test_one_contradicted_group_contradicts_the_whole_and_is_counted() -> None:
    good = sweep(groups=("sort", "copy"))
    bad = sweep(groups=("cycle",), steps=lambda heads, noise: heads * math.exp(0.1 * noise))
    (summary,) = [s for s in summarise(examine(good + bad, "theory")) if s.prediction == "P1"]
    assert summary.verdict is Verdict.CONTRADICTED
    assert summary.sentence == "contradicted for cycle; supported for sort, copy"


def test_conventions_are_kept_apart() -> None:
    findings = examine(sweep(), "theory") + examine(
        sweep(steps=lambda heads, noise: heads + 0.1 * noise), "paper-code"
    )
    verdicts = {s.convention: s.verdict for s in summarise(findings) if s.prediction == "P1"}
    assert verdicts == {"theory": Verdict.SUPPORTED, "paper-code": Verdict.CONTRADICTED}


def test_null_sweeps_rarely_claim_anything() -> None:
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(12):
        observations = [
            Observation(
                group="null",
                block=f"seed {seed}",
                heads=heads,
                run=f"{heads}",
                hitting_time=float(rng.lognormal()),
                fidelity=float(rng.lognormal()),
                amplification=float(rng.lognormal()) if heads > 1 else math.nan,
                loss=float(rng.lognormal()),
            )
            for seed in range(6)
            for heads in HEADS
        ]
        claims += any(f.verdict is not Verdict.UNDECIDED for f in examine(observations, "theory"))
    assert claims <= 2


def test_a_single_seed_tests_nothing() -> None:
    assert {f.prediction for f in examine(sweep(seeds=1), "theory")} == {"P5"}


def test_numbers_that_no_seed_changes_are_one_fact_not_ten_observations() -> None:
    observations = [
        Observation(
            group="star",
            block=f"seed {seed}",
            heads=heads,
            run=f"{heads}",
            hitting_time=10.0 / heads,
            fidelity=(0.1, 0.3, 0.2, 0.4)[HEADS.index(heads)],
            amplification=2.0 if heads > 1 else math.nan,
        )
        for seed in range(10)
        for heads in HEADS
    ]
    falls, turns, above = (find(observations, name) for name in ("P1", "P2", "P3"))
    assert (falls.verdict, falls.samples) == (Verdict.SUPPORTED, 1)
    assert math.isnan(falls.p_value)
    assert turns.verdict is Verdict.UNDECIDED
    assert "it turns" in turns.details[0]
    assert (above.verdict, above.samples) == (Verdict.SUPPORTED, 1)
