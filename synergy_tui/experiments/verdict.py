"""What the comparison shows right now, in one line.

Words follow numbers: a difference is *clear* only where the 95 % intervals over inputs do not
overlap; where they do, the line says that there is no clear difference, and it names conventions
that point the other way. One input has no interval; the conventions name the number of inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from synergy_tui.experiments import metrics
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.words import AtLeast, Value, fraction, short_number

EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison shows, in one sentence."""

    line: str
    details: list[str] = field(default_factory=list)
    """Further sentences, most important first: contradictions, conditions, predictions."""
    convention: str = ""
    """By which conventions the numbers were measured, and over how many inputs."""


def verdict(state: ExperimentState, step: int | None = None, *, failures: bool = True) -> Verdict:
    """Compare the runs of an experiment at a step (``None``: the newest).

    With several runs, the one with the most heads is compared with the one with the fewest (by the
    scenario's order where they have equally many). ``failures``: begin with the runs that failed.
    """
    failed = [
        f"{run.name} failed: {run.reason}" for run in state.runs.values() if run.status == "failed"
    ]
    first = failed if failures else []
    runs = [
        run
        for run in state.runs.values()
        if run.status != "failed" and run.probe_at(step) is not None
    ]
    if not runs:
        nothing = "nothing is left to compare" if failed else "nothing measured yet"
        return Verdict("; ".join(first[:1]) or nothing, first[1:])
    found = _compare(runs, step)
    if not first:
        return found
    return Verdict(f"{first[0]}; {found.line}", [*first[1:], *found.details], found.convention)


def _compare(runs: list[RunState], step: int | None) -> Verdict:
    many = max(runs, key=lambda run: (run.heads, run.index))
    few = min(runs, key=lambda run: (run.heads, run.index))
    convention = _convention(many, step)
    own = _own(many, step)
    if few is many:
        return Verdict(f"{many.name}: {', '.join([*_alone(many, step), *own])}", [], convention)
    parts = [part for part in (_soon(few, many, step), _clear(few, many, step)) if part]
    loss, details = _loss(few, many, step)
    line = f"{many.name} against {few.name}: {', '.join([*parts, *own])}"
    if loss:
        line += f"; {loss}"
    details += _contradictions(few, many, step)
    if details and details[0].startswith("but "):
        line += f"; {details.pop(0)}"
    return Verdict(line, details, convention)


def _number(run: RunState, name: str, step: int | None) -> Value | None:
    try:
        value = metrics.metric(run, name, step)
    except UndecidedError:
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def _probe(run: RunState, step: int | None) -> Probe:
    probe = run.probe_at(step)
    assert probe is not None
    return probe


def _interval(run: RunState, key: str, step: int | None) -> tuple[float, float] | None:
    """Return the 95 % interval over inputs, where there are several."""
    probe = _probe(run, step)
    found = (probe.whole.get("intervals") or {}).get(key)
    if probe.inputs < 2 or not found or any(isinstance(end, str) for end in found):
        return None
    return float(found[0]), float(found[1])


def _convention(run: RunState, step: int | None) -> str:
    probe = _probe(run, step)
    analysis, inputs = probe.whole, probe.inputs
    parts = [
        str(analysis.get("convention", "theory")),
        str(analysis.get("combine", "walks")),
        f"sink {analysis.get('sink', 'excluded')}",
    ]
    text = ", ".join(parts) + f", {analysis.get('weights', 'uniform')} head weights"
    if len(probe.layers) > 1:
        text += f", mean of {len(probe.layers)} layers"
    return f"{text} · " + (f"{inputs} inputs, 95 % intervals" if inputs > 1 else "1 input, exact")


def _alone(run: RunState, step: int | None) -> list[str]:
    """How soon and how clearly a single run is heard."""
    parts = [f"{short_number(_number(run, 'hitting_time', step))} steps to the sink"]
    clear = _number(run, "fidelity", step)
    if isinstance(clear, float):
        shown = fraction(clear) if _probe(run, step).inputs == 1 else short_number(clear)
        parts.append(f"minimax fidelity {shown}")
    return parts


def _own(run: RunState, step: int | None) -> list[str]:
    """Compare a run's mixture with its own best head."""
    gain = _number(run, "amplification", step)
    if run.heads < 2 or not isinstance(gain, float):
        return []
    ends = _interval(run, "fidelity_amplification", step)
    if math.isinf(gain):
        return ["heard where none of its heads is alone (amplification ∞)"]
    if abs(gain - 1) <= EXACT and (ends is None or ends[1] - ends[0] <= EXACT):
        return ["exactly as clear as its own best head (amplification 1)"]
    low, high = ends or (gain, gain)
    if low > 1:
        return [f"{short_number(gain)}x clearer than its own best head"]
    if high < 1:
        return [f"less clear than its own best head ({short_number(gain)}x)"]
    return [f"not clearly better than its own best head ({short_number(gain)}x)"]


def _soon(few: RunState, many: RunState, step: int | None) -> str:
    name, key, note = _soon_metric(few, many, step)
    one, other = _number(few, name, step), _number(many, name, step)
    if one is None or other is None:
        return ""
    shown = f"{short_number(one)} → {short_number(other)} steps{note}"
    if isinstance(one, AtLeast) or isinstance(other, AtLeast):
        return f"arrival {shown}"
    relation = _relation(one, other, _interval(few, key, step), _interval(many, key, step))
    if relation == 0:
        return f"the sink hears equally soon ({shown})"
    if relation is None:
        return f"no clear difference in how soon ({shown})"
    ratio = one / other if relation < 0 else other / one
    word = "sooner" if relation < 0 else "later"
    return f"the sink hears {_times(ratio)} {word} ({shown})"


def _soon_metric(few: RunState, many: RunState, step: int | None) -> tuple[str, str, str]:
    """Choose the mean hitting time, or the capped one where a few walks take for ever."""
    for run in (few, many):
        value = _number(run, "hitting_time", step)
        mixing = _probe(run, step).whole.get("mixing") or {}
        limit = mixing.get("max_steps") or 10_000
        if isinstance(value, float) and value > float(limit):
            cap = mixing.get("hitting_time_cap") or 100
            return "hitting_time_capped", "hitting_time_capped_mean", f", capped at {cap:g}"
    return "hitting_time", "hitting_time_mean", ""


def _clear(few: RunState, many: RunState, step: int | None) -> str:
    one, other = _number(few, "fidelity", step), _number(many, "fidelity", step)
    if not isinstance(one, float) or not isinstance(other, float):
        return ""
    exact = _probe(few, step).inputs == 1 == _probe(many, step).inputs
    show = fraction if exact else short_number
    shown = f"minimax fidelity {show(one)} → {show(other)}"
    relation = _relation(
        one,
        other,
        _interval(few, "fidelity_minimax", step),
        _interval(many, "fidelity_minimax", step),
    )
    if relation == 0:
        return f"equally clear ({shown})"
    if relation is None:
        return f"no clear difference in how clearly ({shown})"
    if min(one, other) == 0:
        return f"{'clearer' if relation > 0 else 'less clear'} ({shown})"
    if relation > 0:
        return f"{_times(other / one)} clearer ({shown})"
    return f"{_times(one / other)} less clear ({shown})"


def _relation(
    one: float,
    other: float,
    first: tuple[float, float] | None,
    second: tuple[float, float] | None,
) -> int | None:
    """Return -1, 0 or 1 for ``other`` below, equal to or above ``one``; ``None``: not clear."""
    if one == other or math.isclose(one, other, rel_tol=EXACT):
        return 0
    sign = -1 if other < one else 1
    if first is None or second is None:
        return sign
    apart = second[1] < first[0] if sign < 0 else second[0] > first[1]
    return sign if apart else None


def _times(ratio: float) -> str:
    return f"{short_number(ratio)}x" if math.isfinite(ratio) else "infinitely"


def _loss(few: RunState, many: RunState, step: int | None) -> tuple[str, list[str]]:
    one, other = _number(few, "loss", step), _number(many, "loss", step)
    details: list[str] = []
    if one is None or other is None or isinstance(one, AtLeast) or isinstance(other, AtLeast):
        return "", details
    counts = (few.parameters, many.parameters)
    if all(isinstance(count, int) for count in counts) and counts[0] != counts[1]:
        details.append(
            f"but their parameters differ ({few.parameters:,} and {many.parameters:,}), "
            "so this compares more than heads"
        )
    held_out = "held-out " if all(metrics.evaluated(run, step) for run in (few, many)) else ""
    return f"{held_out}loss {short_number(one)} → {short_number(other)}", details


def _contradictions(few: RunState, many: RunState, step: int | None) -> list[str]:
    """Name other conventions, and whether their direction differs."""
    found: list[str] = []
    one, other = _probe(few, step).conventions, _probe(many, step).conventions
    for name in [name for name in other if name in one]:
        for question, path, lower_is_better in (
            ("how soon", ("mixing", "hitting_time_mean"), True),
            ("how clearly", ("fidelity", "minimax"), False),
        ):
            before, after = _leaf(one[name], path), _leaf(other[name], path)
            headline = (_leaf(_probe(few, step).whole, path), _leaf(_probe(many, step).whole, path))
            values = [each for each in (before, after, *headline) if each is not None]
            if len(values) < 4:
                continue
            shown = f"{short_number(values[0])} → {short_number(values[1])}"
            if _sign(values[1] - values[0]) == -_sign(values[3] - values[2]) != 0:
                better = (values[1] < values[0]) == lower_is_better
                word = "better" if better else "worse"
                found.insert(0, f"but under {name} {question} gets {word} ({shown})")
            else:
                unit = "steps to sink" if lower_is_better else "minimax fidelity"
                found.append(f"under {name}: {shown} {unit}")
    return found


def _leaf(analysis: Any, path: tuple[str, ...]) -> float | None:
    value = metrics.leaf(analysis, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if math.isnan(value) else float(value)


def _sign(value: float) -> int:
    return 0 if value == 0 or math.isnan(value) else (1 if value > 0 else -1)
