"""Claims on simulated sweeps whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from synergy_tui.claims import CLAIMS
from synergy_tui.report.statistics import examine as examining
from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.statistics.examine import Predicted, contrast, examine, spearman
from synergy_tui.report.statistics.findings import Finding, in_words
from synergy_tui.report.statistics.observations import (
    BoundCheck,
    Condition,
    Further,
    Gain,
    Gains,
    Layered,
    Numbers,
    Observation,
    dose_in_words,
)
from synergy_tui.words import decimal

DOSES = (0.0, 0.25, 0.5, 1.0)


def sweep(
    *,
    seeds: int = 10,
    sooner: float = 0.0,
    clearer: float = 0.0,
    learned: float = 0.0,
    gain: float = 0.0,
    dose_gain: float = 0.0,
    dose_learned: float = 0.0,
    noise: float = 0.05,
    averaging: float = 0.3,
    seed: int = 0,
) -> list[Observation]:
    """Head counts 1, 2, 8 at λ = 1, and λ at 8 heads; effects are log ratios end to end.

    ``averaging`` is what an untrained network, or swapped heads, show as well: no effect.
    """
    rng = np.random.default_rng(seed)
    found = []
    for block in range(seeds):
        of_seed = rng.normal(0, 1.0, 3)  # what a seed does to all of its runs
        for heads, dose in [(1, 1.0), (2, 1.0), *((8, dose) for dose in DOSES)]:
            share = math.log2(heads) / 3
            far = share if dose == 1.0 else 0.0

            def near(value: float, scale: float = noise) -> float:
                return math.exp(value + scale * rng.normal())

            first = Numbers(
                math.exp(2 + of_seed[0]),
                math.exp(-4 + of_seed[1] + averaging * share),
                math.exp(1 + 0.01 * of_seed[2]),
                math.exp(averaging * share * dose),
            )
            swapped = averaging * share * dose
            own = swapped + gain * far + dose_gain * dose + noise * rng.normal()
            found.append(
                Observation(
                    group="sort",
                    block=f"seed {block}",
                    heads=heads,
                    run=f"{heads} heads",
                    dose=dose,
                    settings={"tasks": "sort"},
                    now=Numbers(
                        first.hitting_time * near(-sooner * far),
                        first.fidelity * near(clearer * far),
                        first.loss * near(-learned * far - dose_learned * dose),
                        math.exp(own),
                    ),
                    untrained=first,
                    loss_of="held-out",
                    loss=1.0,
                    beyond_one_step=0.25,
                    binding_time=1.0,
                    bounds=(BoundCheck("thm_2_9", 80.0, 31.0, applies=True, holds=True),),
                    gains=Gains(
                        Gain(own, own / 2),
                        Gain(own, own),
                        Gain(swapped, swapped / 2),
                        Gain(swapped, swapped),
                    )
                    if heads > 1
                    else None,
                )
            )
    return found


def find(observations: list[Observation], claim: str, **options: object) -> list[Finding]:
    every = examine(observations, "theory", **options)  # type: ignore[arg-type]
    return [finding for finding in every if finding.claim == claim]


def test_what_untrained_networks_and_swapped_heads_show_too_is_no_effect() -> None:
    """Fidelity rises with heads and the mixture beats its best head: both by averaging alone."""
    nothing = examine(sweep(), "theory")
    effects = [each for each in nothing if each.about.kind == "effect"]
    assert {each.claim for each in effects} == {
        claim.id for claim in CLAIMS if claim.kind == "effect"
    }
    assert {each.verdict for each in effects} == {Verdict.NO_EFFECT}
    # Fully different heads gain by averaging, identical ones nothing: that is not learned either.
    (dose,) = [each for each in effects if each.claim == "diversity-synergy"]
    assert dose.measured > 1.3
    (clearer,) = [each for each in effects if each.claim == "clearer"]
    assert clearer.measured > 1.3  # the rise that was called support before
    assert clearer.null == pytest.approx(math.exp(0.3 * 1.0), rel=1e-9)
    assert clearer.ratio == pytest.approx(clearer.measured / clearer.null)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("claim", "effect"),
    [
        ("sooner", "sooner"),
        ("clearer", "clearer"),
        ("learned", "learned"),
        ("synergy-clarity", "gain"),
        ("synergy-speed", "gain"),
        ("diversity-synergy", "dose_gain"),
        ("diversity-loss", "dose_learned"),
    ],
)
def test_an_effect_beyond_the_null_is_seen_and_sized(claim: str, effect: str, sign: int) -> None:
    found = find(sweep(**{effect: sign * 0.8}), claim)  # type: ignore[arg-type]
    largest = max(found, key=lambda each: abs(math.log(each.ratio)))
    assert largest.verdict is (Verdict.SUPPORTED if sign > 0 else Verdict.CONTRADICTED)
    assert largest.ratio == pytest.approx(math.exp(sign * 0.8), rel=0.1)
    low, high = largest.interval
    assert low < math.exp(sign * 0.8) < high


def test_few_noisy_seeds_decide_nothing_and_say_how_many_would() -> None:
    (found,) = find(sweep(seeds=4, noise=0.4), "sooner")
    assert found.verdict is Verdict.UNDECIDED
    assert found.needed is not None
    assert found.needed > 4
    assert 0 < found.power < 0.8
    # Of the effect of interest, not of what was observed: the same data shifted say the same.
    (shifted,) = find(sweep(seeds=4, noise=0.4, sooner=0.2), "sooner")
    assert shifted.needed == found.needed


def test_one_seed_has_no_interval_and_says_so() -> None:
    every = [each for each in examine(sweep(seeds=1), "theory") if each.about.kind == "effect"]
    assert {each.verdict for each in every} == {Verdict.UNDECIDED}
    assert all(math.isnan(end) for each in every for end in each.interval)
    assert not any("inf" in detail for each in every for detail in each.details)


def test_without_its_null_a_claim_has_no_verdict() -> None:
    old = [
        replace(one, untrained=None, loss_of="training", no_swap="seeds saw different inputs")
        for one in sweep(sooner=2.0, clearer=2.0, learned=2.0, gain=2.0)
    ]
    old = [
        replace(one, gains=one.gains and replace(one.gains, clear_swapped=None, soon_swapped=None))
        for one in old
    ]
    found = [each for each in examine(old, "theory") if each.about.null]
    assert len(found) > 8
    assert {each.outcome for each in found} == {"undecided (no null)"}
    assert all(each.missing for each in found)
    # And it does not count among the tests.
    assert all(math.isnan(each.p_value) for each in found)


def designed(rise: float = 0.0, **changes: object) -> list[Observation]:
    """Graphs of six seeds along the share of rows redrawn, from identical heads to independent."""
    rng = np.random.default_rng(1)
    given = {"trained": False, "jitter": 1e-10, **changes}
    found = []
    for block in range(6):
        for dose in (0.0, 0.5, 1.0):
            gain = math.exp(rise * dose + 0.03 * rng.normal())
            now = Numbers(5.0, 0.01 * gain, gain=gain)
            one = Observation("window", f"seed {block}", 4, f"{dose}", now, dose=dose)
            found.append(replace(one, **given))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("claim", ["diversity-clarity", "diversity-synergy"])
def test_designed_heads_are_compared_with_heads_that_differ_by_rounding(claim: str) -> None:
    (found,) = find(designed(0.8), claim)
    assert found.verdict is Verdict.SUPPORTED
    assert found.ratio == pytest.approx(math.exp(0.8), rel=0.05)
    assert (found.against, found.null) == ("heads that differ by 1e-9", pytest.approx(1.0))
    (none,) = find(designed(0.0), claim)
    assert none.verdict is Verdict.NO_EFFECT
    # A control that gains as much takes the support away.
    (failed,) = find(designed(0.8, jitter=0.8), claim)
    assert failed.verdict is Verdict.NO_EFFECT
    (special,) = find(designed(0.8, exchangeable=False), claim)
    assert (special.outcome, special.verdict) == ("undecided (no null)", Verdict.UNDECIDED)
    assert "graph.redraw" in special.missing
    assert find(designed(0.8), "diversity-loss") == []


def test_concordance_is_a_correlation_within_seeds() -> None:
    (found,) = find(sweep(dose_gain=0.8, dose_learned=0.8), "concordance")
    assert found.verdict is Verdict.SUPPORTED
    assert found.ratio > 0.9
    (against,) = find(sweep(dose_gain=0.8, dose_learned=-0.8), "concordance")
    assert against.verdict is Verdict.CONTRADICTED
    assert against.outcome == "contradicted"


def test_predictions_set_the_smallest_effect_of_the_groups_they_mean() -> None:
    predicted = [Predicted("sooner", "no effect", 1.6, {"tasks": ["sort", "copy"]})]
    (found,) = find(sweep(sooner=math.log(1.4)), "sooner", predicted=predicted)
    assert (found.verdict, found.effect, found.predicted) == (Verdict.NO_EFFECT, 1.6, "no effect")
    assert found.outcome == "no effect (within 1.6×)"
    elsewhere = [Predicted("sooner", "no effect", 1.6, {"tasks": "copy"})]
    (other,) = find(sweep(sooner=math.log(1.4)), "sooner", predicted=elsewhere)
    assert (other.verdict, other.predicted) == (Verdict.SUPPORTED, None)


def test_predictions_by_head_count_mean_that_group() -> None:
    predicted = [Predicted("synergy-clarity", "supported", 1.1, {"heads": 8})]
    found = find(sweep(), "synergy-clarity", predicted=predicted)
    assert {each.group.split(" · ")[1]: each.effect for each in found} == {
        "2 heads": 1.25,
        "8 heads": 1.1,
    }


def test_holm_runs_over_all_tests_of_a_convention() -> None:
    every = examine(sweep(seeds=5, noise=0.3), "theory")
    tested = [each for each in every if not math.isnan(each.p_value)]
    smallest = min(tested, key=lambda each: each.p_value)
    assert smallest.adjusted_p == pytest.approx(min(1, smallest.p_value * len(tested)))


@pytest.mark.parametrize(
    ("beyond", "required", "verdict"),
    [
        (0.3, True, Verdict.SUPPORTED),
        (0.0, True, Verdict.UNDECIDED),
        (-0.3, True, Verdict.UNDECIDED),
        (0.0, False, Verdict.SUPPORTED),
    ],
)
def test_synergy_is_supported_beyond_every_null_alone(
    beyond: float, required: bool, verdict: Verdict
) -> None:
    rng = np.random.default_rng(0)
    members = [
        replace(one, further=(Further("others", beyond + 0.05 * rng.normal(), 0.0, required),))
        for one in sweep(gain=0.8)
    ]
    every = find(members, "synergy-clarity")
    (found,) = [each for each in every if "8 heads" in each.group]
    assert found.verdict is verdict
    said = "; ".join(found.details)
    assert f"beyond others {decimal(math.exp(beyond), '.1f')}"[:-1] in said
    assert ("not beyond others" in said) is (verdict is Verdict.UNDECIDED)


def test_t_star_and_layers_stand_beside_synergy_and_disagreement_is_said() -> None:
    layered = [replace(one, layered=Layered(-0.5, "half")) for one in sweep(gain=0.8)]
    found = find(layered, "synergy-clarity")
    assert len(found) == 2
    for each in found:
        said = " ".join(each.details)
        assert "t* > 1 in 25% of inputs" in said
        assert "(γ half) .607×" in said
        assert "the two disagree" in said
        assert "over each input's best head" in said


@pytest.mark.parametrize(
    ("change", "claim", "verdict"),
    [
        ({"jitter": 4e-10}, "identical-heads", Verdict.SUPPORTED),
        ({"jitter": 1e-3}, "identical-heads", Verdict.CONTRADICTED),
        ({"condition": Condition(2, 2, 1, 0)}, "condition", Verdict.SUPPORTED),
        ({"condition": Condition(2, 1, 1, 0)}, "condition", Verdict.CONTRADICTED),
        ({"condition": Condition(2, 2, 1, 1)}, "condition", Verdict.CONTRADICTED),
        ({"condition": Condition(0, 0, 0, 0)}, "condition", Verdict.UNDECIDED),
        ({}, "bounds", Verdict.SUPPORTED),
        ({"bounds": (BoundCheck("b", 1.0, 2.0, True, False),)}, "bounds", Verdict.CONTRADICTED),
        ({"bounds": (BoundCheck("b", 1.0, 2.0, False, False),)}, "bounds", Verdict.UNDECIDED),
    ],
)
def test_checks_are_not_tests(change: dict[str, object], claim: str, verdict: Verdict) -> None:
    (found,) = find([replace(one, **change) for one in sweep()], claim)  # type: ignore[arg-type]
    assert found.verdict is verdict
    assert math.isnan(found.p_value)


def test_a_contrast_is_the_rise_of_the_regression_line() -> None:
    table = np.random.default_rng(1).normal(size=(6, 4))
    x = [0.0, 1.0, 3.0, 4.0]
    expected = [4.0 * stats.linregress(x, row).slope for row in table]
    assert contrast(x, table) == pytest.approx(expected)
    assert contrast([1.0, 8.0], table[:, :2]) == pytest.approx(table[:, 1] - table[:, 0])


def test_rank_correlation_is_spearmans() -> None:
    first, second = np.random.default_rng(2).integers(0, 5, (2, 12)).astype(float)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert spearman(np.ones(4), np.arange(4.0)) == 0.0


def test_many_groups_are_counted_few_are_named() -> None:
    few = [Finding("sooner", name, verdict=Verdict.SUPPORTED) for name in "ab"]
    assert in_words(few) == "supported for a, b"
    many = [Finding("sooner", name, verdict=Verdict.NO_EFFECT, effect=1.25) for name in "abcdef"]
    assert in_words([*many, *few]) == (
        "supported for a, b; no effect (within 1.25×) in 6 of 8 groups"
    )


EDGE = math.log(1.25)
ALL_AT_THE_EDGE = {
    "sooner": EDGE, "clearer": EDGE, "learned": EDGE, "gain": EDGE, "dose_gain": EDGE,
    "dose_learned": EDGE,
}  # fmt: skip


@pytest.mark.parametrize(
    "repeats", [pytest.param(40, id="few"), pytest.param(300, marks=pytest.mark.slow, id="many")]
)
@pytest.mark.parametrize(
    ("noise", "effects", "false", "stated"),
    [
        (0.6, {}, (Verdict.SUPPORTED, Verdict.CONTRADICTED), 0.05),
        # At the edge of what is of interest: "no effect" is as false as it can be.
        (0.1, ALL_AT_THE_EDGE, (Verdict.NO_EFFECT,), 0.025),
    ],
    ids=["no effects", "effects of interest"],
)
def test_the_family_wise_error_of_each_verdict(
    noise: float,
    effects: dict[str, float],
    false: tuple[Verdict, ...],
    stated: float,
    repeats: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How often a whole report has a false verdict; its nulls are shared by all claims."""
    # Most of the time would go into seeds that would be needed, of which no verdict is made.
    monkeypatch.setattr(examining, "samples_needed", lambda *_, **__: None)
    found = 0
    for repeat in range(repeats):
        every = examine(sweep(seeds=8, noise=noise, seed=repeat, **effects), "theory")
        tested = [each for each in every if each.claim not in ("concordance", "diversity-clarity")]
        found += any(each.verdict in false for each in tested if each.about.kind != "check")
    assert found / repeats <= stated + 0.02 + 1.5 * math.sqrt(0.05 * 0.95 / repeats)


def test_tied_heads_are_not_called_lambda() -> None:
    pulled = [one for one in sweep() if one.heads == 8]
    tied = [replace(one, dose=1 / (1 + at % 2), tied=1 + at % 2) for at, one in enumerate(pulled)]
    for members, name in ((pulled, "λ from 0 to 1"), (tied, "share of distinct heads from .5")):
        finding = find(members, "diversity-loss")[0]
        assert any(detail.startswith(name) for detail in finding.details), finding.details
    mixed = [replace(tied[0], dose=0.5 / tied[0].tied), tied[1]]
    assert dose_in_words(mixed) == "λ × share of distinct heads"


def test_loaded_networks_are_named_where_they_have_no_untrained_ones() -> None:
    """Silence would read as if nobody had asked; beside trained networks they change nothing."""
    trained = sweep(seeds=3)
    loaded = [replace(one, trained=False, loaded=True, untrained=None) for one in trained]
    for claim in ("sooner", "clearer"):
        (alone,) = (each for each in examine(loaded, "theory") if each.claim == claim)
        assert "untrained network was not measured" in alone.missing
        beside = [each for each in examine([*trained, *loaded], "theory") if each.claim == claim]
        assert beside == [each for each in examine(trained, "theory") if each.claim == claim]
