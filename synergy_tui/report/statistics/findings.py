"""What testing a prediction yields: findings by group, and their summary by convention."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synergy_tui.report.statistics.decide import Verdict, decide
from synergy_tui.report.statistics.intervals import Interval
from synergy_tui.report.statistics.trends import ordered_trend

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
    "P6-mixing": "Within a seed, head counts of fewer steps to the sink have a lower task loss.",
    "P6-fidelity": "Within a seed, head counts of higher minimax fidelity have a lower task loss.",
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
    def sentence(self) -> str:
        """Which groups say what, the least favourable first: ``contradicted for cycle; …``."""
        by_verdict = {
            verdict: [finding.group for finding in self.findings if finding.verdict is verdict]
            for verdict in (Verdict.CONTRADICTED, Verdict.UNDECIDED, Verdict.SUPPORTED)
        }
        parts = [
            f"{verdict} for {', '.join(groups)}"
            if len(groups) <= FEW
            else f"{verdict} in {len(groups)} of {len(self.findings)} groups"
            for verdict, groups in by_verdict.items()
            if groups
        ]
        return "; ".join(parts)


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


def computed(table: NDArray[np.float64]) -> list[float]:
    """The one row of a table whose rows are all the same: computed, not sampled; else nothing.

    A family that no seed changes gives the same numbers ten times. That is one fact, not ten
    observations, and no test may count it as such.
    """
    same = len(table) > 1 and all(np.array_equal(row, table[0]) for row in table)
    return [float(value) for value in table[0]] if same else []


def exact_trend(
    prediction: str,
    sign: int,
    conditions: Sequence[float],
    row: Sequence[float],
    condition: str,
    group: str,
    convention: str,
) -> Finding:
    """A trend of numbers that no seed changes: decided where it never turns."""
    steps = np.sign(np.array([b - a if b != a else 0.0 for a, b in itertools.pairwise(row)]))
    monotone = steps.size > 0 and abs(steps.sum()) == steps.size
    told = ", ".join(f"{c:g}: {v:.3g}" for c, v in zip(conditions, row, strict=True))
    return exact(
        prediction,
        float(ordered_trend([row]).mean),
        f"rank correlation with {condition}",
        float(sign * steps[0]) if monotone else 0.0,
        [told if monotone else f"{told}; it turns"],
        group,
        convention,
    )


def exact(
    prediction: str,
    estimate: float,
    unit: str,
    direction: float,
    details: Sequence[str],
    group: str,
    convention: str,
) -> Finding:
    """A finding without sampling error: no seed changes it."""
    return Finding(
        prediction=prediction,
        group=group,
        convention=convention,
        verdict=decide(direction, 0.0),
        estimate=estimate,
        interval=(math.nan, math.nan),
        unit=unit,
        direction=direction,
        effect=math.nan,
        p_value=math.nan,
        samples=1,
        test="computed: the same for every seed",
        details=tuple(details),
    )
