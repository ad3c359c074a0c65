"""Everything about settings that can be checked before training. Does not import torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from synergy_trainer.errors import TrainerError
from synergy_trainer.settings import (
    ACTIVATIONS,
    POSITIONS,
    PRECISIONS,
    TASKS,
    RunSettings,
    TrainSettings,
    count_parameters,
    shape_of,
)


def _at_least(problems: list[str], where: str, value: float, least: float) -> bool:
    if value < least:
        problems.append(f"{where}: must be at least {least:g}, got {value!r}")
        return False
    return True


def _among(problems: list[str], where: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        problems.append(f"{where}: must be one of {', '.join(allowed)}, got {value!r}")


def _shared_problems(settings: TrainSettings) -> list[str]:
    problems: list[str] = []
    if settings.task not in TASKS:
        problems.append(
            f"task: there is no task {settings.task!r}; choose one of {', '.join(TASKS)}"
        )
    else:
        problems += TASKS[settings.task].problems(settings.length, settings.vocabulary)
    for name, least in (
        ("steps", 1), ("batch", 1), ("sequences", 0), ("probe_every", 0),
        ("probe_inputs", 1), ("checkpoint_every", 0),
    ):  # fmt: skip
        _at_least(problems, name, getattr(settings, name), least)
    if settings.log_every is not None:
        _at_least(problems, "log_every", settings.log_every, 1)
    if settings.sequences and settings.sequences < settings.batch:
        problems.append(
            f"sequences: a set of {settings.sequences} cannot fill a batch of {settings.batch}; "
            f"use 0 for new sequences at every step, or at least {settings.batch}"
        )
    late = [step for step in settings.probe_at if not 0 <= step <= settings.steps]
    if late:
        problems.append(
            f"probe_at: steps must be within 0 and {settings.steps}, "
            f"got {', '.join(map(str, late))}"
        )
    if not 0.0 <= settings.dropout < 1.0:
        problems.append(f"dropout: must be at least 0 and below 1, got {settings.dropout!r}")
    _among(problems, "precision", settings.precision, PRECISIONS)
    return problems


def _run_problems(settings: TrainSettings, run: RunSettings) -> list[str]:
    problems: list[str] = []
    if not run.name:
        return ["name: every run needs one"]
    if "/" in run.name or "\\" in run.name or run.name.startswith("."):
        problems.append(
            f"{run.name}: a run's name becomes a file's name, so it must have no slash and no "
            "leading dot"
        )
    shape = shape_of(replace(settings, task="copy", length=2, vocabulary=2), run)
    sound = all(
        [
            _at_least(problems, f"{run.name}.embed", shape.embed, 1),
            _at_least(problems, f"{run.name}.mlp", shape.mlp, 1),
            _at_least(problems, f"{run.name}.layers", shape.layers, 1),
            _at_least(problems, f"{run.name}.heads", run.heads, 1),
        ]
    )
    if sound and shape.embed % run.heads:
        divisors = [k for k in range(1, shape.embed + 1) if shape.embed % k == 0]
        problems.append(
            f"{run.name}.heads: {run.heads} heads do not divide the width embed = {shape.embed}; "
            f"use one of {', '.join(map(str, divisors))}"
        )
    elif sound and shape.positions == "rotary" and (shape.embed // run.heads) % 2:
        problems.append(
            f"{run.name}.positions: rotary positions turn pairs of numbers, so the width of a head "
            f"(embed / heads = {shape.embed // run.heads}) must be even"
        )
    rate = settings.learning_rate if run.learning_rate is None else run.learning_rate
    if not 0.0 < rate < math.inf:
        problems.append(f"{run.name}.learning_rate: must be positive and finite, got {rate!r}")
    _among(problems, f"{run.name}.positions", shape.positions, POSITIONS)
    _among(problems, f"{run.name}.activation", shape.activation, ACTIVATIONS)
    return problems


def check(settings: TrainSettings, runs: Sequence[RunSettings]) -> None:
    """Check everything that can be checked before training.

    Raises:
        TrainerError: with every problem found, each naming the setting and what would do.
    """
    problems = _shared_problems(settings)
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

    Attributes:
        run: the run, with its `mlp` set where that was changed.
        parameters: its count now.
        difference: how many more than the reference has (negative: fewer).
        said: the choice in words.
    """

    run: RunSettings
    parameters: int
    difference: int
    said: str


def match_parameters(
    settings: TrainSettings, runs: Sequence[RunSettings], reference: str | None = None
) -> list[Match]:
    """Give every run the MLP width that brings its count nearest to the reference's.

    Args:
        settings: what the runs share.
        runs: the runs; those that already match are left as they are.
        reference: name of the run to match; the first one by default.

    Raises:
        TrainerError: no such reference, or a run exceeds it with an MLP of one unit.
    """
    named = {run.name: run for run in runs}
    name = reference if reference is not None else runs[0].name
    if name not in named:
        raise TrainerError(f"reference: there is no run {name!r}; there are {', '.join(named)}")
    target = count_parameters(settings, named[name])
    return [_match(settings, run, name, target) for run in runs]


def _match(settings: TrainSettings, run: RunSettings, reference: str, target: int) -> Match:
    count = count_parameters(settings, run)
    shape = shape_of(settings, run)
    if count == target:
        return Match(run, count, 0, f"{run.name}: {count:,} parameters, as {reference}")
    unit = shape.layers * (2 * shape.embed + 1)
    width = shape.mlp + round((target - count) / unit)
    if width < 1:
        raise TrainerError(
            f"{run.name}: cannot have as few parameters as {reference} ({target:,}) with embed = "
            f"{shape.embed} and {shape.layers} layers; reduce embed or layers"
        )
    chosen = replace(run, mlp=width)
    now = count_parameters(settings, chosen)
    more = f"{abs(now - target):,} {'more' if now > target else 'fewer'} than {reference}"
    said = f"{run.name}: mlp {shape.mlp} → {width}, {now:,} parameters (before: {count:,}), " + (
        more if now != target else f"as {reference}"
    )
    return Match(chosen, now, now - target, said)


def unfairness(settings: TrainSettings, runs: Sequence[RunSettings]) -> str | None:
    """Say by how much parameter counts differ where that exceeds what the settings allow."""
    allowed = settings.parameter_difference
    counts = {run.name: count_parameters(settings, run) for run in runs}
    apart = max(counts.values()) - min(counts.values())
    if allowed is None or apart <= allowed:
        return None
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"parameters: the runs differ by {apart:,} ({told}); choose sizes that match "
        f"(trainer.match_parameters does), or set parameter_difference = {apart} to allow it"
    )
