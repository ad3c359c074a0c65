"""A report as data, the same for HTML and Markdown, and what the templates are filled with."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergy_tui.claims import BY_ID, CLAIMS, Claim, ClaimRecord
from synergy_tui.report.evidence import Evidence, Foretold, Source, time_in_words
from synergy_tui.report.figures import Plot, plots
from synergy_tui.report.statistics.decide import ALPHA, EQUIVALENCE_ALPHA, Verdict
from synergy_tui.report.statistics.examine import SMALLEST_CORRELATION, Predicted, examine
from synergy_tui.report.statistics.findings import FEW, Finding, in_words
from synergy_tui.report.statistics.observations import Observation, number_at
from synergy_tui.words import decimal, duration

MARKS = {
    Verdict.SUPPORTED: "✔",
    Verdict.CONTRADICTED: "✘",
    Verdict.NO_EFFECT: "≈",
    Verdict.UNDECIDED: "?",
}

# How it was decided, for the report's last section.
METHOD = (
    "Seeds are the sample. Runs of one seed share batches and parameter count, so every comparison "
    "is paired within its seed. Inputs of one trained network are not independent of one another "
    "and are never counted as a sample.",
    "Logarithms first, then means: over inputs, layers, seeds. What is tested is the ratio to the "
    "null, paired by seed, and never the effect alone: averaging rows raises a minimum whatever "
    "heads have learned.",
    "Null “untrained”: the same networks at step 0. Null “swapped heads”: heads from the networks "
    "of other seeds on the same inputs, with their weights there, three draws averaged. The best "
    "head is one per network and layer, chosen on half of the inputs and scored on the other half; "
    "the best head of each input is reported beside it.",
    "Synergy is supported only where it is also beyond the null “shuffled inputs” (heads that "
    "looked at different inputs) and beyond the untrained network, both over the best head of each "
    "input, with 95% each: an intersection of tests, which no correction has to allow for.",
    "Beside it, k of H: the fidelity of a network trained with k heads over that of k of the heads "
    "of the same seed's largest network, over at most eight choices. It decides nothing: heads of "
    "the larger network are narrower and learned to leave work to the others, so that a ratio "
    "above 1 says that few heads do not work as a part of many do, and not why.",
    "Of designed heads, which were never trained, the null along the share of rows redrawn is "
    "heads that differ by 1e-9: they are as clear as one of them. Only graphs of which every head "
    "is redrawn are compared, so that no head is special.",
    "Along head counts (their logarithm) and λ (of heads tied in groups, the share of distinct "
    "ones): the least-squares line within a seed, from its lower to its upper end; with two "
    "conditions their paired ratio.",
    "Test: Student's t on logarithms, paired; the sign test where a ratio is 0 or infinite or all "
    "seeds agree exactly. Intervals: 95%, Student's t, not corrected.",
    "Verdict: no effect where two one-sided tests reject every ratio beyond the smallest effect of "
    "interest; else supported or contradicted where the test rejects a ratio of 1; else undecided. "
    "An interval within the smallest effect is never an effect, even where it leaves out 1.",
    "Errors: Holm's correction runs over all tests of a convention, for each kind of test by "
    f"itself. Any false “supported” or “contradicted” has a probability of at most {ALPHA:.0%}, "
    f"any false “no effect” of at most {EQUIVALENCE_ALPHA:.1%}. Conventions measure the same runs, "
    "so they are not corrected against each other.",
    "Power is that for the smallest effect of interest at the spread seen, at the level of Holm's "
    "first step; never for the effect that was observed.",
    f"Concordance is the mean over seeds of a rank correlation, no association within "
    f"±{decimal(SMALLEST_CORRELATION)}, below which one order explains less than a tenth of the "
    "other's variance; it is not a cause. Checks of theorems and controls have no sampling error: "
    "one violation contradicts.",
    "A verdict speaks of the networks, tasks and sizes of its group. That synergy does not appear "
    "in one does not say that it cannot appear.",
)


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first ``words`` columns hold words, the others numbers."""

    title: str
    note: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


@dataclass(frozen=True)
class Document:
    """Everything that a report says."""

    title: str
    created: str
    command: str  # what writes it again
    sources: Sequence[Source]
    settings: Mapping[str, str]  # group → what its runs share
    conventions: Mapping[str, str]  # convention → what it measures
    predictions: Sequence[Outcome]  # those made before the first event come first
    headline: Sequence[tuple[Verdict | None, Claim, str]]  # None where groups differ
    findings: Mapping[str, Sequence[Finding]]  # every test, by claim
    tables: Sequence[Table]  # numbers by group, one table per convention
    figures: Sequence[Plot]  # drawn when rendered
    tests: Mapping[str, int]  # convention → tests that Holm's correction ran over
    untested: Mapping[str, str]  # claims with their groups that it did not → why


@dataclass(frozen=True)
class Outcome:
    """A prediction beside what was found by the first convention."""

    foretold: Foretold
    findings: Sequence[Finding]

    @property
    def claim(self) -> Claim:
        return BY_ID[self.foretold.prediction.claim]

    @property
    def groups(self) -> str:
        where = self.foretold.prediction.where
        return ", ".join(f"{axis} {value}" for axis, value in where.items()) or "all groups"

    @property
    def smallest(self) -> str:
        """The smallest effect of interest, as the claim is measured."""
        if self.claim.kind == "association":
            return f"ρ {decimal(SMALLEST_CORRELATION)}"
        return f"{number(self.foretold.prediction.effect)}×"

    @property
    def made(self) -> str:
        return self.foretold.made.replace("T", " ").replace("+00:00", " UTC")

    @property
    def came(self) -> str:
        """Whether it came true: in every group, in none, or where."""
        if not self.findings:
            return "not tested"
        wanted = self.foretold.prediction.outcome
        held = sum(finding.verdict == wanted for finding in self.findings)
        open_ = sum(finding.verdict is Verdict.UNDECIDED for finding in self.findings)
        count = len(self.findings)
        failed = count - held - open_
        parts = [(held, "as predicted"), (failed, "otherwise"), (open_, "undecided")]
        said = [(many, words) for many, words in parts if many]
        if len(said) == 1:
            return said[0][1]
        return ", ".join(f"{many} of {count} {words}" for many, words in said)


def findings_of(evidence: Evidence) -> list[Finding]:
    """Every finding, by convention and claim; predictions made in time set what is of interest."""
    predicted = [
        Predicted(each.claim, each.outcome, each.effect, dict(each.where))
        for foretold in evidence.predictions
        if foretold.before
        for each in [foretold.prediction]
    ]
    return [
        finding
        for place, convention in enumerate(evidence.conventions)
        for finding in examine(
            evidence.observations(convention), convention, predicted, of_loss=place == 0
        )
    ]


def compose(evidence: Evidence, *, command: str) -> Document:
    """Examine the evidence and arrange what was found; ``command`` writes the report again."""
    findings = findings_of(evidence)
    by_claim = {
        claim.id: [finding for finding in findings if finding.claim == claim.id]
        for claim in CLAIMS
        if any(finding.claim == claim.id for finding in findings)
    }
    titles = [source.title for source in evidence.sources]
    return Document(
        title=titles[0] if len(titles) == 1 else f"Evidence from {len(titles)} sources",
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        command=command,
        sources=evidence.sources,
        settings=evidence.settings,
        conventions={name: _convention_in_words(name) for name in evidence.conventions},
        predictions=_outcomes(evidence, findings),
        headline=[_headline(own) for own in by_claim.values()],
        findings=by_claim,
        tables=[_table(evidence, convention) for convention in evidence.conventions],
        figures=plots(evidence, findings),
        tests={
            convention: sum(
                finding.convention == convention and not math.isnan(finding.p_value)
                for finding in findings
            )
            for convention in evidence.conventions
        },
        untested=_untested(findings),
    )


def _untested(findings: Sequence[Finding]) -> dict[str, str]:
    """Claims that could not be tested, with their groups, and why; those of one reason together."""
    lacking: dict[str, dict[str, dict[str, None]]] = {}
    for each in findings:
        if each.missing:
            lacking.setdefault(each.missing, {}).setdefault(each.claim, {})[each.group] = None

    def named(groups: Collection[str]) -> str:
        return ", ".join(groups) if len(groups) <= FEW else f"{len(groups)} groups"

    return {
        "; ".join(
            f"{BY_ID[claim].label} ({named(groups)})" for claim, groups in claims.items()
        ): reason
        for reason, claims in lacking.items()
    }


def records(evidence: Evidence) -> list[ClaimRecord]:
    """Each claim, group and convention as plain values: ``synergy report --json``."""

    def known(value: float) -> float | None:
        return None if math.isnan(value) else value

    return [
        {
            "claim": finding.claim,
            "group": finding.group,
            "convention": finding.convention,
            "verdict": finding.verdict.value,
            "ratio": None if finding.about.kind == "association" else known(finding.ratio),
            "correlation": known(finding.ratio) if finding.about.kind == "association" else None,
            "interval": None if math.isnan(finding.interval[0]) else list(finding.interval),
            "null": finding.against or None,
            "n": finding.samples,
            "predicted": finding.predicted,
            "effect": known(finding.effect),
            "missing": finding.missing or None,
            "details": list(finding.details),
        }
        for finding in findings_of(evidence)
    ]


def _outcomes(evidence: Evidence, findings: Sequence[Finding]) -> list[Outcome]:
    main = evidence.conventions[0]
    found = []
    for foretold in sorted(evidence.predictions, key=lambda each: not each.before):
        each = foretold.prediction
        meant = Predicted(each.claim, each.outcome, each.effect, dict(each.where))
        own = [one for one in findings if one.convention == main and meant.means(one)]
        found.append(Outcome(foretold, own))
    return found


def _headline(findings: Sequence[Finding]) -> tuple[Verdict | None, Claim, str]:
    """What all conventions say of a claim, or how they differ."""
    verdicts = {finding.verdict for finding in findings}
    said = {
        name: in_words([each for each in findings if each.convention == name])
        for name in dict.fromkeys(finding.convention for finding in findings)
    }
    if len(set(said.values())) == 1:
        names = list(said)
        where = "every convention" if len(names) > 1 else names[0]
        sentence = f"Under {where}: {said[names[0]]}."
    else:
        sentence = " ".join(f"Under {name}: {words}." for name, words in said.items())
    return (verdicts.pop() if len(verdicts) == 1 else None), findings[0].about, sentence


def _convention_in_words(convention: str) -> str:
    sink = "counts in" if convention == "paper-code" else "is excluded from"
    time = time_in_words(convention)
    return f"steps to the sink are the {time}; the sink {sink} the minimum of fidelity"


def _table(evidence: Evidence, convention: str) -> Table:
    observations = evidence.observations(convention)
    counts: dict[tuple[str, str], set[int]] = {}
    for one in observations:
        counts.setdefault((one.group, one.run), set()).add(one.heads)
    runs: dict[tuple[str, str], list[Observation]] = {}
    for one in observations:  # seeds alone may differ within a row
        several = len(counts[one.group, one.run]) > 1
        name = f"{one.run} · {one.heads} heads" if several else one.run
        runs.setdefault((one.group, name), []).append(one)
    columns = {
        "steps to the sink": "now.hitting_time",
        "minimax fidelity": "now.fidelity",
        "amplification": "amplification",
        "diversity (bits)": "diversity",
    }
    if sets := {
        one.loss_of for members in runs.values() for one in members if not math.isnan(one.loss)
    }:
        of = f"{' or '.join(sorted(sets))} " if all(sets) else ""
        columns["fidelity untrained"] = "untrained.fidelity"
        columns |= {f"{of}loss (nats)": "loss", f"{of}accuracy": "accuracy"}
    return Table(
        title=f"Numbers ({convention})",
        note=(
            "Median over seeds [smallest, largest]; steps to the sink: "
            f"{time_in_words(convention)}."
        ),
        headings=("group", "run", "seeds", *columns),
        rows=tuple(
            (
                *run,
                str(len(members)),
                *(spread([number_at(one, name) for one in members]) for name in columns.values()),
            )
            for run, members in runs.items()
        ),
        words=2,
    )


def spread(values: Sequence[float]) -> str:
    """Median and range of seeds, as text: ``3.2 [2.9, 4.1]``."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "–"
    middle, low, high = float(np.median(known)), min(known), max(known)
    if low == high:
        return number(middle)
    return f"{number(middle)} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """Three significant digits; ∞ and – for what has none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return decimal(value, ".3g")


def interval(finding: Finding) -> str:
    """``[low, high]`` or nothing."""
    low, high = finding.interval
    return "" if math.isnan(low) else f"[{number(low)}, {number(high)}]"


def p_value(value: float) -> str:
    """A p-value for people; – for what was checked, not tested."""
    if math.isnan(value):
        return "–"
    return "< .0001" if value < 1e-4 else decimal(value, ".2g")


def strength(finding: Finding) -> str:
    """Power for the smallest effect of interest, and the seeds for 80% of it."""
    if math.isnan(finding.power):
        return ""
    size = (
        f"ρ = {decimal(finding.effect)}"
        if finding.about.kind == "association"
        else f"{decimal(finding.effect)}×"
    )
    seeds = "more than 10,000" if finding.needed is None else f"{finding.needed:,}"
    return f"{finding.power:.0%} for {size}; 80% at {seeds} seeds"


def context(document: Document, images: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "report": document,
        "images": images,
        "marks": MARKS,
        "number": number,
        "duration": duration,
        "interval": interval,
        "p_value": p_value,
        "strength": strength,
        "method": METHOD,
        "alpha": ALPHA,
        "equivalence_alpha": EQUIVALENCE_ALPHA,
    }
