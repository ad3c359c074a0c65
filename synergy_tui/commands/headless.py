"""What a run without the app shows: progress, plain lines, JSON lines, and a closing table.

People's text goes to stderr; stdout carries the event stream of ``--json`` and nothing else.
"""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Literal

from synergy_tui.commands.presentation import print_expectations, print_runs, print_scoreboard
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import Event, encode
from synergy_tui.experiments.metrics import averaged_record, metric
from synergy_tui.experiments.state import ExperimentState, RunState, outline
from synergy_tui.experiments.verdict import scoreboard
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.streams import Outlet, outlet_of
from synergy_tui.words import changes, clean, clean_lines, counted, duration, show_value

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from synergy_tui.experiments.experiment import Experiment

Style = Literal["progress", "plain", "quiet", "json"]
# Plain lines report every tenth of a training, and at least this often.
PLAIN_LINES = 10
PLAIN_SECONDS = 60.0


class View:
    """Shows an experiment while its events come."""

    def show(self, event: Event, state: ExperimentState) -> None:
        """Show one event; ``state`` includes it."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Headless:
    """Listens to a run and shows it.

    ``progress`` draws bars (for terminals), ``plain`` writes a line now and then, ``quiet`` only
    what went wrong, ``json`` the events on stdout. ``state`` is what the log contained before, for
    a run that is resumed.
    """

    def __init__(self, style: Style, state: ExperimentState | None = None) -> None:
        self.state = state or ExperimentState(outline)
        self.outlet = outlet_of(sys.stdout if style == "json" else sys.stderr)
        """What all of it is written to, unless a test has put something in its place."""
        self._guard = threading.Lock()
        self._view = _view(style, self.outlet)

    def __call__(self, event: Event) -> None:
        """Take one event, from any thread."""
        with self._guard:
            self.state.apply(event)
            self._view.show(event, self.state)

    def close(self) -> None:
        self._view.close()


def _view(style: Style, outlet: Outlet | None) -> View:
    if style == "json":
        return JsonLines(sys.stdout.buffer if outlet is None else io.BufferedWriter(outlet))
    return ProgressBars() if style == "progress" else PlainLines(quiet=style == "quiet")


class JsonLines(View):
    """Writes each event as it is in the log."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def show(self, event: Event, state: ExperimentState) -> None:
        """Flush after each event, so that a pipe sees it now."""
        self._stream.write(encode(event))
        self._stream.flush()


class PlainLines(View):
    """Writes a line for what matters, for logs and pipes; ``clock`` gives seconds."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._reported = -1
        self._spoke = clock()

    def show(self, event: Event, state: ExperimentState) -> None:
        """Write about an event; any kind serves as the tick of the clock."""
        kind = event["kind"]
        if kind in ("warning", "run_failed"):
            self._write(_incident(event))
        elif self._quiet:
            return
        elif kind == "experiment_started":
            self._write(clean(state.title))
        elif kind in ("run_started", "run_resumed"):
            self._write(_started(state.runs[event["run"]], event))
        elif kind in ("run_finished", "run_stopped"):
            reason = f": {event['reason']}" if event.get("reason") else ""
            ending = kind.removeprefix("run_")
            self._write(f"{event['run']} {ending} at step {event['step']:,}{reason}")
        elif self._tenth(event, state) or self._clock() - self._spoke >= PLAIN_SECONDS:
            self._write(_progress(state))

    def _write(self, text: str) -> None:
        _say(text)
        self._spoke = self._clock()

    def _tenth(self, event: Event, state: ExperimentState) -> bool:
        """Whether the last run has just passed another tenth of its steps."""
        if event["kind"] != "train_step" or not state.total_steps:
            return False
        if event["run"] != list(state.runs)[-1]:
            return False
        tenth = event["step"] * PLAIN_LINES // state.total_steps
        due = tenth != self._reported
        self._reported = tenth
        return due


class ProgressBars(View):
    """Draws a bar for each trained run, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def show(self, event: Event, state: ExperimentState) -> None:
        """Move the bar of the event's run; write what matters above the bars."""
        kind = event["kind"]
        if kind in ("warning", "run_failed"):
            self._print(_incident(event), style="yellow" if kind == "warning" else "red")
        elif kind == "experiment_started":
            self._print(clean(state.title), style="bold")
        elif kind in ("run_started", "run_resumed"):
            run = state.runs[event["run"]]
            self._print(_started(run, event))
            if run.total_steps:
                self._tasks[run.name] = self._progress.add_task(
                    clean(run.name), total=run.total_steps, completed=run.step, numbers=""
                )
        elif kind in ("train_step", "probe") and event["run"] in self._tasks:
            run = state.runs[event["run"]]
            self._progress.update(self._tasks[run.name], completed=run.step, numbers=_numbers(run))

    def _print(self, text: str, style: str | None = None) -> None:
        text = clean_lines(text)
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()


def closing(state: ExperimentState, *, quiet: bool = False) -> None:
    """Write the closing table, the expectations and the verdict to stderr; only what failed when
    ``quiet``.
    """
    failed = [event for event in state.expectations if not event.get("holds")]
    if quiet:
        if failed:
            print_expectations(failed, err=True)
        return
    print_runs([averaged_record(run) for run in state.runs.values()], ("run", "status"), err=True)
    if state.expectations:
        print_expectations(state.expectations, err=True)
    print_scoreboard(scoreboard(state), err=True)


def _say(text: str) -> None:
    echo(text, err=True)


def _incident(event: Event) -> str:
    who = f"{event['run']}: " if event.get("run") else ""
    if event["kind"] == "warning":
        return f"warning: {who}{event['message']}"
    return f"failed: {who}{event.get('reason', '')} (step {event.get('step', 0):,})"


def _started(run: RunState, event: Event) -> str:
    if event["kind"] == "run_resumed":
        return f"{run.name} continues from step {event['step']:,}"
    parts = [counted(run.heads, "head")]
    if run.interventions:
        parts.append(changes(run.interventions))
    if run.parameters is not None:
        parts.append(f"{run.parameters:,} parameters")
    if run.total_steps:
        parts += [f"{run.task}, {run.nodes} tokens", f"{run.total_steps:,} steps on {run.device}"]
    else:
        parts += [counted(run.layers, "layer")] * (run.kind == "loaded")
        parts.append(f"{run.nodes} nodes, {run.kind}")
    return f"{run.name}: {', '.join(parts)}"


def _numbers(run: RunState) -> str:
    parts = []
    for name, label in (("loss", "loss"), ("hitting_time", "to sink"), ("fidelity", "fidelity")):
        with suppress(UndecidedError):
            text = show_value(metric(run, name), exact=run.kind == "designed")
            if text != "–":
                parts.append(f"{label} {text}")
    return " · ".join(parts)


def _progress(state: ExperimentState) -> str:
    elapsed = duration(state.elapsed)
    if not state.total_steps:
        measuring = [run.name for run in state.runs.values() if run.status == "running"]
        return f"{elapsed}  measuring {', '.join(measuring)}"
    runs = [
        f"{run.name} {numbers}"
        for run in state.runs.values()
        if run.total_steps and (numbers := _numbers(run))
    ]
    line = "  ".join([f"step {state.step:,}/{state.total_steps:,}", elapsed, "  |  ".join(runs)])
    probe = max((run.probes[-1].step for run in state.runs.values() if run.probes), default=None)
    # What a probe measured is not of a later step.
    if probe in (None, state.step):
        return line.rstrip()
    return f"{line.rstrip()}  (probe at step {probe:,})"


def next_steps(experiment: Experiment, exit_code: int, state: ExperimentState) -> list[str]:
    """Return what a person can do after a run that did not finish."""
    kept = any(experiment.checkpoints.glob("*.safetensors"))
    resume = f"Continue with `synergy resume {experiment.id}`."
    lines = []
    if any(run.status == "stopped" for run in state.runs.values()):
        kept_at = " after a checkpoint" if kept else ""
        lines.append(f"Stopped at step {state.step:,}{kept_at}: {state.reason}. {resume}")
    elif exit_code == ExitCode.RUN_FAILED:
        lines.append(f"The run failed: {state.reason}")
        if experiment.log_path.exists():
            lines.append(f"Details: {experiment.log_path}")
        if kept:
            lines.append(f"Its checkpoints are kept. {resume}")
    return lines
