"""The theory's predictions as named, testable statements.

Each prediction is tested in every group (task and sizes) on its own, with seeds as the sample, and
in every convention on its own. Holm's correction runs over all tests of one convention. A universal
claim is as good as its worst group: one contradicted group contradicts the prediction as a whole,
and the summary says in how many groups it was supported, contradicted and left undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from synergy_tui.report.statistics.decide import Verdict, decide, holm, samples_to_decide
from synergy_tui.report.statistics.findings import ALPHA, Finding, correlated, exact, trend
from synergy_tui.report.statistics.intervals import clustered_interval
from synergy_tui.report.statistics.observations import Observation, by_group, complete_blocks
from synergy_tui.report.statistics.paired import Difference, log_ratio, one_sample
from synergy_tui.report.statistics.trends import correlation_across_seeds, correlation_within_seeds


def examine(
    observations: Iterable[Observation], convention: str, *, alpha: float = ALPHA
) -> list[Finding]:
    """Test every prediction that the observations of one convention can speak to.

    ``alpha`` is the family-wise error over all tests of this call. Findings come by prediction,
    then group; predictions without data are absent.
    """
    groups = by_group(observations)
    found = [
        replace(finding, group=group, convention=convention)
        for test in (_p1, _p2, _p3, _p4, _p4_control, _p5, _p6_mixing, _p6_fidelity)
        for group, members in groups.items()
        if (finding := test(members)) is not None
    ]
    tested = [at for at, finding in enumerate(found) if not math.isnan(finding.p_value)]
    adjusted = holm([found[at].p_value for at in tested])
    for at, adjusted_p in zip(tested, adjusted.tolist(), strict=True):
        found[at] = _decided(found[at], adjusted_p, alpha, len(tested))
    return found


def _decided(finding: Finding, adjusted: float, alpha: float, family: int) -> Finding:
    verdict = decide(finding.direction, adjusted, alpha=alpha)
    needed = None
    if verdict is Verdict.UNDECIDED and math.isfinite(finding.effect):
        needed = samples_to_decide(finding.effect, alpha=alpha / family)
    return replace(finding, verdict=verdict, adjusted_p=adjusted, needed=needed)


def _p1(members: Sequence[Observation]) -> Finding | None:
    return _head_trend("P1", "hitting_time", -1, members)


def _p2(members: Sequence[Observation]) -> Finding | None:
    return _head_trend("P2", "fidelity", +1, members)


def _head_trend(
    prediction: str, value: str, sign: int, members: Sequence[Observation]
) -> Finding | None:
    """A trend over head counts within seeds, with every contrast against the fewest heads."""
    blocks, heads, table = complete_blocks(members, "heads", value)
    if len(heads) < 2 or len(blocks) < 2 or len({member.redrawn for member in members}) > 1:
        return None
    details = []
    for column in range(1, len(heads)):
        contrast = one_sample(log_ratio(table[:, column], table[:, 0]))
        if contrast.samples == 0:
            details.append(
                f"{heads[column]:g} heads against {heads[0]:g}: no ratio in any seed (0/0 or ∞/∞)"
            )
            continue
        against = "" if sign * contrast.median >= 0 else " — the other way"
        details.append(
            f"{heads[column]:g} heads against {heads[0]:g}: {_ratio(contrast)}, "
            f"{contrast.test} p = {contrast.p_value:.2g} uncorrected, "
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
    return trend(prediction, sign, heads, table, "head count", details)


def _p3(members: Sequence[Observation]) -> Finding | None:
    """Mean log amplification of each seed's multi-head runs against zero."""
    several = [
        member
        for member in members
        if member.heads > 1 and not math.isnan(member.amplification) and member.redrawn != 0.0
    ]
    blocks = list(dict.fromkeys(member.block for member in several))
    if len(blocks) < 2:
        return None
    logs = _block_means(several, blocks)
    sample = one_sample(logs)
    details = []
    for heads in sorted({member.heads for member in several}):
        these = [member for member in several if member.heads == heads]
        one = one_sample(_block_means(these, blocks))
        wins = [m.beats_best_head for m in these if m.beats_best_head.size]
        share = ""
        if wins:
            low, high = clustered_interval(wins)
            mean = float(np.mean([w.mean() for w in wins]))
            of = "graphs" if all(math.isnan(m.loss) for m in these) else "inputs"
            interval = "" if math.isnan(low) else f" [{low:.0%}, {high:.0%}]"
            share = f"; beats its best head on {mean:.0%} of {of}{interval}"
        details.append(
            f"{heads} heads: {_ratio(one)}, {one.test} p = {one.p_value:.2g} uncorrected, "
            f"{one.samples} seeds{share}"
        )
    if np.ptp(np.nan_to_num(logs)) == 0 and not np.isnan(logs).any():
        return exact("P3", math.exp(logs[0]), "amplification", logs[0], details)
    return Finding(
        prediction="P3",
        estimate=math.exp(sample.mean),
        unit="amplification (geometric mean)",
        direction=sample.mean if not math.isnan(sample.mean) else sample.median,
        samples=sample.samples,
        test=sample.test,
        interval=(math.exp(sample.interval[0]), math.exp(sample.interval[1])),
        effect=sample.effect,
        p_value=sample.p_value,
        details=tuple(details),
    )


def _p4(members: Sequence[Observation]) -> Finding | None:
    """Designed: a trend along the knob. Trained: rank correlation within head counts."""
    several = [member for member in members if member.heads > 1]
    if len({member.redrawn for member in members if member.redrawn is not None}) < 2:
        trained = [member for member in several if member.redrawn is None]
        return _correlation("P4", trained, "diversity", "amplification", +1)
    blocks, levels, table = complete_blocks(several, "redrawn", "amplification")
    if len(blocks) < 2 or len(levels) < 2:
        return None
    medians = ", ".join(
        f"{level:g}: ×{_factor(float(np.median(log_ratio(table[:, column], 1.0))))}"
        for column, level in enumerate(levels)
    )
    details = [f"median amplification by share redrawn: {medians}"]
    return trend("P4", +1, levels, table, "the share of rows redrawn", details)


def _p4_control(members: Sequence[Observation]) -> Finding | None:
    """The control is checked, not tested: a number that must be exactly 1 has no sampling error."""
    control = [
        member
        for member in members
        if member.heads > 1 and (member.redrawn == 0.0 or member.diversity == 0.0)
    ]
    if not control:
        return None
    worst = max(control, key=lambda member: abs(member.amplification - 1))
    off = abs(worst.amplification - 1)
    holds = off <= 1e-9 and all(abs(member.diversity) <= 1e-12 for member in control)
    return Finding(
        prediction="P4-control",
        estimate=worst.amplification,
        unit="amplification furthest from 1",
        direction=1.0 if holds else -1.0,
        samples=len(control),
        test="checked",
        verdict=Verdict.SUPPORTED if holds else Verdict.CONTRADICTED,
        details=(f"{len(control)} runs with identical heads",),
    )


def _p5(members: Sequence[Observation]) -> Finding | None:
    """Bounds are theorems: one violation where a bound applies contradicts."""
    checks = [(member, bound) for member in members for bound in member.bounds]
    applicable = [(member, bound) for member, bound in checks if bound.applies]
    if not checks:
        return None
    broken = [(member, bound) for member, bound in applicable if not bound.holds]
    details = []
    for name in dict.fromkeys(bound.name for _, bound in checks):
        these = [bound for _, bound in applicable if bound.name == name]
        tightest = [b.measured / b.bound for b in these if b.bound > 0 and math.isfinite(b.bound)]
        inapplicable = sum(bound.name == name and not bound.applies for _, bound in checks)
        if not these:
            details.append(f"{name}: applies to none of {inapplicable}")
            continue
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
        estimate=share,
        unit="share of applicable bounds that hold",
        direction=-1.0 if broken else 1.0,
        samples=len(applicable),
        test="checked",
        verdict=verdict,
        details=tuple(details),
    )


def _p6_mixing(members: Sequence[Observation]) -> Finding | None:
    return _correlation("P6-mixing", members, "hitting_time", "loss", +1)


def _p6_fidelity(members: Sequence[Observation]) -> Finding | None:
    return _correlation("P6-fidelity", members, "fidelity", "loss", -1)


def _correlation(
    prediction: str, members: Sequence[Observation], first: str, second: str, sign: int
) -> Finding | None:
    """Rank correlation of two quantities over the head counts and seeds of a group.

    P6 asks whether, within a seed, the runs that are ahead in one are ahead in the other. P4 asks
    it of seeds within equal head counts, since both of its quantities move with the head count for
    reasons of their own. The details give the one that does not decide.
    """
    blocks, heads, a = complete_blocks(members, "heads", first)
    others, _, b = complete_blocks(members, "heads", second)
    common = [block for block in blocks if block in others]
    if len(common) < 2:
        return None
    a = a[[blocks.index(block) for block in common]]
    b = b[[others.index(block) for block in common]]
    within = correlation_within_seeds(a, b) if len(heads) > 1 else None
    across = correlation_across_seeds(a, b) if len(common) > 2 else None
    decisive, other, unit, label = (
        (across, within, "rank correlation over seeds, at equal head counts", "within seeds")
        if prediction == "P4"
        else (within, across, "rank correlation over head counts, within seeds",
              "over seeds, at equal head counts")
    )  # fmt: skip
    if decisive is None or math.isnan(decisive.mean):
        return None
    details = []
    if other is not None and not math.isnan(other.mean):
        low, high = other.interval
        between = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        against = "" if sign * other.mean >= 0 else " — the other way"
        details.append(
            f"{label}: ρ = {other.mean:.2f}{between}, p = {other.p_value:.2g} uncorrected{against}"
        )
    return correlated(prediction, sign, decisive, unit, details)


def _block_means(members: Sequence[Observation], blocks: Sequence[str]) -> list[float]:
    """Mean log amplification of each block, so that seeds are the sample, not runs."""
    means = []
    for block in blocks:
        own = [m.amplification for m in members if m.block == block]
        means.append(float(np.mean(log_ratio(own, 1.0))) if own else math.nan)
    return means


def _ratio(logs: Difference) -> str:
    """Geometric mean, interval and effect size; the median where some ratios are 0 or infinite."""
    if not math.isfinite(logs.mean):
        return f"×{_factor(logs.median)} in the median, some 0 or infinite"
    low, high = logs.interval
    between = "" if math.isnan(low) else f" [{_factor(low)}, {_factor(high)}]"
    effect = f", g = {logs.effect:.2f}" if math.isfinite(logs.effect) else ""
    return f"×{_factor(logs.mean)}{between}{effect}"


def _factor(log_value: float) -> str:
    if math.isnan(log_value):
        return "?"
    return f"{math.exp(log_value):.3g}" if log_value < 700 else "∞"
