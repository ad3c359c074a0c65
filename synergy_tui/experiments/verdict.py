"""The scoreboard: what a comparison shows right now, one line per claim.

One structure for the app, the end of headless runs, ``show``, JSON and JUnit. Signs follow
intervals: of these networks over their inputs or, with several seeds, over the seeds. A claim is
supported where the interval lies above 1 *and* above the claim's null; synergy of attention never
without a null. What has no interval has a sign only beyond the smallest effect of interest, and is
not *decided*.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from synergy_tui.claims import BY_ID, CLAIMS, SMALLEST_EFFECT, Word
from synergy_tui.experiments import captions, comparison, metrics
from synergy_tui.experiments.comparison import (
    CLEAR,
    SOON,
    Estimate,
    Measure,
    Pair,
    View,
    loss,
    number,
    shown,
)
from synergy_tui.experiments.conventions import Convention
from synergy_tui.experiments.state import ExperimentState, Probe, RunState

MARKS: dict[Word, str] = {
    "supported": "✔", "contradicted": "✘", "no effect": "≈", "undecided": "?",
}  # fmt: skip
LEGEND = f"≈ no effect (within {SMALLEST_EFFECT:g}×)"
SIGNS = (
    f"✔ supported, ✘ contradicted, {LEGEND}, ? undecided; above 1× as claimed; "
    "values are geometric means over inputs"
)
"""How to read a scoreboard that stands alone, without the app's help."""
EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class Line:
    """What the comparison says about one claim."""

    claim: str
    verdict: Word
    ratio: float
    """Above 1 is what is claimed; NaN where it is not known."""
    values: str
    interval: tuple[float, float] | None
    """95%, of the ratio."""
    null: str = ""
    """The name of what could have given the ratio without the cause that is claimed."""
    null_ratio: float | None = None
    decided: bool = True
    """Whether the interval decides, or the numbers are exact."""

    @property
    def label(self) -> str:
        return BY_ID[self.claim].label

    @property
    def mark(self) -> str:
        return MARKS[self.verdict]

    @property
    def times(self) -> str:
        """The ratio for people."""
        return "–" if math.isnan(self.ratio) else f"{number(self.ratio)}×"

    @property
    def range(self) -> str:
        """The interval for people."""
        return f"[{', '.join(map(number, self.interval))}]" if self.interval else ""

    @property
    def against(self) -> str:
        """The null for people."""
        return f"{self.null}: {number(self.null_ratio)}×" if self.null_ratio is not None else ""

    @property
    def text(self) -> str:
        parts = (self.mark, f"{self.label}:", self.times, self.values, self.range, self.against)
        return "  ".join(part for part in parts if part)

    def as_record(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "ratio": self.ratio,
            "interval": list(self.interval) if self.interval else None,
            "null": None if self.null_ratio is None else {self.null: self.null_ratio},
            "values": self.values,
            "decided": self.decided,
        }


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """What is compared, how it was measured, and a line for each claim it speaks to."""

    heading: str
    lines: list[Line] = field(default_factory=list)
    convention: str = ""
    """Convention and layers, which no number is shown without."""
    measured: str = ""
    """How walks were mixed, by which head weights, and whether the sink counts."""
    basis: str = ""
    """What the intervals are over."""
    notes: list[str] = field(default_factory=list)
    """Further sentences, most important first."""
    failed: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """All in one line: for logs and lists of experiments."""
        signs = ", ".join(f"{line.mark} {line.label} {line.times}" for line in self.lines)
        return "; ".join([*self.failed[:1], f"{self.heading}: {signs}" if signs else self.heading])

    def as_record(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "compared": self.heading,
            "convention": self.convention,
            "intervals": self.basis,
            "claims": [line.as_record() for line in self.lines],
            "notes": self.notes,
        }


def scoreboard(
    state: ExperimentState,
    step: int | None = None,
    *,
    convention: Convention | None = None,
    layer: int | None = None,
) -> Scoreboard:
    """Compare the runs of an experiment at a step (``None``: the newest).

    By default under the main convention and over all layers. What follows from probes is kept
    while they are the same: frames are many, probes few. Losses move with every step.
    """
    view = View(step, convention, layer)
    probes = [run.probe_at(step) for run in state.runs.values()]
    key = (
        convention,
        layer,
        [
            (run.name, run.kind, run.heads, run.seed, run.parameters, run.status, run.reason,
             id(probe))
            for run, probe in zip(state.runs.values(), probes, strict=True)
        ],
    )  # fmt: skip
    kept = _NEWEST.get(state)
    if kept is None or kept.key != key:
        kept = _NEWEST[state] = _Kept(key, probes, *_compare(state, view))
    lines = [
        _learned(line.claim, line.pairs, step) if isinstance(line, _OfLoss) else line
        for line in kept.lines
    ]
    return replace(
        kept.board,
        lines=[line for line in lines if line is not None],
        notes=[*kept.left_out, *captions.trend(kept.trend, kept.group, step), *kept.board.notes],
    )


@dataclass(frozen=True, slots=True)
class _OfLoss:
    """A line that is made of losses."""

    claim: str
    pairs: list[Pair]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A scoreboard without what losses change."""

    key: object
    probes: list[Probe | None]
    """Of which the key has the ids: while they are kept, no others have them."""
    board: Scoreboard
    lines: list[Line | _OfLoss | None] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    trend: list[str] = field(default_factory=list)
    group: list[RunState] = field(default_factory=list)


_NEWEST: WeakKeyDictionary[ExperimentState, _Kept] = WeakKeyDictionary()


def _compare(state: ExperimentState, view: View) -> tuple[Any, ...]:
    """The fields of `_Kept` from the board on."""
    step = view.step
    failed = [
        f"{run.name} failed: {run.reason}" for run in state.runs.values() if run.status == "failed"
    ]
    runs = [
        run
        for run in state.runs.values()
        if run.status != "failed" and run.probe_at(step) is not None
    ]
    if not runs:
        nothing = "nothing is left to compare" if failed else "nothing measured yet"
        return (Scoreboard(nothing, failed=failed),)
    heads, group = comparison.of_heads(runs)
    diverse, between = comparison.of_diversity(runs)
    lines: list[Line | _OfLoss | None] = []
    if heads:
        lines += [
            _trained("sooner", heads, SOON, view),
            _trained("clearer", heads, CLEAR, view),
        ]
    joint = [pair.other for pair in heads or diverse]
    joint = joint or [max(runs, key=lambda run: (run.heads, -run.index))]
    lines += [_synergy("synergy-clarity", joint, view), _synergy("synergy-speed", joint, view)]
    if heads:
        lines.append(_OfLoss("learned", heads))
    if diverse:
        lines += [
            _OfLoss("diversity-loss", diverse),
            _trained("diversity-clarity", diverse, CLEAR, view),
            _diverse_synergy(diverse, view),
        ]
    compared = {run.name for pair in [*heads, *diverse] for run in (pair.one, pair.other)}
    compared |= {run.name for run in (*group, *between)}
    left = [run.name for run in runs if run.name not in compared] if len(runs) > 1 else []
    apart = "not compared, for want of a run that differs in its heads only"
    board = Scoreboard(
        heading=captions.heading(heads, diverse, joint, view),
        convention=captions.convention(joint[0], view),
        measured=captions.measured(joint[0], view),
        basis=captions.basis(heads or diverse, joint, view),
        notes=captions.notes(heads, joint, view),
        failed=failed,
    )
    left_out = [f"{apart}: {', '.join(left)}"] if left else []
    return board, lines, left_out, captions.measures(group, view), group


_SIGNS = re.compile(
    rf"([{''.join(MARKS.values())}]) (?:{'|'.join(re.escape(claim.label) for claim in CLAIMS)}) "
)


def signs_in(line: str) -> str:
    """The claims' signs in what `Scoreboard.line` gave: all that a narrow list has room for."""
    return "".join(_SIGNS.findall(line))


def _decide(effect: Estimate, beyond: Estimate | None, *, exact: bool = False) -> tuple[Word, bool]:
    """The verdict, and whether it is an interval's."""
    low, high = effect.log - (effect.half or 0.0), effect.log + (effect.half or 0.0)
    smallest = math.log(SMALLEST_EFFECT)
    if math.isnan(effect.log):
        return "undecided", False
    if exact:
        sign = 0 if abs(effect.log) <= EXACT else math.copysign(1, effect.log)
        return ("no effect" if sign == 0 else "supported" if sign > 0 else "contradicted"), True
    if effect.half is None:
        if abs(effect.log) <= smallest:
            return "undecided", False
        return ("supported" if effect.log > 0 else "contradicted"), False
    if -smallest <= low and high <= smallest:
        return "no effect", True
    if high < 0:
        return "contradicted", True
    exceeds = beyond is None or (beyond.half is not None and beyond.log - beyond.half > 0)
    return ("supported", True) if low > 0 and exceeds else ("undecided", False)


def _line(
    claim: str,
    effects: list[tuple[Estimate, Estimate | None, Estimate | None]],
    values: str,
    *,
    null: str = "",
    exact: bool = False,
) -> Line:
    """A line from the effect, null, and effect beyond the null of every seed."""
    effect, untrained, beyond = effects[0]
    if len(effects) > 1:
        effect = comparison.estimate([each.log for each, _, _ in effects])
        nulls = [each.log for _, each, _ in effects if each is not None]
        untrained = beyond = None
        if len(nulls) == len(effects):
            untrained = comparison.estimate(nulls)
            logs = [each.log - other for (each, _, _), other in zip(effects, nulls, strict=True)]
            beyond = comparison.estimate(logs)
    word, decided = _decide(effect, beyond, exact=exact)
    return Line(
        claim,
        word,
        effect.ratio,
        values,
        None if exact else effect.interval,
        null,
        None if untrained is None or math.isnan(untrained.log) else untrained.ratio,
        decided,
    )


def _trained(claim: str, pairs: list[Pair], measure: Measure, view: View) -> Line | None:
    """How much better trained networks are, beside the same networks untrained."""
    effects = []
    for pair in pairs:
        one, other = view.of(pair.one), view.of(pair.other)
        paired = pair.one.kind == "trained"
        now = comparison.difference(one, other, measure, paired=paired)
        if now is None:
            return None
        before = view.untrained(pair.one), view.untrained(pair.other)
        null = comparison.difference(*before, measure, paired=True) if all(before) else None
        beyond = None
        if null is not None:
            beyond = comparison.apart(now, null)
            first = comparison.by_input(*before, measure)
            last = comparison.by_input(one, other, measure)
            if first and len(first) == len(last):
                logs = [a - b for a, b in zip(last, first, strict=True)]
                beyond = comparison.estimate(logs)
        effects.append((now, null, beyond))
    exact = view.exact([pair.other for pair in pairs])
    sides = [
        shown([comparison.typical(view.of(run), measure) for run in runs], exact)
        for runs in ([pair.one for pair in pairs], [pair.other for pair in pairs])
    ]
    values = " → ".join(sides)
    values = f"{values} steps to sink" if measure is SOON else f"φ {values}"
    return _line(claim, effects, values, null="untrained", exact=exact)


_GAINS = {
    "synergy-clarity": ("fidelity_amplification", CLEAR),
    "synergy-speed": ("hitting_gain", SOON),
}


def _synergy(claim: str, runs: list[RunState], view: View) -> Line | None:
    """What heads gain together, beside heads that looked at different inputs."""
    key, measure = _GAINS[claim]
    effects, own, alone = [], [], []
    for run in runs:
        analysis = view.of(run)
        now = comparison.gain(analysis, key) if run.heads > 1 else None
        if now is None:
            return None
        shuffled = (analysis.get("nulls") or {}).get("shuffled") or {}
        null = beyond = None
        if key in shuffled:
            null = comparison.of_ends(
                shuffled[key], (shuffled.get("intervals") or {}).get(key), analysis
            )
            ends = (shuffled.get("beyond") or {}).get(key) or [math.nan, math.nan]
            middle = comparison.exp(sum(map(comparison.log, ends)) / 2)
            beyond = comparison.of_ends(middle, ends, analysis) or Estimate(math.nan)
        effects.append((now, null, beyond))
        own.append(comparison.typical(analysis, measure))
        alone.append(own[-1] - measure.sign * now.log)
    exact = view.exact(runs)
    together, best = shown(own, exact), shown(alone, exact)
    unit = "φ " if measure is CLEAR else ""
    values = f"{unit}{best} → {together}{'' if unit else ' steps'}, best head → all"
    line = _line(claim, effects, values, null="shuffled inputs", exact=exact)
    # A graph is what it is; in attention, heads that never met may gain as much.
    if line.verdict == "supported" and line.null_ratio is None and not view.graphs(runs):
        return replace(line, verdict="undecided", decided=False)
    return line


def _diverse_synergy(pairs: list[Pair], view: View) -> Line | None:
    """How much more diverse heads gain together than less diverse ones."""
    key = "fidelity_amplification"
    effects: list[tuple[Estimate, Estimate | None, Estimate | None]] = []
    sides: tuple[list[float], list[float]] = ([], [])
    for pair in pairs:
        one, other = (comparison.gain(view.of(run), key) for run in (pair.one, pair.other))
        if one is None or other is None:
            return None
        now = comparison.apart(other, one)
        first, last = (comparison.gain(view.untrained(run), key) for run in (pair.one, pair.other))
        null = None if first is None or last is None else comparison.apart(last, first)
        effects.append((now, null, None if null is None else comparison.apart(now, null)))
        sides[0].append(one.log)
        sides[1].append(other.log)
    least, most = (shown(side, False) for side in sides)
    exact = view.exact([pair.other for pair in pairs])
    values = f"gain {least} → {most}"
    return _line("diversity-synergy", effects, values, null="untrained", exact=exact)


def _learned(claim: str, pairs: list[Pair], step: int | None) -> Line | None:
    """The loss of one over the other: of held-out sequences, or in training where there are none.

    The intervals of one seed are over held-out sequences; a training loss has none.
    """
    effects: list[tuple[Estimate, Estimate | None, Estimate | None]] = []
    sides: tuple[list[float], list[float]] = ([], [])
    held_out = all(metrics.evaluated(run, step) for pair in pairs for run in (pair.one, pair.other))
    for pair in pairs:
        one, other = loss(pair.one, step), loss(pair.other, step)
        if one is None or other is None:
            return None
        runs = (pair.one, pair.other)
        probes = [metrics.evaluated(run, step) for run in runs]
        errors = [None if probe is None else probe.loss_error for probe in probes]
        now = comparison.of_losses((one, errors[0]), (other, errors[1]))
        firsts = [
            (first.loss, first.loss_error)
            for first in map(comparison.first_probe, runs)
            if first is not None and isinstance(first.loss, float) and first.loss > 0
        ]
        null = comparison.of_losses(*firsts) if len(firsts) == 2 else None
        effects.append((now, null, None if null is None else comparison.apart(now, null)))
        sides[0].append(comparison.log(one))
        sides[1].append(comparison.log(other))
    before, after = (shown(side, False) for side in sides)
    floor = pairs[0].other.floor
    values = f"{'held-out' if held_out else 'training'} loss {before} → {after}"
    if len(pairs) == 1 and effects[0][0].half is not None and probes[0] is not None:
        values += f", 95% over {probes[0].eval_sequences:,} sequences"
    if floor is not None:
        values += f" (floor {number(floor)})"
    return _line(claim, effects, values, null="untrained")
