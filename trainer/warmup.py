"""Compiled kernels ahead of the first training."""

from __future__ import annotations

import torch

from .cohort import Cohort
from .settings import RunSettings, TrainSettings


def warm_up() -> None:
    """Compile the kernels that training narrow heads on a CPU runs, or load them from disk.

    Compiling takes some seconds, once for each version of the trainer; call this where a program
    is installed, so that its first training does not wait. Without Numba there is nothing to do.
    """
    settings = TrainSettings(task="copy", length=4, batch=1, embed=8, mlp=8, layers=1)
    Cohort(settings, [RunSettings("narrow", heads=2)], torch.device("cpu")).update(measure=False)
