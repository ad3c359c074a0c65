"""Everything about settings that can be checked before training. Does not import torch.

The rules between settings are functions of their own, since a scenario's tables are held to the
same ones, even while other keys of theirs are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from synergy_trainer.errors import TrainerError
from synergy_trainer.settings import (
    RunSettings,
    TrainSettings,
    count_parameters,
    make_task,
    shape_of,
)

_MOST_DIVISORS = 4096  # that are looked for


def heads_problem(heads: int, embed: int, positions: str) -> str | None:
    """Heads share the width evenly, and rotary positions turn pairs of a head's numbers."""
    if heads < 1 or embed % heads:
        divisors = [k for k in range(1, min(embed, _MOST_DIVISORS) + 1) if embed % k == 0]
        return (
            f"{heads} heads do not divide the width embed = {embed} "
            f"(allowed: {', '.join(map(str, divisors))})"
        )
    if positions == "rotary" and (embed // heads) % 2:
        return (
            "rotary positions turn pairs of numbers, so the width of a head "
            f"(embed / heads = {embed // heads}) must be even"
        )
    return None


def sequences_problem(sequences: int, batch: int) -> str | None:
    """A fixed training set fills at least one batch."""
    if 0 < sequences < batch:
        return (
            f"a set of {sequences} cannot fill a batch of {batch}; allowed: 0 (new sequences at "
            f"every step), or at least {batch}"
        )
    return None


def probe_problem(step: int, steps: int) -> str | None:
    """Only steps that are made can be probed."""
    if 0 <= step <= steps:
        return None
    return f"must be within 0 and {steps}, as there are only {steps} steps"


def _choices(hint: Any) -> list[str]:
    """The values of a Literal type, optional or not; empty for other types."""
    literals = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    return [value for literal in literals for value in get_args(literal)]


def _bound_problem(bounds: Mapping[str, Any], choices: Sequence[str], value: Any) -> str | None:
    if choices and value not in choices:
        return f"must be one of {', '.join(choices)}, got {value!r}"
    if "gt" in bounds and not bounds["gt"] < value < math.inf:
        return f"must be above {bounds['gt']} and finite, got {value!r}"
    if "lt" in bounds and not bounds["ge"] <= value < bounds["lt"]:
        return f"must be at least {bounds['ge']} and below {bounds['lt']}, got {value!r}"
    if "ge" in bounds and not bounds["ge"] <= value:
        return f"must be at least {bounds['ge']}, got {value!r}"
    return None


def _bound_problems(settings: TrainSettings | RunSettings) -> Iterator[tuple[str, str]]:
    """Every setting that is out of its bounds, and how."""
    hints = get_type_hints(type(settings))
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        choices = _choices(hints[setting.name])
        if value is not None and (problem := _bound_problem(setting.metadata, choices, value)):
            yield setting.name, problem


def _shared_problems(settings: TrainSettings) -> Iterator[str]:
    wrong = dict(_bound_problems(settings))
    yield from (f"{name}: {problem}" for name, problem in wrong.items())
    if not wrong.keys() & {"length", "vocabulary"}:
        try:
            make_task(settings)
        except TrainerError as error:
            yield from error.problems
    if problem := sequences_problem(settings.sequences, settings.batch):
        yield f"sequences: {problem}"
    for step in settings.probe_at:
        if problem := probe_problem(step, settings.steps):
            yield f"probe_at: {problem}, got {step}"


def _run_problems(settings: TrainSettings, run: RunSettings) -> Iterator[str]:
    if not run.name:
        yield "name: every run needs one"
        return
    if "/" in run.name or "\\" in run.name or run.name.startswith("."):
        yield (
            f"{run.name}: a run's name becomes a file's name, so it must have no slash and no "
            "leading dot"
        )
    wrong = dict(_bound_problems(run))
    yield from (f"{run.name}.{name}: {problem}" for name, problem in wrong.items())
    own = run.over(settings)
    if run.task is not None and own.length >= 2 and own.vocabulary >= 2:
        try:
            make_task(own)
        except TrainerError as error:
            yield from (f"{run.name}.{problem}" for problem in error.problems)
    sound = not wrong and own.embed >= 1
    if sound and (problem := heads_problem(run.heads, own.embed, own.positions)):
        yield f"{run.name}.heads: {problem}"


def check(settings: TrainSettings, runs: Sequence[RunSettings]) -> None:
    """Check everything that can be checked before training.

    Raises
    ------
    TrainerError
        With every problem found, each naming the setting and what is allowed.
    """
    problems = [*_shared_problems(settings)]
    if not runs:
        problems.append("runs: there must be at least one")
    names = [run.name for run in runs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"runs: the name {name!r} is used more than once")
    for run in runs:
        problems += _run_problems(settings, run)
    if not problems and (unfair := unfairness(settings, runs)):
        problems.append(unfair)
    if problems:
        raise TrainerError(problems)


@dataclass(frozen=True)
class Match:
    """What was chosen for one run.

    Attributes
    ----------
    run
        The run, with its `mlp` set where that was changed.
    parameters
        Its count now.
    difference
        How many more than the reference has (negative: fewer).
    message
        The choice in words.
    """

    run: RunSettings
    parameters: int
    difference: int
    message: str


def match_parameters(
    settings: TrainSettings, runs: Sequence[RunSettings], reference: str | None = None
) -> list[Match]:
    """Give every run the MLP width that brings its count nearest to the reference's.

    Parameters
    ----------
    settings
        What the runs share.
    runs
        The runs; those that already match are left as they are.
    reference
        Name of the run to match; the first one by default.

    Raises
    ------
    TrainerError
        There is no such reference, or a run exceeds it with an MLP of one unit.
    """
    named = {run.name: run for run in runs}
    name = reference if reference is not None else runs[0].name
    if name not in named:
        raise TrainerError(f"reference: there is no run {name!r}; there are {', '.join(named)}")
    target = count_parameters(settings, named[name])
    return [_match(settings, run, name, target) for run in runs]


def _match(settings: TrainSettings, run: RunSettings, reference: str, target: int) -> Match:
    shape = shape_of(settings, run)
    count = shape.parameters()
    if count == target:
        return Match(run, count, 0, f"{run.name}: {count:,} parameters, as {reference}")
    unit = shape.layers * (2 * shape.embed + 1)
    width = shape.mlp + round((target - count) / unit)
    if width < 1:
        raise TrainerError(
            f"{run.name}: cannot have as few parameters as {reference} ({target:,}) with embed = "
            f"{shape.embed} and {shape.layers} layers; reduce embed or layers"
        )
    now = replace(shape, mlp=width).parameters()
    apart = f"as {reference}"
    if now != target:
        apart = f"{abs(now - target):,} {'more' if now > target else 'fewer'} than {reference}"
    message = (
        f"{run.name}: mlp {shape.mlp} → {width}, {now:,} parameters (before: {count:,}), {apart}"
    )
    return Match(replace(run, mlp=width), now, now - target, message)


def unfairness(settings: TrainSettings, runs: Sequence[RunSettings]) -> str | None:
    """Say by how much parameter counts differ where that exceeds what the settings allow."""
    allowed = settings.parameter_difference
    counts = {run.name: count_parameters(settings, run) for run in runs}
    apart = max(counts.values()) - min(counts.values())
    if allowed is None or apart <= allowed:
        return None
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"parameters: the runs differ by {apart:,} ({listed}); choose sizes that match "
        f"(trainer.match_parameters does), or set parameter_difference = {apart} to allow it"
    )
