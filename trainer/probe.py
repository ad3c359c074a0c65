"""Attention extracted from a stack of models on fixed held-out inputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .data import Batch
from .events import Probe
from .model import Stack


def probe(stack: Stack, names: list[str], step: int, held_out: Batch) -> list[Probe]:
    """Measure every model of a stack on its held-out batch.

    Args:
        stack: the models.
        names: of the runs, in the stack's order.
        step: updates made so far.
        held_out: inputs (M, B, n) and targets (M, B, scored positions).
    """
    scored_from = held_out.inputs.shape[-1] - held_out.targets.shape[-1]
    attention, logits = stack.attention(held_out.inputs, scored_from)
    targets = held_out.targets.flatten(1)
    losses = F.cross_entropy(logits.mT, targets, reduction="none").mean(1)
    accuracies = (logits.argmax(-1) == targets).float().mean(1)
    return [
        Probe(
            run=name,
            step=step,
            attention=attention[model].cpu().numpy(),
            head_weights=stack.head_weights(model).cpu().numpy(),
            tokens=held_out.inputs[model].cpu().numpy(),
            loss=float(losses[model]),
            accuracy=float(accuracies[model]),
        )
        for model, name in enumerate(names)
    ]


def stack_batches(batches: list[Batch]) -> Batch:
    """Join the models' batches to (M, B, …); a batch that all share is not copied."""
    first = batches[0]
    if all(batch is first for batch in batches):
        count = len(batches)
        return Batch(
            first.inputs.expand(count, *first.inputs.shape),
            first.targets.expand(count, *first.targets.shape),
        )
    return Batch(
        torch.stack([batch.inputs for batch in batches]),
        torch.stack([batch.targets for batch in batches]),
    )
