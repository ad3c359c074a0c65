"""What testing a prediction yields: findings by group, and their summary by convention."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synergy_tui.report.statistics.decide import Verdict, decide
from synergy_tui.report.statistics.intervals import UNKNOWN, Interval
from synergy_tui.report.statistics.paired import log_ratio
from synergy_tui.report.statistics.trends import RankCorrelation, ordered_trend

ALPHA = 0.05
# Groups that a sentence names; more are counted.
FEW = 4

STATEMENTS = {
    "P1": "Steps to the sink fall as the head count rises.",
    "P2": "Minimax fidelity rises as the head count rises.",
    "P3": "The mixture hears more clearly than its own best head (amplification above 1).",
    "P4": "Amplification grows with the diversity of the heads.",
    "P4-control": "With identical heads, diversity is 0 and amplification exactly 1.",
    "P5": "The bounds of the theory hold.",
    "P6-mixing": "Within a seed, head counts with fewer steps to the sink have a lower loss.",
    "P6-fidelity": "Within a seed, head counts with higher minimax fidelity have a lower loss.",
}


@dataclass(frozen=True)
class Finding:
    """One prediction in one group and convention; undecided until it is tested or checked."""

    prediction: str  # key of STATEMENTS
    estimate: float
    unit: str  # what the estimate is a size of
    direction: float  # positive when the estimate points where the prediction says
    samples: int  # seeds (blocks) that count
    test: str
    group: str = ""
    convention: str = ""
    verdict: Verdict = Verdict.UNDECIDED  # after correction
    interval: Interval = UNKNOWN  # 95 %, over seeds
    effect: float = math.nan  # Hedges' g; nan where the prediction is not about a mean
    p_value: float = math.nan  # two-sided; nan for statements that are checked, not tested
    adjusted_p: float = math.nan
    needed: int | None = None  # seeds for 80 % power; None when no realistic number would do
    details: tuple[str, ...] = ()  # for a person: contrasts, exceptions, what was left out


@dataclass(frozen=True)
class Summary:
    """One prediction over all groups of one convention."""

    prediction: str
    convention: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """A universal claim is as good as its worst group."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.CONTRADICTED in verdicts:
            return Verdict.CONTRADICTED
        return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.SUPPORTED

    @property
    def sentence(self) -> str:
        """Which groups say what, the least favourable first: ``contradicted for cycle; …``."""
        parts = []
        for verdict in (Verdict.CONTRADICTED, Verdict.UNDECIDED, Verdict.SUPPORTED):
            groups = [finding.group for finding in self.findings if finding.verdict is verdict]
            if len(groups) > FEW:
                parts.append(f"{verdict} in {len(groups)} of {len(self.findings)} groups")
            elif groups:
                parts.append(f"{verdict} for {', '.join(groups)}")
        return "; ".join(parts)


def summarise(findings: Sequence[Finding]) -> list[Summary]:
    """One summary per prediction and convention."""
    summaries = []
    for prediction in STATEMENTS:
        for convention in dict.fromkeys(finding.convention for finding in findings):
            group = tuple(
                finding
                for finding in findings
                if finding.prediction == prediction and finding.convention == convention
            )
            if group:
                summaries.append(Summary(prediction, convention, group))
    return summaries


def exact(
    prediction: str, estimate: float, unit: str, direction: float, details: Sequence[str]
) -> Finding:
    """A finding without sampling error, because no seed changes it.

    A family that no seed changes gives the same numbers ten times. That is one fact, not ten
    observations, and no test may count it as such.
    """
    return Finding(
        prediction=prediction,
        estimate=estimate,
        unit=unit,
        direction=direction,
        samples=1,
        test="computed: the same for every seed",
        verdict=decide(direction, 0.0),
        details=tuple(details),
    )


def correlated(
    prediction: str, sign: int, found: RankCorrelation, unit: str, details: Sequence[str]
) -> Finding:
    """A finding from a rank correlation, which the prediction says has this sign."""
    return Finding(
        prediction=prediction,
        estimate=found.mean,
        unit=unit,
        direction=sign * found.mean,
        samples=found.samples,
        test=found.test,
        interval=found.interval,
        effect=found.effect,
        p_value=found.p_value,
        details=tuple(details),
    )


def trend(
    prediction: str,
    sign: int,
    conditions: Sequence[float],
    table: NDArray[np.float64],
    condition: str,
    details: Sequence[str],
) -> Finding:
    """A trend along the columns of a table of seeds; a fact where all its rows are the same."""
    unit = f"rank correlation with {condition}"
    if len(table) < 2 or any(not np.array_equal(row, table[0]) for row in table):
        return correlated(prediction, sign, ordered_trend(log_ratio(table, 1.0)), unit, details)
    row = table[0].tolist()
    steps = np.sign([b - a if b != a else 0.0 for a, b in itertools.pairwise(row)])
    monotone = steps.size > 0 and abs(steps.sum()) == steps.size
    listed = ", ".join(f"{c:g}: {v:.3g}" for c, v in zip(conditions, row, strict=True))
    return exact(
        prediction,
        ordered_trend([row]).mean,
        unit,
        float(sign * steps[0]) if monotone else 0.0,
        [listed if monotone else f"{listed}; it turns"],
    )
