"""What the trainer offers, by name: tasks and options. Importing it does not import torch."""

from __future__ import annotations

from . import tasks

TASKS: dict[str, type[tasks.Task]] = {
    task.name: task
    for task in (
        tasks.Copy,
        tasks.Cycle,
        tasks.Reverse,
        tasks.Sort,
        tasks.OffsetSum,
        tasks.Parity,
        tasks.Maximum,
        tasks.SecondMaximum,
        tasks.AssociativeRecall,
        tasks.Induction,
        tasks.Zero,
    )
}
POSITIONS = ("learned", "sinusoidal", "rotary")
ACTIVATIONS = ("relu", "gelu")
PRECISIONS = ("float32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps")
