"""Which runs can be compared, and by how much they differ: log ratios with 95 % intervals.

Ratios are taken input by input and averaged by their logarithms. Runs of one seed saw the same
inputs and are paired by them; over several seeds the interval is over the seeds' mean logarithms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synergy_tui.experiments import metrics
from synergy_tui.experiments.conventions import Convention
from synergy_tui.experiments.state import Probe, RunState
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.words import AtLeast, compact, fraction

# Student's t at 97.5 % for 1, 2, … degrees of freedom, by which intervals need no SciPy.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """A log ratio, and half the width of its 95 % interval; ``None`` where nothing gives one."""

    log: float
    half: float | None = None

    @property
    def ratio(self) -> float:
        return exp(self.log)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the ratio."""
        if self.half is None or not math.isfinite(self.log + self.half):
            return None
        return exp(self.log - self.half), exp(self.log + self.half)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that differ in one thing: ``other`` has more heads, or more diverse ones."""

    one: RunState
    other: RunState


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of an analysis object whose ratio is a claim's."""

    logs: str
    path: tuple[str, ...]
    interval: str
    sign: int
    """1 where more is better."""


SOON = Measure("log_hitting_time", ("mixing", "hitting_time_mean"), "hitting_time_mean", -1)
CLEAR = Measure("log_fidelity", ("fidelity", "minimax"), "fidelity_minimax", 1)


def exp(value: float) -> float:
    """e to a power, infinite where that is too large a number."""
    return math.inf if value >= 700 else math.exp(value)


def log(value: float) -> float:
    """Natural logarithm, -inf of 0; nan of what is not known."""
    return math.log(value) if value > 0 else (-math.inf if value == 0 else math.nan)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean of independent log ratios, with Student's interval where there are several."""
    count = len(values)
    mean = values[0] if len(set(values)) == 1 else sum(values) / count
    if count < 2 or not math.isfinite(mean):
        return Estimate(mean)
    spread = sum((value - mean) * (value - mean) for value in values) / (count - 1)
    quantile = _T[count - 2] if count - 1 <= len(_T) else 1.96 + 2.5 / (count - 1)
    return Estimate(mean, quantile * math.sqrt(spread / count))


def comparable(run: RunState) -> tuple[Any, ...]:
    """What runs must have in common to be compared for their heads."""
    changes = tuple(sorted((key, str(value)) for key, value in run.interventions.items()))
    if run.kind == "trained":
        return run.kind, run.task, run.nodes, run.layers, changes, run.seed
    if run.kind in ("designed", "loaded"):
        return run.kind, run.nodes
    return run.kind, run.name


def of_heads(runs: Iterable[RunState]) -> tuple[list[Pair], list[RunState]]:
    """Fewest against most heads, one pair for each seed; and all runs that are in between.

    Of several sets of runs that could be compared, the one with most seeds, then heads, counts.
    """
    groups: dict[tuple[Any, ...], list[RunState]] = defaultdict(list)
    for run in runs:
        groups[comparable(run)].append(run)
    found: dict[tuple[Any, ...], list[Pair]] = defaultdict(list)
    for key, group in groups.items():
        few = min(group, key=lambda run: (run.heads, run.index))
        many = max(group, key=lambda run: (run.heads, run.index))
        if few.heads < many.heads:
            apart = key[:-1] if key[0] == "trained" else key
            found[(apart, few.heads, many.heads)].append(Pair(few, many))
    if not found:
        return [], []
    pairs = max(found.values(), key=lambda pairs: (len(pairs), pairs[0].other.heads))
    kept = {comparable(pair.one) for pair in pairs}
    return pairs, [run for key in kept for run in groups[key]]


def of_diversity(runs: Iterable[RunState]) -> tuple[list[Pair], list[RunState]]:
    """Least against most diverse heads, one pair for each seed, where nothing else differs; and all
    runs that are in between.
    """
    groups: dict[tuple[Any, ...], list[RunState]] = defaultdict(list)
    for run in runs:
        if run.kind == "trained" and run.heads > 1:
            others = {k: str(v) for k, v in run.interventions.items() if k != "head_diversity"}
            key = (run.task, run.nodes, run.layers, run.heads, tuple(sorted(others.items())))
            groups[*key, run.seed].append(run)
    found: dict[tuple[Any, ...], list[tuple[Pair, list[RunState]]]] = defaultdict(list)
    for key, group in groups.items():
        least, most = min(group, key=diversity), max(group, key=diversity)
        if diversity(least) < diversity(most):
            ends = (diversity(least), diversity(most))
            found[(*key[:-1], *ends)].append((Pair(least, most), group))
    best = max(found.values(), key=len, default=[])
    return [pair for pair, _ in best], [run for _, group in best for run in group]


def diversity(run: RunState) -> float:
    """λ of a run; 1 leaves its heads as they are."""
    value = run.interventions.get("head_diversity")
    return float(value) if isinstance(value, int | float) else 1.0


def typical(analysis: Mapping[str, Any], measure: Measure) -> float:
    """The geometric mean over inputs, in logarithms; of the mean where no more is known."""
    values = _logs(analysis, measure)
    return sum(values) / len(values) if values else _log_mean(analysis, measure)


def by_input(one: Mapping[str, Any], other: Mapping[str, Any], measure: Measure) -> list[float]:
    """How much better ``other`` is on each input that both saw, as log ratios; empty if unknown."""
    first, second = _logs(one, measure), _logs(other, measure)
    if len(first) != len(second):
        return []
    return [measure.sign * _minus(b, a) for a, b in zip(first, second, strict=True)]


def difference(
    one: Mapping[str, Any], other: Mapping[str, Any], measure: Measure, *, paired: bool
) -> Estimate | None:
    """How much better ``other`` is, as a log ratio over inputs."""
    if paired and (apart := by_input(one, other, measure)):
        return estimate(apart)
    ends = [_half(analysis, measure) for analysis in (one, other)]
    middle = measure.sign * _minus(typical(other, measure), typical(one, measure))
    if math.isnan(middle):
        return None
    both = None if None in ends else math.hypot(*(end or 0.0 for end in ends))
    return Estimate(middle, both)


def _minus(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def _logs(analysis: Mapping[str, Any], measure: Measure) -> list[float]:
    values = (analysis.get("per_input") or {}).get(measure.logs) or []
    return [float(value) for value in values]


def _log_mean(analysis: Mapping[str, Any], measure: Measure) -> float:
    value = metrics.leaf(dict(analysis), measure.path)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return log(float(value)) if known and value >= 0 else math.nan


def _half(analysis: Mapping[str, Any], measure: Measure) -> float | None:
    """Half the interval's width in logarithms."""
    values = _logs(analysis, measure)
    if values:
        return estimate(values).half
    ends = (analysis.get("intervals") or {}).get(measure.interval)
    mean = exp(_log_mean(analysis, measure))
    if not ends or (analysis.get("inputs") or 1) < 2 or not 0 < mean < math.inf:
        return None
    # One end may be cut at what is possible: the other has the half width.
    return max(abs(float(end) - mean) for end in ends) / mean


def gain(analysis: Mapping[str, Any], key: str) -> Estimate | None:
    """The gain of a run's heads together over the best of them; ``None`` where there is none."""
    value = (analysis.get("synergy") or {}).get(key)
    if value is None or math.isnan(float(value)) or float(value) < 0:
        return None
    return of_ends(float(value), (analysis.get("intervals") or {}).get(key), analysis)


def of_ends(
    ratio: float, ends: Sequence[float] | None, analysis: Mapping[str, Any]
) -> Estimate | None:
    """A ratio with an interval that is symmetric in logarithms."""
    if math.isnan(ratio) or ratio < 0:
        return None
    if ends and (analysis.get("inputs") or 1) > 1 and 0 < float(ends[0]) <= float(ends[1]):
        half = (log(float(ends[1])) - log(float(ends[0]))) / 2
        return Estimate(log(ratio), half if math.isfinite(half) else None)
    return Estimate(log(ratio))


def apart(now: Estimate, null: Estimate) -> Estimate:
    """The ratio of two ratios that were measured independently."""
    halves = (now.half, null.half)
    known = None if None in halves else math.hypot(*(half or 0.0 for half in halves))
    return Estimate(_minus(now.log, null.log), known)


def first_probe(run: RunState) -> Probe | None:
    """The probe of the untrained network."""
    first = run.probes[0] if run.kind == "trained" and run.probes else None
    return first if first is not None and first.step == 0 else None


@dataclass(frozen=True, slots=True)
class View:
    """Which of the numbers at a step are meant."""

    step: int | None
    convention: Convention | None
    layer: int | None

    def analysis(self, probe: Probe) -> dict[str, Any]:
        main = probe.overall.get("convention")
        found: Mapping[str, Any]
        if self.convention is not None and self.convention.source != main:
            found = self.convention.analysis(probe, self.layer)
        elif self.layer is None:
            found = probe.whole
        else:
            found = probe.layers[min(self.layer, len(probe.layers)) - 1] if probe.layers else {}
        # What is kept of other conventions does not repeat how many inputs there were.
        return {"inputs": probe.inputs, **found}

    def of(self, run: RunState) -> dict[str, Any]:
        probe = run.probe_at(self.step)
        return {} if probe is None else self.analysis(probe)

    def untrained(self, run: RunState) -> dict[str, Any]:
        """Of the same network at step 0; empty where that is now."""
        first = first_probe(run)
        return {} if first is None or run.probe_at(self.step) is first else self.analysis(first)

    def exact(self, runs: list[RunState]) -> bool:
        """Whether nothing was sampled: a graph, or a single input."""
        return len(runs) == 1 and (self.of(runs[0]).get("inputs") or 1) == 1

    def graphs(self, runs: list[RunState]) -> bool:
        """Whether all are graphs, drawn or designed, of which there is no other input."""
        return all(run.kind == "designed" for run in runs)


def number(value: float) -> str:
    """A ratio or measure for people, in three digits."""
    return ("−" if value < 0 else "") + "∞" if math.isinf(value) else compact(value, 3)


def shown(values: list[float], exact: bool) -> str:
    """The geometric mean of what is known by its logarithms."""
    value = exp(sum(values) / len(values))
    text = fraction(value) if exact else ""
    return text if "/" in text else number(value)


def of_losses(one: tuple[float, float | None], other: tuple[float, float | None]) -> Estimate:
    """How much lower the second loss is, as a log ratio, from losses and their standard errors.

    Errors over sequences count as independent. Both networks read the same ones and agree about
    which are hard, so that the interval is wider than one of paired differences would be.
    """
    apart = log(one[0]) - log(other[0]) if one[0] != other[0] else 0.0
    shares = []
    for value, error in (one, other):
        if error is None or not 0 <= error < math.inf or value <= 0:
            return Estimate(apart)
        shares.append(error / value)
    return Estimate(apart, 1.96 * math.hypot(*shares))


def loss(run: RunState, step: int | None) -> float | None:
    """Of held-out sequences where there are some, else in training; nats."""
    try:
        value = metrics.metric(run, "loss", step)
    except UndecidedError:
        return None
    return None if isinstance(value, AtLeast) or not 0 <= value < math.inf else value
