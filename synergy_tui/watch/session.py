"""The door: ``with watch(model, batch) as w: …; w.step(step, loss=loss)`` in somebody's loop."""

from __future__ import annotations

import atexit
import importlib.util
import logging
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments import kinds
from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import (
    SCENARIO,
    Experiment,
    create_experiment,
    find_experiment as find,
)
from synergy_tui.experiments.state import ExperimentState, outline
from synergy_tui.files import home, make_private, write_whole
from synergy_tui.running.behind import RecordingThread
from synergy_tui.running.recorder import Recorder, versions
from synergy_tui.scenario.models import AnalysisTable, Expect, Scenario, WatchedRun

if TYPE_CHECKING:
    from torch import nn

    from synergy_tui.watch.extract import Extracted

# Probes that may wait to be measured; further ones are left out, since training never waits.
PROBES_AHEAD = 2
# Probes that may fail one after another: their time is lost to the training.
TRIES = 3
_log = logging.getLogger("synergy_tui.watch")


class Watch:
    """Writes an experiment from inside a training; made by :func:`watch`.

    Attributes
    ----------
    experiment
        What is written, once the ``with`` block was entered; ``None`` where nothing can be.
    """

    def __init__(
        self,
        model: nn.Module,
        probe_batch: Any,
        scenario: Scenario,
        *,
        every: int,
        log_every: int,
        attention: Callable[..., Any] | None,
        steps: int | None,
        start: int,
        track: str | None,
        out: str | Path | None,
        into: str | None,
    ) -> None:
        self.experiment: Experiment | None = None
        self._run = scenario.runs[0].name
        self._made = (model, probe_batch, attention)
        self._scenario = scenario
        self._every, self._log_every = every, log_every
        self._steps, self._start = steps, start
        self._track = track
        self._tracking: subprocess.Popen[bytes] | None = None
        self._out, self._into = out, into
        self._process = os.getpid()
        self._files = ExitStack()
        self._entered = self._open = False
        self._measures, self._returned = True, False
        self._failures = 0  # of the newest probes, one after another
        self._unmeasured = 0  # changed by two threads; a probe too many or too few does no harm
        self._last: tuple[int, Any] | None = None  # the newest step, where it is not yet written
        self._at, self._probed = start, -1

    @property
    def active(self) -> bool:
        """Whether it writes: in no other process than rank 0's, nor after a failure."""
        return self._open and os.getpid() == self._process

    def __enter__(self) -> Self:
        self._entered = True
        if _rank() == 0:
            self._guarded(self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the log; what was raised in the block is raised further."""
        if error is None:
            self._close("finished", ExitCode.OK, "")
        elif isinstance(error, KeyboardInterrupt):
            self._close("stopped", ExitCode.INTERRUPTED, "interrupted with Ctrl-C")
        elif isinstance(error, Exception):
            self._close("failed", ExitCode.RUN_FAILED, _reason(error))
        else:
            self._close("stopped", ExitCode.TERMINATED, _reason(error))

    def step(
        self,
        step: int,
        loss: Any = None,
        *,
        accuracy: Any = None,
        tokens_per_second: float | None = None,
    ) -> None:
        """Report that ``step`` updates are done; probes at every ``every``-th of them.

        Never raises. Numbers may be tensors of one element: they are read, which waits for a GPU,
        only at the steps that are written.

        Parameters
        ----------
        step
            Updates so far.
        loss
            Mean loss of the batch, in nats.
        accuracy
            Of the batch, 0 to 1.
        tokens_per_second
            As measured by the loop.
        """
        if self.active:
            self._guarded(self._step, step, (loss, accuracy, tokens_per_second))
        elif not self._entered:
            self._entered = True  # said once
            _log.warning("nothing is watched before `with watch(…) as w:` is entered")

    def _guarded(self, action: Callable[..., None], *given: Any) -> None:
        """Do something of ours; should it fail, say so once and leave the training alone."""
        try:
            action(*given)
        except Exception as error:
            self._open = False
            reason = f"watching has stopped, training continues: {_reason(error)}"
            _log.warning("%s", reason)
            with suppress(Exception):
                self._threads.close()
            with suppress(Exception):  # on a full disk, say, the log stays as it is
                self._recorder.end("stopped", self._run, self._at, reason)
                self._recorder.finish(int(ExitCode.TERMINATED), reason, complete=False)
            with suppress(Exception):
                self._files.close()

    def _begin(self) -> None:
        from synergy_tui.watch.extract import Extractor

        self._extract = Extractor(*self._made)
        first, problem = None, ""
        try:
            first = self._extract()
        except Exception as error:  # the model is the user's, and perhaps a function
            problem = _not_run(error)
        if first is not None and not first.learned:
            table = self._scenario.analysis.model_copy(update={"weights": "uniform"})
            self._scenario = self._scenario.model_copy(update={"analysis": table})
        self.experiment, scenario = self._place()
        self._files.enter_context(self.experiment.lock(watched=True))
        if self._into is not None:
            write_whole(self.experiment.path / SCENARIO, scenario.as_toml())
        state = ExperimentState.read(self.experiment.events_path, outline)
        writer = self._files.enter_context(EventWriter(self.experiment.events_path))
        self._recorder = Recorder(self.experiment, scenario, writer, state)
        self._recorder.started()
        self._started(first)
        # Losses have a thread of their own, so that their curve moves while a probe is measured.
        self._threads = self._files.enter_context(ExitStack())
        self._recording, self._measuring = (
            self._threads.enter_context(RecordingThread(record, ahead=PROBES_AHEAD))
            for record in (self._recorder.write, self._measure)
        )
        self._start_tracker(self.experiment)
        atexit.register(self._left)
        self._open = True
        if first is None:
            self._without_attention(problem)
        else:
            self._put_probe(self._start, first)
        _log.info("`synergy attach %s` shows this training live", self.experiment.reference)

    def _place(self) -> tuple[Experiment, Scenario]:
        """Make the experiment, or find the one to append to; return it and its scenario."""
        if self._into is None:
            # With its parents: a folder that is missing shall not cost a training its log.
            return create_experiment(self._scenario, make_private(home(self._out))), self._scenario
        found = find(self._into, self._out)
        if not found.watched:
            raise ValueError(f"{found.id} is not a watched training, and cannot be appended to")
        known = found.scenario()
        others = [run for run in known.runs if run.name != self._run]
        expected = {each.that: each for each in (*known.expect, *self._scenario.expect)}
        changes = {"runs": [*others, *self._scenario.runs], "expect": list(expected.values())}
        return found, known.model_copy(update=changes)

    def _start_tracker(self, experiment: Experiment) -> None:
        if self._track is None:
            return
        from synergy_tui.export.track import start

        try:
            self._tracking = start(experiment, self._track)
        except OSError as error:
            _log.warning("--track %s was not started: %s", self._track, _reason(error))

    def _started(self, first: Extracted | None) -> None:
        recorder, model = self._recorder, self._extract.model
        if self._run in recorder.state.runs and recorder.state.runs[self._run].device:
            recorder.write(kinds.RunResumed(run=self._run, step=self._start))
            return
        shape = (1, 1, 1) if first is None else first.snapshot.attention.shape[1:4]
        recorder.write(
            kinds.RunStarted(
                run=self._run,
                parameters=sum(each.numel() for each in model.parameters()),
                layers=shape[0],
                heads=shape[1],
                nodes=shape[2],
                device=str(self._extract.device or "cpu"),
                steps=self._steps,
                kind_of_run="watched",
                note=recorder.scenario.run(self._run).note,
            )
        )

    def _step(self, given: Any, numbers: tuple[Any, ...]) -> None:
        step = int(given)
        if step < self._at and not self._returned:
            self._returned = True  # said once
            message = f"step {step} follows step {self._at}: steps count all updates, over epochs"
            self._recording.put(kinds.Warning(run=self._run, message=message))
            _log.warning("%s", message)
        self._at = step
        # A loss as it is would keep its graph, and with it what the user wants freed.
        self._last = (step, tuple(map(_detached, numbers)))
        if step % self._log_every == 0:
            self._put_step()
        if self._measures and step % self._every == 0 and step != self._probed:
            self._probe(step, final=step == self._steps)

    def _put_step(self) -> None:
        if self._last is None:
            return
        step, numbers = self._last
        self._last = None
        loss, accuracy, rate = (None if each is None else float(each) for each in numbers)
        if step < 1 or loss is None:
            return  # step 0 is before any update
        self._recording.put(
            kinds.TrainStep(
                run=self._run, step=step, loss=loss, accuracy=accuracy, tokens_per_second=rate
            )
        )

    def _probe(self, step: int, *, final: bool = False) -> None:
        if self._unmeasured >= PROBES_AHEAD and not final:
            return  # a probe is left out, for training does not wait
        try:
            found = self._extract()
        except Exception as error:
            self._failed(step, error)
            return
        self._failures = 0
        self._put_probe(step, found, final=final)

    def _failed(self, step: int, error: Exception) -> None:
        """Try again at the next probe (memory may be free by then), unless that cannot help."""
        self._failures += 1
        if self._failures == TRIES or _is_hopeless(error):
            self._without_attention(_not_run(error))
        elif self._failures == 1:
            self._warn(f"attention was not measured at step {step}: {_not_run(error)}")

    def _put_probe(self, step: int, found: Extracted, *, final: bool = False) -> None:
        self._probed = step
        self._unmeasured += 1
        self._measuring.put((step, found, final))

    def _without_attention(self, problem: str) -> None:
        """Continue with the losses alone."""
        self._measures = False
        when = "not" if self._probed < 0 else "no longer"
        self._warn(f"attention is {when} measured: {problem}")

    def _warn(self, message: str) -> None:
        self._recording.put(kinds.Warning(run=self._run, message=message))
        _log.warning("%s: %s", self._run, message)

    def _measure(self, probe: tuple[int, Extracted, bool]) -> None:
        """Measure a probe and write it; in the measuring thread."""
        from synergy_engine.errors import EngineError

        step, found, final = probe
        try:
            self._recorder.probe(self._run, step, found.snapshot, final=final, loss=found.loss)
        except (EngineError, MemoryError) as error:
            reason = str(error) or "there was not enough memory to measure it"
            self._recorder.warn(f"probe at step {step}: {reason}", self._run)
        finally:
            self._unmeasured -= 1

    def _left(self) -> None:
        self._close("stopped", ExitCode.TERMINATED, "the process ended before its watch was closed")

    def _close(self, how: str, code: ExitCode, reason: str) -> None:
        if self.active:
            self._guarded(self._end, how, code, reason)
        self._open = False

    def _end(self, how: str, code: ExitCode, reason: str) -> None:
        atexit.unregister(self._left)
        self._put_step()
        if how == "finished" and self._measures and self._probed != self._at:
            self._probe(self._at, final=True)
        self._threads.close()
        self._recorder.end(how, self._run, self._at, reason)
        self._recorder.finish(int(code), reason, complete=how == "finished")
        self._files.close()
        if self._tracking is not None:
            from synergy_tui.export.track import ended

            assert self._track is not None
            assert self.experiment is not None
            # A batch system ends what a job leaves behind, so what is not sent now may never be.
            if problem := ended(self._tracking, self._track, self.experiment):
                _log.warning("%s", problem)


def watch(
    model: nn.Module,
    probe_batch: Any,
    *,
    every: int = 100,
    log_every: int = 10,
    attention: Callable[..., Any] | None = None,
    name: str = "watched",
    run: str = "model",
    title: str = "",
    expect: Sequence[str] = (),
    steps: int | None = None,
    start: int = 0,
    convention: str = "theory",
    keep: str = "all",
    track: str | None = None,
    out: str | Path | None = None,
    into: str | None = None,
) -> Watch:
    """Watch a training of your own: ``with watch(model, batch) as w:``, and ``w.step`` in the loop.

    Its experiment is written from this process and opened like any other: ``synergy attach last``.
    Watching never raises into the training (one warning is logged, and training continues
    unwatched), leaves every module's mode and all random numbers as they were, and measures in a
    thread of its own. Only rank 0 of a distributed training writes.

    Parameters
    ----------
    model
        Any PyTorch module with causal attention: a Hugging Face model, or one that calls
        ``scaled_dot_product_attention`` or ``nn.MultiheadAttention``; compiled and DDP modules are
        looked into.
    probe_batch
        The same few held-out inputs at every probe: a tensor, a tuple of positional arguments or a
        mapping of keyword arguments of ``model``, without padding. B inputs of n tokens cost
        O(B · layers · heads · n^2) memory.
    every, log_every
        Probe, and write the loss, at each step that is a multiple.
    attention
        For other modules, ``attention(model, probe_batch)`` → one array (B, heads, n, n) per
        layer, [query, key], rows summing to one.
    name, title
        Of the experiment; ``run`` of the run in it, as expectations name it.
    expect
        What must hold in the end, such as ``"model.loss < 0.5"``.
    steps
        Updates planned, where known.
    start
        Updates made before this one, of a training that was resumed.
    convention
        By which attention is measured, as in ``synergy analyze``.
    keep
        Probes whose attention stays on disk: all, last, none, or every:N.
    track
        "wandb" or "tensorboard": a process of its own sends there what the log holds, as
        ``synergy run --track`` does; leaving the block waits up to a minute for it.
    out
        Folder of the experiments, as ``--out`` of the commands.
    into
        A watched experiment to append to, by id or directory.

    Raises
    ------
    ValueError
        At once, for arguments that cannot be meant, such as an expectation with a typo.
    """
    for key, value in (("every", every), ("log_every", log_every)):
        if value < 1:
            raise ValueError(f"{key} is a whole number of at least 1, not {value}")
    if track is not None:
        _require_tracker(track)
    scenario = Scenario(
        name=name,
        title=title or name,
        analysis=AnalysisTable.model_validate({"convention": convention, "keep": keep}),
        runs=[WatchedRun(name=run, watched=True)],
        expect=[Expect(that=each) for each in expect],
        versions=versions(),
    )
    return Watch(
        model,
        probe_batch,
        scenario,
        every=every,
        log_every=log_every,
        attention=attention,
        steps=steps,
        start=start,
        track=track,
        out=out,
        into=into,
    )


def _require_tracker(name: str) -> None:
    """Raise a ValueError where there is no such tracker, without importing it into the training."""
    from synergy_tui.export.track import TRACKERS

    if name not in TRACKERS:
        raise ValueError(f"track is one of {', '.join(TRACKERS)}, not {name!r}")
    if importlib.util.find_spec(name) is None:
        install = f'python -m pip install "synergy-heads[{TRACKERS[name]}]"'
        raise ValueError(f"track: {name} is not installed; {install}")


def _rank() -> int:
    """Return this process's rank, also before the process group is made (torchrun sets RANK)."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    given = os.environ.get("RANK", "0")
    return int(given) if given.isdigit() else 0


def _detached(value: Any) -> Any:
    return value.detach() if hasattr(value, "detach") else value


def _is_hopeless(error: Exception) -> bool:
    """Whether the model is of a kind whose attention cannot be measured."""
    return type(error).__name__ == "NoAttentionError"


def _not_run(error: Exception) -> str:
    if _is_hopeless(error):
        return str(error)
    return f"the model cannot be run on the probe batch: {_reason(error)}"


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())  # CUDA's have several lines
    if isinstance(error, UserError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
