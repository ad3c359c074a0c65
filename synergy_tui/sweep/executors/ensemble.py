"""Several experiments trained as one batched ensemble, each keeping its own log.

The trainer stacks models whose shapes agree, whatever their seed, heads, interventions and task. So
the runs of many points go into one call of :func:`synergy_trainer.train`; each of its events is
passed to the experiment that the run belongs to, where the ordinary runner writes it down.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from synergy_trainer.tasks import TASKS
from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.events import Event
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.runner import append_log, run_experiment
from synergy_tui.scenario import Scenario, TrainedRun
from synergy_tui.sweep.executors.executor import Task

# Events that may wait for an experiment's log; then training waits for the log.
AHEAD = 64
SEPARATOR = "--"


def stackable(scenario: Scenario) -> tuple[str, int, int] | None:
    """What points must have in common to train together; ``None`` for what cannot.

    All of ``[train]`` but the task, of which only the form matters.
    """
    train = scenario.train
    if train is None or not all(isinstance(run, TrainedRun) for run in scenario.runs):
        return None
    task = TASKS[train.task](train.length, train.vocabulary)
    return train.model_dump_json(exclude={"task"}), task.tokens, task.scored_from


def batches(tasks: Sequence[Task], limit: int, workers: int = 1) -> list[list[Task]]:
    """Sort tasks into batches of at most ``limit`` points that can train together.

    Those of a batch are :func:`stackable` together, and stand at the same step. None is larger than
    what keeps every worker busy.
    """
    limit = max(1, min(limit, -(-len(tasks) // workers)))
    if limit == 1:
        return [[task] for task in tasks]
    sorted_out: dict[object, list[list[Task]]] = {}
    order: list[list[Task]] = []
    for task in tasks:
        experiment = Experiment(task.path)
        key = stackable(experiment.scenario())
        together = (key, _newest_step(experiment)) if key is not None else (task.point,)
        groups = sorted_out.setdefault(together, [])
        if not groups or len(groups[-1]) >= limit:
            groups.append([])
            order.append(groups[-1])
        groups[-1].append(task)
    return order


def _newest_step(experiment: Experiment) -> int:
    from synergy_trainer.checkpoint import CheckpointFolder

    names = [run.name for run in experiment.scenario().trained]
    return max(CheckpointFolder(experiment.path).common_steps(names), default=0)


def run_together(
    experiments: Sequence[Experiment],
    *,
    device: str = "auto",
    threads: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    listener: Callable[[Experiment, Event], None] | None = None,
) -> list[int]:
    """Execute experiments that are :func:`stackable` together; exit codes in their order.

    ``listener`` is called with every event of an experiment after it is in the log, by several
    threads.
    """
    scenarios = [experiment.scenario() for experiment in experiments]
    if len({stackable(scenario) for scenario in scenarios}) > 1 or not stackable(scenarios[0]):
        raise UserError(
            "Only experiments that agree in [train], up to tasks of equal form, can train together."
        )
    crowd = _Crowd(experiments, device, should_stop)
    codes: list[int] = [int(ExitCode.RUN_FAILED)] * len(experiments)

    def one(at: int) -> None:
        experiment = experiments[at]
        try:
            codes[at] = run_experiment(
                experiment,
                device=device,
                threads=threads,
                should_stop=should_stop,
                listener=partial(listener, experiment) if listener else None,
                train=crowd.member(experiment),
            )
        except UserError as error:
            codes[at] = int(error.exit_code)
            append_log(experiment, error.message)
        finally:
            crowd.leave(experiment)

    writers = [
        threading.Thread(target=one, args=(at,), name=f"write {experiment.id}")
        for at, experiment in enumerate(experiments)
    ]
    for writer in writers:
        writer.start()
    crowd.train()
    for writer in writers:
        writer.join()
    return codes


class _Crowd:
    """One training, handed out to the experiments it belongs to."""

    def __init__(
        self, experiments: Sequence[Experiment], device: str, should_stop: Callable[[], bool]
    ) -> None:
        self._experiments = {experiment.id: experiment for experiment in experiments}
        self._device = device
        self._should_stop = should_stop
        self._queues: dict[str, queue.Queue[Any]] = {
            name: queue.Queue(AHEAD) for name in self._experiments
        }
        self._wanted: dict[str, tuple[Any, list[Any]]] = {}
        self._arrived = threading.Barrier(len(experiments) + 1)
        self._left: set[str] = set()

    def member(self, experiment: Experiment) -> Callable[..., Iterator[Any]]:
        """What one experiment's runner calls instead of :func:`synergy_trainer.train`."""

        def train(
            settings: Any, runs: Sequence[Any], *, before_checkpoint: Callable[[], None], **_: Any
        ) -> Iterator[Any]:
            self._wanted[experiment.id] = (settings, list(runs))
            self._arrived.wait()
            while (event := self._queues[experiment.id].get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, threading.Event):
                    before_checkpoint()
                    event.set()
                else:
                    yield event

        return train

    def leave(self, experiment: Experiment) -> None:
        """An experiment needs nothing (more); stop waiting for it and writing to it."""
        self._left.add(experiment.id)
        if experiment.id not in self._wanted:
            self._wanted[experiment.id] = (None, [])
            self._arrived.wait()

    def train(self) -> None:
        """Train what the experiments want, and tell their queues when it ends or fails."""
        self._arrived.wait()
        # In the order given, not that of arrival: a model's place in a stack shows in its last bit.
        wanted = {name: self._wanted[name] for name in self._experiments if self._wanted[name][1]}
        ending: BaseException | None = None
        try:
            if wanted:
                self._train(wanted)
        except Exception as error:
            ending = error
        for name in self._queues:
            self._put(name, ending)

    def _train(self, wanted: dict[str, tuple[Any, list[Any]]]) -> None:
        import synergy_trainer as trainer

        # Parameters are compared within an experiment, which its scenario was checked for.
        shared = dataclasses.replace(next(iter(wanted.values()))[0], parameter_difference=None)
        runs, owners = [], {}
        for name, (settings, own) in wanted.items():
            for run in own:
                joined = f"{name}{SEPARATOR}{run.name}"
                whole = run.over(settings)
                runs.append(dataclasses.replace(run, name=joined, seed=whole.seed, task=whole.task))
                owners[joined] = (name, run.name)
        first = next(iter(wanted))
        folder = self._experiments[first].path / ".together"
        self._take_checkpoints(folder, owners)
        try:
            for event in trainer.train(
                shared,
                runs,
                device=self._device,
                directory=folder,
                resume=(folder / "checkpoints").exists(),
                should_stop=self._should_stop,
                before_checkpoint=self._drain,
            ):
                self._hand_out(event, folder, owners)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take_checkpoints(self, folder: Path, owners: dict[str, tuple[str, str]]) -> None:
        """Link what the experiments have into the folder of the whole, under joined names."""
        shutil.rmtree(folder, ignore_errors=True)
        for joined, (name, run) in owners.items():
            for file in self._experiments[name].checkpoints.glob(f"{run}-*.safetensors"):
                _link(file, folder / "checkpoints" / f"{joined}{file.name.removeprefix(run)}")

    def _hand_out(self, event: Any, folder: Path, owners: dict[str, tuple[str, str]]) -> None:
        import synergy_trainer as trainer
        from synergy_trainer.checkpoint import CheckpointFolder

        if getattr(event, "run", None) is None:
            for name in self._queues:
                self._put(name, event)
            return
        name, run = owners[event.run]
        own = CheckpointFolder(self._experiments[name].path)
        changes: dict[str, Any] = {"run": run}
        if isinstance(event, trainer.Checkpoint):
            changes["path"] = own.file(run, event.step)
            _link(event.path, changes["path"])
            own.prune(run)
        elif isinstance(event, trainer.RunFailed):
            # What failed for good must stay failed when the experiment is resumed on its own.
            for note in (folder / "checkpoints").glob(f"{event.run}.failed.json"):
                _link(note, own.path / f"{run}.failed.json")
        self._put(name, dataclasses.replace(event, **changes))

    def _drain(self) -> None:
        """Wait until every experiment has recorded what it was given."""
        marks = {name: threading.Event() for name in self._queues}
        for name, mark in marks.items():
            self._put(name, mark)
        for name, mark in marks.items():
            while name not in self._left and not mark.wait(timeout=1.0):
                pass

    def _put(self, name: str, event: Any) -> None:
        while name not in self._left:
            try:
                return self._queues[name].put(event, timeout=1.0)
            except queue.Full:
                continue
        return None


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, complete at once; copy where links do not exist."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.partial")
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:
        shutil.copyfile(source, aside)
    aside.replace(target)
