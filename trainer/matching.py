"""Equal numbers of parameters for runs whose widths differ. Importing it does not import torch.

The number of heads changes no parameter; embedding width, depth and positions do. The width of
the MLP is what is adjusted, since the count is affine in it: every unit adds
layers · (2·embed + 1) numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import TrainerError
from .settings import RunSettings, TrainSettings, count_parameters, shape_of


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
