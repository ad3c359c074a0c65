"""The training loop: an iterator of typed events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from synergy_trainer.checkpoint import CheckpointFolder, DamagedCheckpoint
from synergy_trainer.checks import check
from synergy_trainer.cohort import Cohort, Measured, gather
from synergy_trainer.device import Parallel, pick_device, prepare_products, warnings_for
from synergy_trainer.errors import Failure, TrainerError, diverged, explain
from synergy_trainer.events import (
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
from synergy_trainer.settings import RunSettings, TrainSettings, count_parameters

OfRun = TypeVar("OfRun", RunStarted, TrainStep, Probe, Checkpoint, RunFailed)

# Parameters below which exchanging gradients between GPUs takes longer than the whole update.
SHARED_FROM = 10_000_000


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


def train(
    settings: TrainSettings,
    runs: Sequence[RunSettings],
    *,
    device: str = "auto",
    directory: str | Path | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] = _never,
    before_checkpoint: Callable[[], None] = _nothing,
    parallel: Parallel | None = None,
) -> Iterator[Event]:
    """Train all runs in lockstep on the same batches and report what happens.

    Parameters
    ----------
    settings
        What the runs share.
    runs
        The models; those of equal parameter shapes and learning rates train as one stack.
    device
        "auto" (CUDA, else the CPU), "cpu", "cuda", "cuda:1" or "mps".
    directory
        Checkpoints go to its `checkpoints` folder; None keeps nothing.
    resume
        Continue from the newest checkpoints in `directory`, or start where there are none.
    should_stop
        Asked before every update; once true, the runs are checkpointed and stop.
    before_checkpoint
        Called before checkpoints are written: the time to save what was yielded so far, which a
        resume from them does not yield again.
    parallel
        Processes that share every batch; None for this one alone.

    Yields
    ------
    Event
        In order of steps and, within a step, of `runs`.

    Raises
    ------
    TrainerError
        Settings, device or directory cannot be used; raised by the call itself, before anything is
        built. What goes wrong later is a :class:`RunFailed`.
    """
    check(settings, runs)
    if parallel is not None and settings.batch % parallel.size:
        raise TrainerError(
            f"batch: {settings.batch} sequences cannot be shared equally by {parallel.size} "
            "processes"
        )
    folder = None if directory is None else CheckpointFolder(directory)
    if resume and folder is None:
        raise TrainerError("resume: needs the directory with the checkpoints")
    if folder is not None and not resume:
        old = [r.name for r in runs if folder.steps(r.name) or folder.failure(r.name)]
        if old:
            raise TrainerError(
                f"directory: {folder.path} already has checkpoints of {', '.join(old)}; resume, or "
                "choose another directory"
            )
    picked = pick_device(device)
    if parallel is not None and picked.type == "cuda":
        largest = max(count_parameters(settings, run) for run in runs)
        if largest < SHARED_FROM:
            raise TrainerError(
                f"parallel: models of {largest:,} parameters are too small to share batches "
                f"between GPUs (from {SHARED_FROM:,}); train with one process, which trains all "
                "runs as one stack"
            )
    prepare_products(settings, picked)
    warnings = warnings_for(settings, picked, device)
    training = _Training(settings, runs, picked, folder, before_checkpoint, parallel)
    return training.events(resume, should_stop, warnings)


class _Training:
    def __init__(
        self,
        settings: TrainSettings,
        runs: Sequence[RunSettings],
        device: torch.device,
        folder: CheckpointFolder | None,
        before_checkpoint: Callable[[], None],
        parallel: Parallel | None,
    ) -> None:
        self._settings = settings
        self._runs = list(runs)
        self._order = {run.name: at for at, run in enumerate(runs)}
        self._device = device
        self._folder = folder
        self._before_checkpoint = before_checkpoint
        self._parallel = parallel
        self._cohorts: list[Cohort] = []
        self._step = 0
        self._saved_step = -1
        self._clock = _Clock()

    def events(
        self, resume: bool, should_stop: Callable[[], bool], warnings: Sequence[str]
    ) -> Iterator[Event]:
        yield from map(Warned, warnings)
        try:
            self._cohorts = gather(self._settings, self._runs, self._device, self._parallel)
        except (MemoryError, RuntimeError) as error:
            yield from self._fail([run.name for run in self._runs], self._explained(error))
            return
        if resume:
            yield from self._restore()
        yield from self._sorted(event for cohort in self._cohorts for event in cohort.started())
        yield from self._failed_before()
        if self._step == 0:
            yield from self._probe()
        while self._step < self._settings.steps and self._alive():
            if self._stops(should_stop()):
                if self._saved_step != self._step:
                    yield from self._checkpoint()
                for name in self._alive():
                    yield RunStopped(name, self._step, "asked to stop")
                return
            yield from self._update()
            if self._settings.probes(self._step):
                yield from self._probe()
            if self._settings.checkpoints(self._step):
                yield from self._checkpoint()
        for name in self._alive():
            yield RunFinished(name, self._step)

    def _alive(self) -> list[str]:
        names = [name for cohort in self._cohorts for name in cohort.alive]
        return sorted(names, key=self._order.__getitem__)

    def _sorted(self, events: Iterable[OfRun]) -> list[OfRun]:
        return sorted(events, key=lambda event: self._order[event.run])

    def _stops(self, asked: bool) -> bool:
        """Agree with the other processes on whether to stop."""
        if self._parallel is None:
            return asked
        flag = torch.tensor([float(asked)], device=self._device)
        self._parallel.average_([flag])
        return bool(flag > 0)

    def _update(self) -> Iterator[Event]:
        settings, step = self._settings, self._step + 1
        logs = settings.logs(step)
        measures = logs or settings.probes(step) or settings.checkpoints(step)
        measured: list[tuple[Cohort, Measured]] = []
        for cohort in self._cohorts:
            if not cohort.alive:
                continue
            try:
                with self._clock:
                    found = cohort.update(measures)
            except (MemoryError, RuntimeError) as error:
                yield from self._fail(cohort.alive, self._explained(error))
            else:
                yield from map(Warned, cohort.remarks)
                cohort.remarks.clear()
                if found is not None:
                    measured.append((cohort, found))
        self._step = step
        if not measured:
            return
        with self._clock:  # reading waits for the device
            read = [(cohort, found.of(cohort.names)) for cohort, found in measured]
        if logs:
            rate = self._clock.rate(step, settings.batch * settings.length)
            yield from self._sorted(
                TrainStep(name, step, loss, accuracy, rate)
                for cohort, rows in read
                for name, loss, accuracy in rows
                if name in cohort.alive
            )
        for cohort, rows in read:
            for name, loss, _ in rows:
                if name in cohort.alive and not math.isfinite(loss):
                    at = cohort.learning_rate
                    yield from self._fail_for_good(cohort, name, diverged(step, loss, at))

    def _probe(self) -> Iterator[Event]:
        for cohort in self._cohorts:
            if not cohort.alive:
                continue
            try:
                probes = cohort.probe()
            except (MemoryError, RuntimeError) as error:
                yield from self._fail(cohort.alive, self._explained(error))
            else:
                yield from self._sorted(probe for probe in probes if probe.run in cohort.alive)

    def _checkpoint(self) -> Iterator[Event]:
        folder = self._folder
        if folder is None:
            return
        for cohort in self._cohorts:
            for name in cohort.broken():
                failure = diverged(self._step, float("nan"), cohort.learning_rate)
                yield from self._fail_for_good(cohort, name, failure)
        if self._parallel is None or self._parallel.rank == 0:
            self._before_checkpoint()
            try:
                for cohort in self._cohorts:
                    for name in cohort.alive:
                        path = folder.write(name, self._step, cohort.saved(name))
                        yield Checkpoint(name, self._step, path)
                for name in self._alive():
                    folder.prune(name)
            except OSError as error:
                yield from self._fail(self._alive(), self._explained(error))
        self._saved_step = self._step

    def _restore(self) -> Iterator[Event]:
        """Load the newest step that every run has a good checkpoint of."""
        folder = self._folder
        assert folder is not None
        failed = {run.name for run in self._runs if folder.failure(run.name)}
        names = [run.name for run in self._runs if run.name not in failed]
        for step in folder.common_steps(names):
            try:
                saved = {name: folder.read(name, step) for name in names}
            except DamagedCheckpoint as error:
                yield Warned(f"{error}; trying an older one")
                continue
            for cohort in self._cohorts:
                yield from map(Warned, cohort.restore(step, saved))
            self._step = self._saved_step = step
            self._clock.start_at(step)
            return

    def _failed_before(self) -> Iterator[Event]:
        """Report runs that diverged before this resume; they keep their place in a stack."""
        if self._folder is None:
            return
        for cohort in self._cohorts:
            for name in list(cohort.alive):
                if failure := self._folder.failure(name):
                    cohort.alive.remove(name)
                    yield RunFailed(name, *failure, details="failed before this resume")

    def _explained(self, error: BaseException) -> Failure:
        failure = explain(error, self._device)
        if failure is None:
            raise error
        return failure

    def _fail(self, names: Sequence[str], failure: Failure) -> Iterator[Event]:
        for cohort in self._cohorts:
            cohort.alive = [name for name in cohort.alive if name not in names]
        for name in sorted(names, key=self._order.__getitem__):
            kept = self._folder.steps(name) if self._folder is not None else []
            after = f". The last good checkpoint is of step {kept[-1]}" if kept else ""
            yield RunFailed(name, self._step, failure.reason + after, failure.details)

    def _fail_for_good(self, cohort: Cohort, name: str, failure: Failure) -> Iterator[Event]:
        if self._folder is not None:
            try:
                self._folder.write_failure(name, self._step, failure.reason)
            except OSError as error:
                yield Warned(f"could not record that {name} failed ({error.strerror})", name)
        yield from self._fail([name], failure)


class _Clock:
    """Time spent training, between two reports."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since = 0
        self._started = 0.0

    def start_at(self, step: int) -> None:
        self._since = step

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent += time.perf_counter() - self._started

    def rate(self, step: int, tokens_per_step: int) -> float:
        """Tokens per second since the last call."""
        rate = (step - self._since) * tokens_per_step / max(self._spent, 1e-9)
        self._spent, self._since = 0.0, step
        return rate


def warm_up() -> None:
    """Compile the kernels that training narrow heads on a CPU runs, or load them from disk.

    Compiling takes some seconds, once for each version of the trainer; call this where a program
    is installed, so that its first training does not wait. Without Numba there is nothing to do.
    """
    settings = TrainSettings(task="copy", length=4, batch=1, embed=8, mlp=8, layers=1, dropout=0.5)
    Cohort(settings, [RunSettings("narrow", heads=2)], torch.device("cpu")).update(measure=False)
