"""Executes a scenario into its experiment directory: where trainer and engine meet."""

from __future__ import annotations

import datetime
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from synergy_tui.errors import ExitCode, UserError, for_commands
from synergy_tui.experiments import kinds
from synergy_tui.experiments.events import Event, EventWriter
from synergy_tui.experiments.experiment import RESERVE, Experiment
from synergy_tui.experiments.state import ExperimentState, outline
from synergy_tui.files import open_own
from synergy_tui.running.behind import RecordingThread
from synergy_tui.running.preflight import refuse_hopeless
from synergy_tui.running.recorder import NO_ROOM, Recorder
from synergy_tui.running.resources import ResourceMonitor
from synergy_tui.running.signals import Stopper
from synergy_tui.scenario import DesignedRun, FamilyRun, LoadedRun, TrainedRun, WatchedRun
from synergy_tui.scenario.training import matches_of, training_of

Train = Callable[..., Iterator[Any]]

# Probes of each run that may wait to be measured; then training waits for them.
PROBES_AHEAD = 2
RESERVED_BYTES = 256 * 1024


def run_experiment(
    experiment: Experiment,
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] | None = None,
    threads: int | None = None,
    listener: Callable[[Event], None] | None = None,
    train: Train | None = None,
) -> int:
    """Execute an experiment's scenario, or resume it, and return its exit code.

    Runs that are finished are not run again; trained ones continue from their newest checkpoints.
    ``should_stop`` is asked between steps; once true, runs are checkpointed and stop. A `Stopper`
    also says why, and with which exit code. ``listener`` is called with every event after it is in
    the log. ``train`` is called in place of :func:`synergy_trainer.train`, with the same arguments:
    so several experiments train as one ensemble, and several processes on one batch.

    A `UserError` says that another process writes this experiment, or that its scenario cannot be
    read.
    """
    stopper = should_stop if isinstance(should_stop, Stopper) else Stopper(asked=should_stop)
    experiment.require_ours()
    with experiment.lock():
        scenario = experiment.scenario()
        state = ExperimentState.read(experiment.events_path, outline)
        _reserve(experiment)
        mask = os.umask(0o077)  # what the trainer writes is as private as the rest
        try:
            with EventWriter(experiment.events_path, listener) as writer:
                recorder = Recorder(experiment, scenario, writer, state)
                execution = _Execution(recorder, device, stopper, threads, train)
                return execution.run()
        finally:
            os.umask(mask)
            (experiment.path / RESERVE).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Execution:
    recorder: Recorder
    device: str
    stopper: Stopper
    threads: int | None
    train: Train | None

    def run(self) -> int:
        recorder = self.recorder
        monitor = ResourceMonitor(lambda **used: recorder.write(kinds.Resources(**used)))
        code, reason, stopped = int(ExitCode.OK), "", False
        try:
            recorder.started()
            monitor.start()
            self._runs()
            stopped = any(self._unended(run.name) for run in self.recorder.scenario.runs)
            if stopped and self.stopper():
                code, reason = self.stopper.exit_code, self.stopper.reason
        except UserError as error:
            code, reason = int(error.exit_code), error.message
        except OSError as error:
            log_exception(recorder.experiment)
            code, reason = int(ExitCode.RUN_FAILED), _explain(error)
            if error.errno in NO_ROOM:
                (recorder.experiment.path / RESERVE).unlink(missing_ok=True)
        except MemoryError:
            log_exception(recorder.experiment)
            code, reason = int(ExitCode.RUN_FAILED), "there was not enough memory"
        except Exception as error:
            log_exception(recorder.experiment)
            code, reason = _classified(error)
        finally:
            monitor.stop()
        return self._close(code, reason, stopped)

    def _close(self, code: int, reason: str, stopped: bool) -> int:
        recorder = self.recorder
        for line in recorder.details:
            append_log(recorder.experiment, line)
        try:
            if code != ExitCode.OK:
                for run in self.recorder.scenario.runs:
                    state = recorder.state.runs.get(run.name)
                    if state is None or state.status in ("running", "waiting"):
                        how = "stopped" if stopped else "failed"
                        recorder.end(how, run.name, state.step if state else 0, reason)
            return recorder.finish(code, reason, complete=not stopped)
        except OSError as error:
            # Not even the closing event fits. What is in the log stays readable and resumable.
            with suppress(OSError):
                log_exception(recorder.experiment)
            raise UserError(
                f"Experiment {recorder.experiment.id}: {_explain(error)}",
                hint=f"Make room, then continue with `synergy resume {recorder.experiment.id}`.",
                exit_code=ExitCode.RUN_FAILED,
            ) from error

    def _runs(self) -> None:
        trained = [run for run in self.recorder.scenario.trained if self._unfinished(run.name)]
        if trained:
            threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
        if self.threads is not None:
            import synergy_engine as engine

            engine.set_threads(self.threads)
        for run in self.recorder.scenario.runs:
            if isinstance(run, TrainedRun | WatchedRun) or not self._unfinished(run.name):
                continue
            if not self.stopper():
                self._measure(run)
        if trained and not self.stopper():
            self._train()

    def _unfinished(self, name: str) -> bool:
        run = self.recorder.state.runs.get(name)
        return run is None or run.status != "finished"

    def _unended(self, name: str) -> bool:
        run = self.recorder.state.runs.get(name)
        return run is None or run.status not in ("finished", "failed")

    def _measure(self, run: DesignedRun | FamilyRun | LoadedRun) -> None:
        import synergy_engine as engine
        from synergy_tui.running.systems import build_system, load_run

        # A large graph takes minutes; the engine asks between its kernels whether to continue.
        with suppress(engine.Cancelled), engine.watch(lambda *_: not self.stopper()):
            if isinstance(run, LoadedRun):
                loaded = load_run(run, self.recorder.scenario)
                for note in loaded.notes:
                    self.recorder.warn(note, run.name)
                self.recorder.load(run.name, loaded, note=run.note)
            else:
                system = build_system(run, self.recorder.scenario)
                self.recorder.simulate(run.name, system, note=run.note)

    def _train(self) -> None:
        import torch

        import synergy_trainer as trainer

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        settings, runs = training_of(self.recorder.scenario)
        refuse_hopeless(settings, runs, self.device)
        for match in matches_of(self.recorder.scenario):
            if self.recorder.state.runs[match.run.name].total_steps is None:  # never started
                self.recorder.warn(match.message)

        def record(event: trainer.Event) -> None:
            if isinstance(event, trainer.RunStopped):
                self.recorder.end("stopped", event.run, event.step, self.stopper.reason)
            else:
                self.recorder.record(event)

        train = self.train or trainer.train
        with RecordingThread(record, ahead=PROBES_AHEAD * len(runs)) as recording:
            for event in train(
                settings,
                runs,
                device=self.device,
                directory=self.recorder.experiment.path,
                resume=self.recorder.experiment.checkpoints.exists(),
                should_stop=self.stopper,
                before_checkpoint=recording.drain,
            ):
                recording.put(event, slow=isinstance(event, trainer.Probe))


def append_log(experiment: Experiment, text: str) -> None:
    """Append a line with the time to ``worker.log``."""
    now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    descriptor = open_own(experiment.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{now} {text}\n".encode())
    finally:
        os.close(descriptor)


def log_exception(experiment: Experiment) -> None:
    """Append the current exception's traceback to ``worker.log``, if that can be written."""
    with suppress(OSError):
        append_log(experiment, traceback.format_exc())


def _reserve(experiment: Experiment) -> None:
    """Set some disk aside, so that the closing events fit when the disk fills up."""
    with suppress(OSError):
        path = experiment.path / RESERVE
        descriptor = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(descriptor, bytes(RESERVED_BYTES))
        finally:
            os.close(descriptor)


def _explain(error: OSError) -> str:
    if error.errno in NO_ROOM:
        return "the disk is full (or a quota or file-size limit was reached)"
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _classified(error: Exception) -> tuple[int, str]:
    """Distinguish input that the libraries refuse from failures of the run."""
    from synergy_engine.errors import EngineError
    from synergy_trainer.errors import TrainerError

    if isinstance(error, EngineError | TrainerError):
        return int(ExitCode.BAD_INPUT), for_commands("; ".join(error.problems))
    return int(ExitCode.RUN_FAILED), f"{type(error).__name__}: {error} (see worker.log)"


def _warm_up() -> None:
    """Have the engine's kernels ready while torch is being imported."""
    import synergy_engine as engine

    with suppress(Exception):
        engine.warm_up()
