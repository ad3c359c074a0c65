"""What testing a claim yields: a finding for each group and convention."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synergy_tui.claims import BY_ID, Claim, Foreseen
from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.statistics.intervals import UNKNOWN, Interval
from synergy_tui.words import decimal

# Groups that a sentence names; more are counted.
FEW = 4


@dataclass(frozen=True)
class Finding:
    """One claim in one group and convention."""

    claim: str  # id
    group: str
    convention: str = ""
    verdict: Verdict = Verdict.UNDECIDED
    ratio: float = math.nan  # to the null, above 1 as claimed; of an association its correlation
    interval: Interval = UNKNOWN  # 95 %, over seeds
    effect: float = math.nan  # smallest ratio (or correlation) of interest
    measured: float = math.nan  # the ratio without the null
    null: float = math.nan  # the null's own ratio
    control: str = ""  # what the null is, where it is not the claim's own
    samples: int = 0  # seeds; of a check: systems
    p_value: float = math.nan  # two-sided; nan for what is checked, not tested
    adjusted_p: float = math.nan
    equivalence_p: float = math.nan  # of the tests against the smallest effect, adjusted
    power: float = math.nan  # for the smallest effect of interest, at these seeds
    needed: int | None = None  # seeds for 80 % of it; None when no realistic number would do
    test: str = ""
    missing: str = ""  # why there is no verdict: the null or the attention that is missing
    details: tuple[str, ...] = ()  # for a person
    settings: Mapping[str, object] = field(default_factory=dict)  # axis → value of the group
    predicted: Foreseen | None = None  # verdict predicted before the first event

    @property
    def about(self) -> Claim:
        return BY_ID[self.claim]

    @property
    def against(self) -> str:
        """The name of the null."""
        return self.control or self.about.null

    @property
    def outcome(self) -> str:
        """The verdict with its bound or its reason, for a person."""
        if self.verdict is Verdict.NO_EFFECT:
            size = (
                f"|ρ| < {decimal(self.effect)}"
                if self.about.kind == "association"
                else f"within {decimal(self.effect)}×"
            )
            return f"no effect ({size})"
        if self.verdict is Verdict.UNDECIDED and self.missing:
            measured = self.about.kind != "check" and not math.isnan(self.measured)
            return "undecided (no null)" if measured else "undecided (not measured)"
        return str(self.verdict)


def in_words(findings: Sequence[Finding]) -> str:
    """Which groups say what: ``supported for sort; undecided for copy``."""
    parts = []
    for verdict in Verdict:
        these = [finding for finding in findings if finding.verdict is verdict]
        if not these:
            continue
        outcomes = list(dict.fromkeys(finding.outcome for finding in these))
        words = outcomes[0] if len(outcomes) == 1 else str(verdict)
        if len(these) > FEW:
            parts.append(f"{words} in {len(these)} of {len(findings)} groups")
        else:
            parts.append(f"{words} for {', '.join(finding.group for finding in these)}")
    return "; ".join(parts)
