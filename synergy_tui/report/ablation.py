"""Whether what a head carries says what its removal costs: trained runs, from their checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from synergy_tui.errors import UserError
from synergy_tui.report.evidence import Row
from synergy_tui.report.statistics.intervals import Interval, bootstrap_interval
from synergy_tui.scenario import TrainedRun
from synergy_tui.words import counted

Floats = NDArray[np.float64]
Removal = Literal["zero", "mean"]
REMOVALS: tuple[Removal, ...] = ("zero", "mean")
SEQUENCES = 512
"""Held-out sequences where the scenario evaluates none."""
DRAWS = 10_000
"""Permutations of a test."""
ROUNDING = 1e-12


@dataclass(frozen=True)
class Network:
    """The heads of one layer of a trained network."""

    group: str
    run: str
    heads: int  # per layer
    seed: str
    layer: int  # from 1
    loss: float  # held-out, of the whole network, in nats
    weight: Floats  # (H,) of the output projection, summing to 1
    share: Floats  # (H,) carriage, mean over the inputs that have one
    inputs: int  # that have one: the faintest token is heard, by a step that attains it
    zero: Floats  # (H,) rise of the loss where the head writes nothing
    mean: Floats  # (H,) where it writes its mean over sequences, position by position


@dataclass(frozen=True)
class Relation:
    """How the ranks of two numbers of the heads of a network agree, over networks.

    ``p`` is twice the smaller tail that ``correlation`` cuts off from those of `DRAWS` permutations
    within networks, whose mean is ``shuffled``.
    """

    networks: int  # in which both differ between heads
    correlation: float  # mean of Spearman's ρ
    interval: Interval  # 95 % over networks
    shuffled: float
    p: float


def ablated(rows: Sequence[Row]) -> Iterator[Network]:
    """Remove every head of the finished trained runs that have several, one after another.

    On held-out sequences: those whose loss was recorded, and for shares those of the probes.
    """
    several = [row for row in rows if row.heads > 1 and _trained(row)]
    if not several:
        raise UserError("There is nothing to ablate: no trained run of several heads has finished.")
    for row in several:
        yield from _ablated(row)


def _trained(row: Row) -> bool:
    runs = row.place.experiment.scenario().runs
    return any(isinstance(run, TrainedRun) and run.name == row.run for run in runs)


def _ablated(row: Row) -> Iterator[Network]:
    import torch

    import synergy_trainer as trainer
    from synergy_trainer.checkpoint import CheckpointFolder
    from synergy_trainer.data import Source
    from synergy_trainer.settings import make_task
    from synergy_tui.scenario.training import training_of

    experiment = row.place.experiment
    folder = CheckpointFolder(experiment.path)
    steps = folder.steps(row.run)
    if not steps:
        raise UserError(
            f"{experiment.path} has no checkpoint of {row.run}, whose heads were to be removed.",
            hint="Checkpoints are written at the end of every training; was the folder cleared?",
        )
    model = trainer.load_published(folder.file(row.run, steps[-1]))
    settings, runs = training_of(experiment.scenario())
    (run,) = [each for each in runs if each.name == row.run]
    own = run.over(settings)
    seed = own.probe_stream
    if seed is None:
        seed = own.seed

    def held_out(count: int, place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        source = Source(make_task(own), seed, count, torch.device("cpu"), split="held_out")
        inputs, targets = source.batch(place)
        return inputs.numpy(), targets.numpy()

    weights = model.head_weights()
    shares, known = _shares(model.attention(held_out(own.probe_inputs, 1)[0]), weights)
    loss, zero, mean = model.ablated(*held_out(own.eval_sequences or SEQUENCES, 2))
    (observation, *_) = row.observations.values()
    for layer, weight in enumerate(weights):
        yield Network(
            group=row.group,
            run=row.run,
            heads=row.heads,
            seed=observation.block,
            layer=layer + 1,
            loss=loss,
            weight=weight,
            share=shares[layer],
            inputs=known[layer],
            zero=zero[layer] - loss,
            mean=mean[layer] - loss,
        )


def _shares(attention: NDArray[np.float32], weights: Floats) -> tuple[Floats, list[int]]:
    """Carriage (L, H) by the heads of (B, L, H, n, n), and of how many inputs each is the mean."""
    import synergy_engine as engine

    found: list[list[Floats]] = [[] for _ in weights]
    for layers in attention:
        for layer, heads in enumerate(layers):
            system = engine.MultiHeadSystem.from_attention(heads, weights[layer], rows="normalise")
            try:
                found[layer].append(engine.sensitivity(system).carriage)
            except engine.NotDifferentiableError:  # nothing is heard, or no step attains it
                continue
    nothing = np.full(weights.shape[1], math.nan)
    return (
        np.array([np.mean(each, axis=0) if each else nothing for each in found]),
        [len(each) for each in found],
    )


def relation(
    networks: Sequence[Network],
    removal: Removal,
    *,
    of: Literal["share", "weight"] = "share",
    keep_weights: bool = False,
) -> Relation:
    """Test whether heads that have more of ``of`` cost more to remove, within networks.

    What is permuted among a network's heads is that number; or, with ``keep_weights``, only what a
    share is beside its weight, share / weight, so that heads keep their weights: what the weights
    alone make of the agreement is then in the null.
    """
    random = np.random.default_rng(0)
    observed, drawn = [], []
    for each in networks:
        values, cost = getattr(each, of), stats.rankdata(getattr(each, removal))
        if np.isnan(values).any() or np.ptp(cost) == 0 or np.ptp(values) == 0:
            continue
        kept = each.weight if keep_weights else np.ones_like(values)
        order = random.permuted(np.tile(np.arange(len(values)), (DRAWS, 1)), axis=1)
        shuffled = kept * (values / kept)[order]
        observed.append(_spearman(values[None], cost)[0])
        drawn.append(_spearman(shuffled, cost))
    if not observed:
        return Relation(0, math.nan, (math.nan, math.nan), math.nan, math.nan)
    mean, null = float(np.mean(observed)), np.mean(drawn, axis=0)
    tail = min((null >= mean - ROUNDING).sum(), (null <= mean + ROUNDING).sum())
    return Relation(
        networks=len(observed),
        correlation=mean,
        interval=bootstrap_interval(observed),
        shuffled=float(null.mean()),
        p=min(1.0, 2 * float(1 + tail) / (DRAWS + 1)),
    )


def _spearman(values: Floats, ranks: Floats) -> Floats:
    """Rank correlation of each row of values (K, H) with ranks (H,)."""
    own = stats.rankdata(values, axis=1)
    own -= own.mean(axis=1, keepdims=True)
    other = ranks - ranks.mean()
    size = np.sqrt((own**2).sum(axis=1) * (other**2).sum())
    found: Floats = np.divide(own @ other, size, out=np.zeros(len(own)), where=size > 0)
    return found


def in_words(networks: Sequence[Network]) -> str:
    """How many inputs have no share, as a sentence; empty where all have one."""
    fewest = min(each.inputs for each in networks)
    most = max(each.inputs for each in networks)
    if fewest == most:
        return ""
    return (
        f"in some networks shares are of {counted(fewest, 'input')} only (of {most}): in the "
        "others the faintest token is not heard, or no step attains its fidelity"
    )
