"""What a training reports: one frozen dataclass for each kind of event.

Step k means: after k updates. Step 0 is before any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RunStarted:
    """A run starts, or continues from `step` after a resume.

    Attributes
    ----------
    run
        Its name.
    parameters
        Count of trained numbers.
    heads, layers, nodes
        Of its attention; `nodes` is the sequence length.
    device
        Where it trains, as torch names it.
    hardware
        On CUDA the card, its driver and libraries, and how it multiplies.
    seed
        Of its initialisation and data.
    task
        The task's name.
    steps
        Updates planned.
    step
        Updates already made (0 unless resumed).
    floor, ceiling
        Attainable loss in nats per scored position, and accuracy.
    needs_attention, solvable
        What the task asks of attention, and of the causal mask.
    interventions
        Settings of the run that change its heads or how they learn, with their values; those that
        change nothing are left out.
    """

    run: str
    parameters: int
    heads: int
    layers: int
    nodes: int
    device: str
    seed: int
    task: str
    steps: int
    step: int
    floor: float
    ceiling: float
    needs_attention: str
    solvable: str
    interventions: Mapping[str, float] = field(default_factory=dict)
    hardware: str = ""


@dataclass(frozen=True)
class TrainStep:
    """Loss (nats per scored position) and accuracy of the batch that made update `step`.

    `tokens_per_second` counts this run's input tokens since its last report, over training time
    without probes and checkpoints. Runs of an ensemble train at the same time, each at this rate.
    """

    run: str
    step: int
    loss: float
    accuracy: float
    tokens_per_second: float


@dataclass(frozen=True, eq=False)
class Probe:
    """Attention on the fixed held-out inputs after `step` updates.

    Attributes
    ----------
    attention
        float32 (B, L, H, n, n); [b, l, h, query, key], rows sum to 1.
    head_weights
        float64 (L, H), rows sum to 1: L2 norms of each head's columns of the output projection,
        normalised.
    tokens
        int64 (B, n), the inputs.
    loss, accuracy
        On `eval_sequences` held-out sequences or, where that is 0, on these inputs; without
        dropout.
    eval_sequences
        As in the settings.
    loss_error
        Standard error of the mean loss over the `eval_sequences`; None with fewer than two.
    losses_without
        float64 (L, H), where `ablate` asks for it: the loss, on the same sequences, without what
        one head adds to the residual stream.
    gamma
        float32 (B, L, n), where `norms` asks for it: ‖a‖/(‖x‖ + ‖a‖) for the output a of a layer's
        attention at each position and the residual stream x that it is added to.
    """

    run: str
    step: int
    attention: NDArray[np.float32]
    head_weights: NDArray[np.float64]
    tokens: NDArray[np.int64]
    loss: float
    accuracy: float
    eval_sequences: int = 0
    loss_error: float | None = None
    losses_without: NDArray[np.float64] | None = None
    gamma: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to continue from `step` is safely on disk at `path`."""

    run: str
    step: int
    path: Path


@dataclass(frozen=True)
class Warned:
    """Something a person should know that stops nothing; `run` is None when it is about all."""

    message: str
    run: str | None = None


@dataclass(frozen=True)
class RunFinished:
    """All steps are made."""

    run: str
    step: int


@dataclass(frozen=True)
class RunStopped:
    """The run was asked to stop after `step` updates; with a directory, it can be resumed."""

    run: str
    step: int
    reason: str


@dataclass(frozen=True)
class RunFailed:
    """The run cannot continue; its last good checkpoint is intact.

    Attributes
    ----------
    step
        Updates made.
    reason
        For a person: what happened, and what to do.
    details
        For a log: the exception's own words, or the offending numbers.
    """

    run: str
    step: int
    reason: str
    details: str = ""


Event = RunStarted | TrainStep | Probe | Checkpoint | Warned | RunFinished | RunStopped | RunFailed
