"""The training loop: an iterator of typed events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .cohort import Cohort, gather
from .device import pick_device, warnings_for
from .events import (
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
    TrainStep,
    Warned,
)
from .settings import RunSettings, TrainSettings, check


def _never() -> bool:
    return False


def train(
    settings: TrainSettings,
    runs: Sequence[RunSettings],
    *,
    device: str = "auto",
    directory: str | Path | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] = _never,
) -> Iterator[Event]:
    """Train all runs in lockstep on the same batches and tell what happens.

    Args:
        settings: what the runs share.
        runs: the models; those of equal shape train as one stack.
        device: "auto" (CUDA, else mps, else CPU), "cpu", "cuda", "cuda:1" or "mps".
        directory: checkpoints go to its `checkpoints` folder; None keeps nothing.
        resume: go on from the newest checkpoints in `directory`.
        should_stop: asked before every update; once true, the runs are checkpointed and stop.

    Yields:
        Events, in order of steps and, within a step, of `runs`.

    Raises:
        TrainerError: settings or device cannot be used; told before anything is built.
    """
    check(settings, runs)
    place = pick_device(device)
    return _train(settings, runs, place, should_stop)


def _train(settings, runs, place, should_stop):  # type: ignore[no-untyped-def]
    for message in warnings_for(settings, place):
        yield Warned(message)
    cohorts = gather(settings, runs, place)
    order = {run.name: at for at, run in enumerate(runs)}
    yield from sorted(
        (_started(cohort, at, place) for cohort in cohorts for at in range(len(cohort.runs))),
        key=lambda event: order[event.run],
    )
    clock = _Clock()
    step = 0
    while True:
        if settings.probes(step):
            found = [event for cohort in cohorts for event in cohort.probe()]
            yield from sorted(found, key=lambda event: order[event.run])
        if step == settings.steps:
            break
        if should_stop():
            for run in runs:
                yield RunStopped(run.name, step, "asked to stop")
            return
        step += 1
        logs = settings.logs(step)
        with clock:
            measured = [cohort.update(logs) for cohort in cohorts]
            if logs:
                values = [
                    (m.losses.tolist(), m.accuracies.tolist()) for m in measured if m is not None
                ]
        if logs:
            rate = clock.rate(step, cohorts[0].tokens_per_step)
            found = [
                TrainStep(name, step, loss, accuracy, rate)
                for cohort, (losses, accuracies) in zip(cohorts, values, strict=True)
                for name, loss, accuracy in zip(cohort.names, losses, accuracies, strict=True)
            ]
            yield from sorted(found, key=lambda event: order[event.run])
    for run in runs:
        yield RunFinished(run.name, step)


def _started(cohort: Cohort, at: int, device) -> RunStarted:  # type: ignore[no-untyped-def]
    run, task, settings = cohort.runs[at], cohort.task, cohort.settings
    return RunStarted(
        run=run.name,
        parameters=cohort.shape.parameters(),
        heads=run.heads,
        layers=cohort.shape.layers,
        nodes=settings.length,
        device=str(device),
        seed=cohort.seeds[at],
        task=task.name,
        steps=settings.steps,
        step=cohort.step,
        floor=task.floor,
        ceiling=task.ceiling,
        needs_attention=task.needs_attention,
        solvable=task.solvable,
    )


class _Clock:
    """Time spent training, between two reports."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since = 0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent += time.perf_counter() - self._begun

    def rate(self, step: int, tokens_per_step: int) -> float:
        """Tokens a second since the last call."""
        rate = (step - self._since) * tokens_per_step / max(self._spent, 1e-9)
        self._spent, self._since = 0.0, step
        return rate
