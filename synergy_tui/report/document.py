"""A report as data, the same for HTML and Markdown, and what the templates are filled with."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergy_tui.report.evidence import Evidence, Source, time_in_words
from synergy_tui.report.figures import Plot, plots
from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.statistics.findings import ALPHA, STATEMENTS, Finding, Summary, summarise
from synergy_tui.report.statistics.observations import Observation
from synergy_tui.report.statistics.predictions import examine
from synergy_tui.words import duration

MARKS = {Verdict.SUPPORTED: "✔", Verdict.CONTRADICTED: "✘", Verdict.UNDECIDED: "?"}

# How it was decided, for the report's last section.
METHOD = (
    "Seeds are the sample. Runs of one point share seed, batches and parameter count, so every "
    "comparison is paired within its seed. Inputs of one trained network are not independent of "
    "one another and are never counted as a sample.",
    "Trends (P1, P2, P4 on designed graphs): Page's L test on ranks within seeds, exact; an "
    "infinite time is the slowest rank. With two head counts, and for contrasts: the paired "
    "t-test on logarithms, with the exact sign-flip permutation test beside it; where a ratio is "
    "infinite, the sign test.",
    "Effect sizes: Hedges' g of the paired differences, corrected for small samples. "
    "Correlations: Spearman, by permutation. P6 ranks and permutes head counts within each seed; "
    "P4 on trained runs correlates seeds at equal head counts and permutes seeds whole, because "
    "what a seed does to all of its runs must not count several times.",
    "Intervals: percentile bootstrap over seeds (SciPy), expanded for small samples (Hesterberg "
    "2015). In simulations of normal data it covers 95 % at eight seeds and 91 % at five, where "
    "the plain one covers 83 %; skewed data cost a few points more. None is given where all "
    "agree.",
    "Correction: Holm over all tests of one convention. Conventions measure the same runs, so "
    "they are not corrected against each other.",
    '"Decided at": the sample at which a paired t-test of this effect size has 80 % power at the '
    "corrected level, if the effect is what it seems to be; for tests of ranks, simulations find "
    "75 to 90 %.",
    "P5 and the control of P4 are checked, not tested: one violation contradicts.",
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
    headline: Sequence[tuple[Verdict, str]]  # what was found, contradictions among it
    summaries: Mapping[str, Mapping[str, Summary]]  # prediction → convention → summary
    findings: Mapping[str, Sequence[Finding]]  # every test, by prediction
    tables: Sequence[Table]  # numbers by group, one table per convention
    figures: Sequence[Plot]  # drawn when rendered
    tests: Mapping[str, int]  # convention → tests that Holm's correction ran over
    alpha: float = ALPHA


def compose(evidence: Evidence, *, command: str) -> Document:
    """Examine the evidence and arrange what was found; ``command`` writes the report again."""
    findings = [
        finding
        for convention in evidence.conventions
        for finding in examine(evidence.observations(convention), convention)
    ]
    summaries: dict[str, dict[str, Summary]] = {}
    for summary in summarise(findings):
        summaries.setdefault(summary.prediction, {})[summary.convention] = summary
    titles = [source.title for source in evidence.sources]
    return Document(
        title=titles[0] if len(titles) == 1 else f"Evidence from {len(titles)} sources",
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        command=command,
        sources=evidence.sources,
        settings=evidence.settings,
        conventions={name: _convention_in_words(name) for name in evidence.conventions},
        headline=_headline(summaries),
        summaries=summaries,
        findings={
            prediction: [finding for finding in findings if finding.prediction == prediction]
            for prediction in STATEMENTS
            if any(finding.prediction == prediction for finding in findings)
        },
        tables=[_table(evidence, convention) for convention in evidence.conventions],
        figures=plots(evidence),
        tests={
            convention: sum(
                finding.convention == convention and not math.isnan(finding.p_value)
                for finding in findings
            )
            for convention in evidence.conventions
        },
    )


def _convention_in_words(convention: str) -> str:
    sink = "counts in" if convention == "paper-code" else "is excluded from"
    time = time_in_words(convention)
    return f"steps to the sink are the {time}; the sink {sink} the minimum of fidelity"


def _headline(
    summaries: Mapping[str, Mapping[str, Summary]],
) -> list[tuple[Verdict, str]]:
    """One sentence per prediction: what all conventions say, or how they differ."""
    lines = []
    for prediction, by_convention in summaries.items():
        verdicts = {summary.verdict for summary in by_convention.values()}
        statement = STATEMENTS[prediction].rstrip(".")
        sentences = {summary.sentence for summary in by_convention.values()}
        if len(sentences) == 1:
            (verdict,), (sentence,) = verdicts, sentences
            names = list(by_convention)
            where = "every convention" if len(names) > 1 else f"{names[0]}, the only one to test it"
            lines.append((verdict, f"{statement}. Under {where}: {sentence}."))
            continue
        # Conventions differ: the least favourable decides the mark, and all are named.
        worst = next(
            each
            for each in (Verdict.CONTRADICTED, Verdict.UNDECIDED, Verdict.SUPPORTED)
            if each in verdicts
        )
        each_says = " ".join(
            f"Under {name}: {summary.sentence}." for name, summary in by_convention.items()
        )
        lines.append((worst, f"{statement}. {each_says}"))
    return lines


def _table(evidence: Evidence, convention: str) -> Table:
    runs: dict[tuple[str, str], list[Observation]] = {}
    for one in evidence.observations(convention):
        runs.setdefault((one.group, one.run), []).append(one)
    columns = {
        "steps to the sink": "hitting_time",
        "minimax fidelity": "fidelity",
        "amplification": "amplification",
        "diversity (bits)": "diversity",
    }
    if sets := {
        one.loss_of for members in runs.values() for one in members if not math.isnan(one.loss)
    }:
        of = f"{' or '.join(sorted(sets))} " if all(sets) else ""
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
                *(spread([getattr(one, name) for one in members]) for name in columns.values()),
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
    return f"{value:.3g}"


def interval(finding: Finding) -> str:
    """``[low, high]`` or nothing."""
    low, high = finding.interval
    return "" if math.isnan(low) else f"[{number(low)}, {number(high)}]"


def p_value(value: float) -> str:
    """A p-value for people; – for what was checked, not tested."""
    if math.isnan(value):
        return "–"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def needed(finding: Finding) -> str:
    """The sample that would decide, in words."""
    if finding.verdict is not Verdict.UNDECIDED or math.isnan(finding.p_value):
        return ""
    if not math.isfinite(finding.effect):
        return "unknown (infinite or constant differences)"
    if finding.needed is None:
        return "more than 10,000 seeds"
    if finding.needed <= finding.samples:
        return f"a few more seeds (the t-test's model says {finding.needed})"
    return f"≈ {finding.needed:,} seeds"


def context(document: Document, images: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "report": document,
        "images": images,
        "marks": MARKS,
        "number": number,
        "duration": duration,
        "interval": interval,
        "p_value": p_value,
        "needed": needed,
        "method": METHOD,
        "statements": STATEMENTS,
        "Verdict": Verdict,
    }
