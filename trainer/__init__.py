"""Train single- and multi-head causal Transformers fairly against each other.

In a notebook, a training is a loop over typed events:

>>> import trainer
>>> settings = trainer.TrainSettings(task="copy", length=8, steps=2, batch=4, embed=8, mlp=8)
>>> for event in trainer.train(settings, [trainer.RunSettings("one", heads=1)], device="cpu"):
...     if isinstance(event, trainer.Probe):
...         print(event.step, event.attention.shape)
0 (16, 2, 1, 8, 8)
2 (16, 2, 1, 8, 8)

All runs of one call learn from the same batches and train as one stack of models where their
shapes allow. Names are imported when first used, so that `import trainer` stays light: settings,
tasks and events do not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .catalogue import ACTIVATIONS, DEVICES, POSITIONS, PRECISIONS, TASKS
from .checks import check
from .errors import TrainerError
from .matching import Match, match_parameters
from .settings import ModelShape, RunSettings, TrainSettings, count_parameters
from .tasks import Task

if TYPE_CHECKING:
    from .events import (
        Checkpoint,
        Event,
        Probe,
        RunFailed,
        RunFinished,
        RunStarted,
        RunStopped,
        TrainStep,
        Warned,
    )
    from .loop import train
    from .parallel import Parallel
    from .published import LoadedModel, load_published
    from .warmup import warm_up

_LAZY = {
    **dict.fromkeys(
        (
            "Checkpoint", "Event", "Probe", "RunFailed", "RunFinished", "RunStarted",
            "RunStopped", "TrainStep", "Warned",
        ),
        "events",
    ),
    "train": "loop",
    "Parallel": "parallel",
    "LoadedModel": "published",
    "load_published": "published",
    "warm_up": "warmup",
}  # fmt: skip

__all__ = [
    "ACTIVATIONS",
    "DEVICES",
    "POSITIONS",
    "PRECISIONS",
    "TASKS",
    "Checkpoint",
    "Event",
    "LoadedModel",
    "Match",
    "ModelShape",
    "Parallel",
    "Probe",
    "RunFailed",
    "RunFinished",
    "RunSettings",
    "RunStarted",
    "RunStopped",
    "Task",
    "TrainSettings",
    "TrainStep",
    "TrainerError",
    "Warned",
    "check",
    "count_parameters",
    "load_published",
    "match_parameters",
    "train",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
