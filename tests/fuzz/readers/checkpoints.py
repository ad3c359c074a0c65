"""Checkpoints, and what torch.save writes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save as save_torch

import synergy_trainer as trainer
from synergy_trainer.errors import TrainerError
from tests.fuzz.readers.arrays import analyse, rows_of_attention
from tests.fuzz.readers.reader import Reader, plain
from tests.places import DATA


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _state() -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    state = load((DATA / "interrupted/checkpoints/two-00000100.safetensors").read_bytes())
    return {name: values for name, values in state.items() if not name.startswith("adam.")}


def _pt_files() -> list[bytes]:
    layer = torch.from_numpy(rows_of_attention(1, 2, 4, 4))
    contents = (
        layer[0],
        (layer, layer),
        {"attentions": (layer, layer)},
        layer.bfloat16(),
        _state(),
    )
    old = io.BytesIO()
    torch.save(layer, old, _use_new_zipfile_serialization=False)
    return [*map(_saved, contents), old.getvalue()]


def _checkpoint_files() -> list[bytes]:
    folder = DATA / "interrupted/checkpoints"
    kept = [(folder / f"{run}-00000100.safetensors").read_bytes() for run in ("one", "two")]
    return [*kept, save_torch(_state())]


def _published(path: Path, rng: Random) -> object:
    if rng.random() < 0.3:
        return analyse(path, rng)
    model = trainer.load_published(path, rng.choice((None, None, 1, 2, 3)))
    return model.attention([0, 1, 1]).shape, model.heads


def _interrupted(folder: Path) -> Path:
    shutil.copytree(DATA / "interrupted", folder / "experiment")
    return folder / "experiment/checkpoints/two-00000100.safetensors"


def _resume(path: Path, rng: Random) -> object:
    """Resume a training, which stops at once."""
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.scenario.training import training_of

    experiment = Experiment(path.parents[1])
    settings, runs = training_of(experiment.scenario())
    events = trainer.train(
        settings, runs, device="cpu", directory=experiment.path, resume=True,
        should_stop=lambda: True,
    )  # fmt: skip
    kinds = [type(event).__name__ for event in events]
    for written in path.parent.glob("*-00000000.safetensors"):
        written.unlink()
    return kinds[-1], kinds.count("Warned")


def _kept_checkpoint(path: Path, rng: Random) -> object:
    from synergy_trainer.checkpoint import CheckpointFolder

    return len(CheckpointFolder(path.parents[1]).read("two", 100).state)


def _note(folder: Path) -> Path:
    _interrupted(folder)
    return folder / "experiment/checkpoints/two.failed.json"


def _read_note(path: Path, rng: Random) -> object:
    from synergy_trainer.checkpoint import CheckpointFolder

    return CheckpointFolder(path.parents[1]).failure("two") is None


def readers() -> Iterator[Reader]:
    yield Reader("saved.pt", ".pt", _pt_files, plain(".pt"), analyse)
    yield Reader(
        "checkpoint.safetensors", ".safetensors", _checkpoint_files, plain(".safetensors"),
        _published,
    )  # fmt: skip
    yield Reader("checkpoint.pt", ".pt", lambda: [_saved(_state())], plain(".pt"), _published)
    yield Reader(
        "kept checkpoint", ".safetensors", _checkpoint_files, _interrupted, _kept_checkpoint,
        (TrainerError,),
    )  # fmt: skip
    yield Reader("resume", ".safetensors", _checkpoint_files, _interrupted, _resume, share=0.1)
    yield Reader(
        "failure note", ".json", lambda: [b'{"step": 3, "reason": "the loss is nan"}'], _note,
        _read_note, (TrainerError,), share=0.3,
    )  # fmt: skip
