"""Checkpoints that survive a kill at any moment.

One safetensors file per run and step, `checkpoints/<run>-<step>.safetensors`: the parameters under
their published names, Adam's two moments under `adam.exp_avg.` and `adam.exp_avg_sq.`, and JSON
in the header for everything else. No generator has a state to be kept: data and dropout are
functions of seed and step. A file is written aside, synced and renamed, so whatever has the final
name is whole; the newest two steps are kept, in case the disk spoils one later.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from synergy_trainer.errors import TrainerError

FORMAT = 1
KEPT = 2
ADAM = "adam."  # what the names of the optimiser's tensors start with
MOMENTS = ("exp_avg", "exp_avg_sq")
_NAME = re.compile(r"(?P<run>.+)-(?P<step>\d{8,})\.safetensors")


class DamagedCheckpoint(TrainerError):
    """A checkpoint that cannot be read; an older one may be good."""


@dataclass(frozen=True)
class Saved:
    """What one file contains; the position in the data is the step itself."""

    state: Mapping[str, torch.Tensor]  # parameters by published name
    moments: Mapping[str, Mapping[str, torch.Tensor]]  # of each of MOMENTS, by published name
    about: Mapping[str, Any]  # step, run, seed, heads and settings


class CheckpointFolder:
    """The `checkpoints` folder of an experiment's directory, made when first written to."""

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / "checkpoints"

    def steps(self, run: str) -> list[int]:
        """Steps that a run has a checkpoint of, ascending."""
        return sorted(step for name, step in self._files() if name == run)

    def common_steps(self, runs: Iterable[str]) -> list[int]:
        """Steps that every one of the runs has a checkpoint of, newest first."""
        sets = [set(self.steps(run)) for run in runs]
        return sorted(set.intersection(*sets), reverse=True) if sets else []

    def file(self, run: str, step: int) -> Path:
        return self.path / f"{run}-{step:08d}.safetensors"

    def write(self, run: str, step: int, saved: Saved) -> Path:
        """Write a checkpoint; an OSError leaves everything that was there before untouched."""
        tensors = {name: _plain(values) for name, values in saved.state.items()}
        for moment, values in saved.moments.items():
            tensors |= {f"{ADAM}{moment}.{name}": _plain(v) for name, v in values.items()}
        about = {"format": FORMAT, "run": run, "step": step, **saved.about}
        target = self.file(run, step)
        write_whole(target, save(tensors, {"synergy": json.dumps(about, sort_keys=True)}))
        return target

    def read(self, run: str, step: int) -> Saved:
        """Read a checkpoint; DamagedCheckpoint where it is not whole, or from a newer version."""
        path = self.file(run, step)
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads(file.metadata()["synergy"])
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DamagedCheckpoint(f"{path}: cannot be read as a checkpoint ({error})") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            stated = about.get("format") if isinstance(about, dict) else None
            raise DamagedCheckpoint(f"{path}: has format {stated}, need {FORMAT}")
        state = {name: values for name, values in tensors.items() if not name.startswith(ADAM)}
        try:
            moments = {
                moment: {name: tensors.pop(f"{ADAM}{moment}.{name}") for name in state}
                for moment in MOMENTS
            }
        except KeyError as error:
            raise DamagedCheckpoint(f"{path}: has no tensor {error}") from None
        shapes = {name: values.shape for name, values in state.items()}
        for moment, found in moments.items():
            if {name: values.shape for name, values in found.items()} != shapes:
                raise DamagedCheckpoint(f"{path}: {moment} has other shapes than the parameters")
        return Saved(state, moments, about)

    def prune(self, run: str) -> None:
        """Delete all but the newest checkpoints of a run, and what a kill left half-written."""
        for step in self.steps(run)[:-KEPT]:
            self.file(run, step).unlink(missing_ok=True)
        for leftover in self.path.glob(f".{run}-*.partial"):
            leftover.unlink(missing_ok=True)

    def write_failure(self, run: str, step: int, reason: str) -> None:
        """Note that a run failed for good, so that a resume does not train it again."""
        text = json.dumps({"step": step, "reason": reason})
        write_whole(self.path / f"{run}.failed.json", text.encode())

    def failure(self, run: str) -> tuple[int, str] | None:
        """Step and reason of a run that failed for good."""
        path = self.path / f"{run}.failed.json"
        if not _is_plain(path):
            return None
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            return int(note["step"]), str(note["reason"])
        except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DamagedCheckpoint(f"{path}: cannot be read as a note ({error})") from error

    def _files(self) -> Iterable[tuple[str, int]]:
        if self.path.is_dir():
            for path in self.path.iterdir():
                # A link may lead anywhere, and opening a pipe may wait without end.
                if (match := _NAME.fullmatch(path.name)) and _is_plain(path):
                    yield match["run"], int(match["step"])


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def write_whole(target: Path, content: bytes) -> None:
    """Write a file so that, whenever the power fails, it has its old or its new content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.stem}.partial")
    try:
        aside.unlink(
            missing_ok=True
        )  # a kill may have left it; were it a link, it would be followed
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _plain(values: torch.Tensor) -> torch.Tensor:
    return values.detach().cpu().contiguous()
