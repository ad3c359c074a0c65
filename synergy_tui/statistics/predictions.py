"""The theory's predictions as named, testable statements.

Each prediction is tested in every group (task and sizes) on its own, with seeds as the sample, and
in every convention on its own. Holm's correction runs over all tests of one convention. A universal
claim is as good as its worst group: one contradicted group contradicts the prediction as a whole,
and the summary says in how many groups it was supported, contradicted and left undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from synergy_tui.statistics.decide import Verdict, decide, holm, samples_to_decide
from synergy_tui.statistics.intervals import Interval, clustered_interval, proportion_interval
from synergy_tui.statistics.observations import Observation, by_group, complete_blocks
from synergy_tui.statistics.paired import log_ratio, one_sample
from synergy_tui.statistics.trends import grouped_rank_correlation, ordered_trend

ALPHA = 0.05

STATEMENTS = {
    "P1": "Steps to the sink fall as the head count rises.",
    "P2": "Minimax fidelity rises as the head count rises.",
    "P3": "The mixture hears more clearly than its own best head (amplification above 1).",
    "P4": "Amplification grows with the diversity of the heads.",
    "P4-control": "With identical heads, diversity is 0 and amplification exactly 1.",
    "P5": "The bounds of the theory hold.",
    "P6-mixing": "Runs that take more steps to the sink have a higher task loss.",
    "P6-fidelity": "Runs with a higher minimax fidelity have a lower task loss.",
}


@dataclass(frozen=True)
class Finding:
    """One prediction in one group and convention.

    Attributes
    ----------
    prediction
        Key of :data:`STATEMENTS`.
    group, convention
        Where it was tested.
    verdict
        After correction.
    estimate, interval, unit
        The size of the effect, its 95 % interval over seeds, and what it is a size of.
    direction
        Positive when the estimate points where the prediction says.
    effect
        Standardised (Hedges' g); nan where the prediction is not about a mean.
    p_value, adjusted_p
        Two-sided; nan for statements that are checked, not tested.
    samples
        Seeds (blocks) that count.
    needed
        Seeds at which an effect of this size would be decided with 80 % power; ``None`` when no
        realistic number would do.
    test
        Name of the test.
    details
        Sentences for a person: contrasts, exceptions, what was left out.
    """

    prediction: str
    group: str
    convention: str
    verdict: Verdict
    estimate: float
    interval: Interval
    unit: str
    direction: float
    effect: float
    p_value: float
    samples: int
    test: str
    adjusted_p: float = math.nan
    needed: int | None = None
    details: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The prediction in words."""
        return STATEMENTS[self.prediction]


@dataclass(frozen=True)
class Summary:
    """One prediction over all groups of one convention."""

    prediction: str
    convention: str
    verdict: Verdict
    findings: tuple[Finding, ...] = field(default=())

    @property
    def counts(self) -> dict[Verdict, int]:
        """Groups by verdict."""
        return {
            verdict: sum(finding.verdict is verdict for finding in self.findings)
            for verdict in Verdict
        }

    @property
    def sentence(self) -> str:
        """The counts in words: ``supported in 2 of 3 groups, contradicted in 1``."""
        parts = [f"{verdict} in {count}" for verdict, count in self.counts.items() if count]
        return f"{', '.join(parts)} of {len(self.findings)}" if parts else "not tested"


def examine(
    observations: Iterable[Observation], convention: str, *, alpha: float = ALPHA
) -> list[Finding]:
    """Test every prediction that the observations can speak to.

    Parameters
    ----------
    observations
        All of one convention.
    convention
        Its name, for the findings.
    alpha
        Family-wise error over all tests of this call.

    Returns
    -------
    list of Finding
        By prediction, then group; predictions without data are absent.
    """
    groups = by_group(observations)
    found = [
        finding
        for test in (_p1, _p2, _p3, _p4, _p4_control, _p5, _p6_mixing, _p6_fidelity)
        for group, members in groups.items()
        if (finding := test(members, group, convention)) is not None
    ]
    tested = [finding for finding in found if not math.isnan(finding.p_value)]
    adjusted = dict(zip(map(id, tested), holm([f.p_value for f in tested]), strict=True))
    return [
        _decided(finding, float(adjusted[id(finding)]), alpha, len(tested))
        if id(finding) in adjusted
        else finding
        for finding in found
    ]


def summarise(findings: Sequence[Finding]) -> list[Summary]:
    """One line a prediction and convention; a universal claim is as good as its worst group."""
    summaries = []
    for prediction in STATEMENTS:
        for convention in dict.fromkeys(finding.convention for finding in findings):
            group = tuple(
                finding
                for finding in findings
                if finding.prediction == prediction and finding.convention == convention
            )
            if group:
                verdicts = {finding.verdict for finding in group}
                verdict = (
                    Verdict.CONTRADICTED
                    if Verdict.CONTRADICTED in verdicts
                    else Verdict.SUPPORTED
                    if verdicts == {Verdict.SUPPORTED}
                    else Verdict.UNDECIDED
                )
                summaries.append(Summary(prediction, convention, verdict, group))
    return summaries


def _decided(finding: Finding, adjusted: float, alpha: float, family: int) -> Finding:
    verdict = decide(finding.direction, adjusted, alpha=alpha)
    needed = (
        samples_to_decide(finding.effect, alpha=alpha / family)
        if verdict is Verdict.UNDECIDED
        else None
    )
    return replace(finding, verdict=verdict, adjusted_p=adjusted, needed=needed)


def _p1(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    return _head_trend("P1", "steps_to_sink", -1, members, group, convention)


def _p2(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    return _head_trend("P2", "fidelity", +1, members, group, convention)


def _head_trend(
    prediction: str,
    value: str,
    sign: int,
    members: Sequence[Observation],
    group: str,
    convention: str,
) -> Finding | None:
    """A trend over head counts within seeds, with every contrast against the fewest heads."""
    blocks, heads, table = complete_blocks(members, "heads", value)
    if len(heads) < 2 or len(blocks) < 2 or len({member.redrawn for member in members}) > 1:
        return None
    trend = ordered_trend(table)
    details = []
    for column in range(1, len(heads)):
        contrast = one_sample(log_ratio(table[:, column], table[:, 0]))
        against = "" if sign * contrast.median >= 0 or contrast.samples == 0 else " — the other way"
        details.append(
            f"{heads[column]:g} heads against {heads[0]:g}: ×{_factor(contrast.mean)} "
            f"[{_factor(contrast.interval[0])}, {_factor(contrast.interval[1])}], "
            f"g = {contrast.effect:.2f}, {contrast.test} p = {contrast.p_value:.2g} uncorrected, "
            f"sign flip p = {contrast.sign_flip:.2g}{against}"
            + (f"; {contrast.undefined} seeds undefined" if contrast.undefined else "")
        )
    for column in range(1, len(heads)):
        before, after = table[:, column - 1], table[:, column]
        rises, falls = int((after > before).sum()), int((after < before).sum())
        with_it, against_it = (rises, falls) if sign > 0 else (falls, rises)
        if against_it > with_it:
            details.append(
                f"from {heads[column - 1]:g} to {heads[column]:g} heads it moves the other way in "
                f"{against_it} of {len(blocks)} seeds"
            )
    return Finding(
        prediction=prediction,
        group=group,
        convention=convention,
        verdict=Verdict.UNDECIDED,
        estimate=trend.mean,
        interval=trend.interval,
        unit="rank correlation with head count",
        direction=sign * trend.mean,
        effect=trend.effect,
        p_value=trend.p_value,
        samples=trend.samples,
        test=trend.test,
        details=tuple(details),
    )


def _p3(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    """Mean log amplification of each seed's multi-head runs against zero."""
    several = [
        member
        for member in members
        if member.heads > 1
        and not math.isnan(member.fidelity_amplification)
        and member.redrawn != 0.0
    ]
    blocks = list(dict.fromkeys(member.block for member in several))
    if len(blocks) < 2:
        return None
    logs = [
        float(np.mean(log_ratio([m.fidelity_amplification for m in several if m.block == b], 1.0)))
        for b in blocks
    ]
    sample = one_sample(logs)
    details = []
    for heads in sorted({member.heads for member in several}):
        these = [member for member in several if member.heads == heads]
        one = one_sample(log_ratio([m.fidelity_amplification for m in these], 1.0))
        wins = [m.beats_best_head for m in these if m.beats_best_head.size]
        share = ""
        if wins:
            low, high = clustered_interval(wins)
            share = (
                f"; beats its best head on {np.mean([w.mean() for w in wins]):.0%} of inputs "
                f"[{low:.0%}, {high:.0%}]"
                if not math.isnan(low)
                else f"; beats its best head on {np.mean([w.mean() for w in wins]):.0%} of inputs"
            )
        details.append(
            f"{heads} heads: ×{_factor(one.mean)} [{_factor(one.interval[0])}, "
            f"{_factor(one.interval[1])}] over {one.samples} seeds, p = {one.p_value:.2g} "
            f"uncorrected{share}"
        )
    return Finding(
        prediction="P3",
        group=group,
        convention=convention,
        verdict=Verdict.UNDECIDED,
        estimate=math.exp(sample.mean),
        interval=(math.exp(sample.interval[0]), math.exp(sample.interval[1])),
        unit="amplification (geometric mean)",
        direction=sample.mean if not math.isnan(sample.mean) else sample.median,
        effect=sample.effect,
        p_value=sample.p_value,
        samples=sample.samples,
        test=sample.test,
        details=tuple(details),
    )


def _p4(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    """Designed: a trend along the knob. Trained: rank correlation within head counts."""
    knobs = {member.redrawn for member in members if member.redrawn is not None}
    if len(knobs) > 1:
        several = [member for member in members if member.heads > 1]
        blocks, levels, table = complete_blocks(several, "redrawn", "fidelity_amplification")
        if len(blocks) < 2 or len(levels) < 2:
            return None
        trend = ordered_trend(table)
        means = ", ".join(
            f"{level:g}: ×{_factor(float(np.mean(log_ratio(table[:, column], 1.0))))}"
            for column, level in enumerate(levels)
        )
        return Finding(
            prediction="P4",
            group=group,
            convention=convention,
            verdict=Verdict.UNDECIDED,
            estimate=trend.mean,
            interval=trend.interval,
            unit="rank correlation with the share of edges redrawn",
            direction=trend.mean,
            effect=trend.effect,
            p_value=trend.p_value,
            samples=trend.samples,
            test=trend.test,
            details=(f"amplification by share redrawn: {means}",),
        )
    several = [member for member in members if member.heads > 1 and member.redrawn is None]
    return _correlation("P4", several, "diversity", "fidelity_amplification", +1, group, convention)


def _p4_control(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    """The control is checked, not tested: a number that must be exactly 1 has no sampling error."""
    control = [
        member
        for member in members
        if member.heads > 1 and (member.redrawn == 0.0 or member.diversity == 0.0)
    ]
    if not control:
        return None
    worst = max(control, key=lambda member: abs(member.fidelity_amplification - 1))
    off = abs(worst.fidelity_amplification - 1)
    holds = off <= 1e-9 and all(abs(member.diversity) <= 1e-12 for member in control)
    return Finding(
        prediction="P4-control",
        group=group,
        convention=convention,
        verdict=Verdict.SUPPORTED if holds else Verdict.CONTRADICTED,
        estimate=worst.fidelity_amplification,
        interval=(math.nan, math.nan),
        unit="amplification furthest from 1",
        direction=1.0 if holds else -1.0,
        effect=math.nan,
        p_value=math.nan,
        samples=len(control),
        test="checked",
        details=(f"{len(control)} runs with identical heads",),
    )


def _p5(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    """Bounds are theorems: one violation where a bound applies contradicts."""
    checks = [(member, bound) for member in members for bound in member.bounds]
    applicable = [(member, bound) for member, bound in checks if bound.applies]
    if not checks:
        return None
    broken = [(member, bound) for member, bound in applicable if not bound.holds]
    names = list(dict.fromkeys(bound.name for _, bound in checks))
    details = []
    for name in names:
        these = [bound for _, bound in applicable if bound.name == name]
        tightest = [b.measured / b.bound for b in these if b.bound > 0 and math.isfinite(b.bound)]
        inapplicable = sum(bound.name == name and not bound.applies for _, bound in checks)
        details.append(
            f"{name}: holds in {sum(b.holds for b in these)} of {len(these)}"
            + (f", measured at most {max(tightest):.2g} of the bound" if tightest else "")
            + (f"; does not apply to {inapplicable}" if inapplicable else "")
        )
    details += [
        f"VIOLATED: {bound.name} by {member.run} ({member.block}): {bound.measured:.4g} against "
        f"{bound.bound:.4g}"
        for member, bound in broken[:10]
    ]
    verdict = (
        Verdict.CONTRADICTED if broken else Verdict.SUPPORTED if applicable else Verdict.UNDECIDED
    )
    share = 1 - len(broken) / len(applicable) if applicable else math.nan
    return Finding(
        prediction="P5",
        group=group,
        convention=convention,
        verdict=verdict,
        estimate=share,
        interval=proportion_interval(len(applicable) - len(broken), len(applicable)),
        unit="share of applicable bounds that hold",
        direction=-1.0 if broken else 1.0,
        effect=math.nan,
        p_value=math.nan,
        samples=len(applicable),
        test="checked",
        details=tuple(details),
    )


def _p6_mixing(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    return _correlation("P6-mixing", members, "steps_to_sink", "loss", +1, group, convention)


def _p6_fidelity(members: Sequence[Observation], group: str, convention: str) -> Finding | None:
    return _correlation("P6-fidelity", members, "fidelity", "loss", -1, group, convention)


def _correlation(
    prediction: str,
    members: Sequence[Observation],
    first: str,
    second: str,
    sign: int,
    group: str,
    convention: str,
) -> Finding | None:
    """Rank correlation over the runs of a group, and within equal head counts beside it.

    P4 and P6 speak of runs, not of head counts: the decision for P4 is taken within equal head
    counts (both quantities move with the head count for reasons of their own), for P6 over all
    runs of the task, and the other one is told in the details.
    """
    a = [float(getattr(member, first)) for member in members]
    b = [float(getattr(member, second)) for member in members]
    seeds = [member.block for member in members]
    counts = sorted({member.heads for member in members})
    rows = [[i for i, member in enumerate(members) if member.heads == heads] for heads in counts]
    over_all = grouped_rank_correlation([a], [b], clusters=[seeds])
    within = grouped_rank_correlation(
        [[a[i] for i in row] for row in rows],
        [[b[i] for i in row] for row in rows],
        clusters=[[seeds[i] for i in row] for row in rows],
    )
    decisive, other, label = (
        (within, over_all, "over all head counts")
        if prediction == "P4"
        else (over_all, within, "within equal head counts")
    )
    if decisive.samples == 0:
        return None
    details = (
        (
            f"{label}: ρ = {other.mean:.2f} [{other.interval[0]:.2f}, {other.interval[1]:.2f}], "
            f"p = {other.p_value:.2g} uncorrected",
        )
        if other.samples
        else ()
    )
    # Fisher's z has standard deviation 1/√(n - 3): atanh(ρ) plays the standardised effect.
    effect = math.atanh(max(-0.999999, min(0.999999, decisive.mean)))
    return Finding(
        prediction=prediction,
        group=group,
        convention=convention,
        verdict=Verdict.UNDECIDED,
        estimate=decisive.mean,
        interval=decisive.interval,
        unit="rank correlation over runs",
        direction=sign * decisive.mean,
        effect=effect,
        p_value=decisive.p_value,
        samples=decisive.samples,
        test="permutation of ranks",
        details=details,
    )


def _factor(log_value: float) -> str:
    return "?" if math.isnan(log_value) else f"{math.exp(min(log_value, 700.0)):.3g}"
