"""Metrics as TensorBoard event files: one folder per run, scalars by training step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synergy_tui.errors import UserError, require
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import as_number, measures
from synergy_tui.experiments.state import ExperimentState, RunState
from synergy_tui.files import make_folder

if TYPE_CHECKING:
    from synergy_tui.experiments.analysis import Analysis


def write_tensorboard(folder: Path, experiment: Experiment, state: ExperimentState) -> int:
    """Write an experiment's scalars below ``folder``, and return how many.

    Tags are ``train/loss``, ``train/accuracy``, ``train/tokens_per_second`` and, of probes,
    ``overall/<measure>`` and ``layer-<l>/<measure>``. Times of day are those of the run.
    """
    writer = require("tensorboard.summary.writer.event_file_writer", "tensorboard")
    make_folder(folder)
    times = _times(experiment)
    count = 0
    for run in state.runs.values():
        # A log may name its runs anything; a folder's name must not lead elsewhere.
        target = folder / experiment.id / re.sub(r"[^\w-]+", "_", run.name)
        if target.is_dir() and any(target.glob("events.out.tfevents.*")):
            raise UserError(
                f"{target} contains event files already.", hint="Choose another folder."
            )
        try:
            target.mkdir(parents=True, exist_ok=True)
            files = writer.EventFileWriter(str(target))
            for tag, step, value in _scalars(run):
                files.add_event(scalar_event(tag, step, value, times.get((run.name, step))))
                count += 1
            files.close()
        except OSError as error:
            raise UserError(f"{target} cannot be written: {error.strerror or error}.") from error
    return count


def _times(experiment: Experiment) -> dict[tuple[str, int], float]:
    """Return when each step of each run was: seconds since 1970."""
    start = experiment.started.timestamp()
    return {
        (event["run"], event["step"]): start + event["t"]
        for event in EventReader(experiment.events_path).read_all()
        if event["kind"] in ("train_step", "probe") and {"run", "step", "t"} <= event.keys()
    }


def _scalars(run: RunState) -> list[tuple[str, int, float]]:
    found = [
        (f"train/{name}", int(step), float(value))
        for name, values in run.series.items()
        for step, value in zip(values.steps, values.values, strict=True)
    ]
    for probe in run.probes:
        measured = probe_scalars([*probe.layers, probe.overall])
        found += [(tag, probe.step, number) for tag, number in measured]
    return found


def probe_scalars(analyses: Iterable[Analysis]) -> Iterator[tuple[str, float]]:
    """Yield the tags and numbers of a measurement."""
    for analysis in analyses:
        layer = analysis.get("layer")
        group = "overall" if layer == "overall" else f"layer-{layer}"
        for name, value in measures(analysis).items():
            number = as_number(value)
            if number is not None:
                yield f"{group}/{name}", number


def scalar_event(tag: str, step: int, value: float, time: float | None) -> Any:
    """Return one scalar as TensorBoard keeps it; ``time``: seconds since 1970."""
    event_pb2 = require("tensorboard.compat.proto.event_pb2", "tensorboard")
    summary_pb2 = require("tensorboard.compat.proto.summary_pb2", "tensorboard")
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
    return event_pb2.Event(step=step, wall_time=time or 0.0, summary=summary)
