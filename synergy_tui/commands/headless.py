"""What a run without the app shows: progress, plain lines, JSON lines, and a closing table.

People's text goes to stderr; stdout carries the event stream of ``--json`` and nothing else.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import IO, TYPE_CHECKING, Literal, Protocol

from synergy_tui.errors import ExitCode
from synergy_tui.experiments.events import Event, encode
from synergy_tui.experiments.metrics import metric
from synergy_tui.experiments.state import ExperimentState, RunState
from synergy_tui.experiments.verdict import verdict
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.words import show_value

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from synergy_tui.experiments.experiment import Experiment

Style = Literal["progress", "plain", "quiet", "json"]
# A plain line tells of every tenth of a training, and nothing in between.
PLAIN_LINES = 10

COLUMNS: tuple[tuple[str, str], ...] = (
    ("parameters", "parameters"),
    ("loss", "loss (nats)"),
    ("accuracy", "accuracy"),
    ("hitting_time", "steps to sink"),
    ("mixing_time", "mixing time"),
    ("fidelity", "minimax fidelity"),
    ("amplification", "amplification"),
)


class View(Protocol):
    """Shows an experiment while its events come."""

    def show(self, event: Event, state: ExperimentState) -> None:
        """Show one event; ``state`` includes it."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Headless:
    """Listens to a run and shows it.

    Parameters
    ----------
    style
        ``progress`` draws bars (for terminals), ``plain`` writes a line now and then, ``quiet``
        only what went wrong, ``json`` the events on stdout.
    state
        What the log held before, for a run that is resumed.
    """

    def __init__(self, style: Style, state: ExperimentState | None = None) -> None:
        self.state = state or ExperimentState()
        self._guard = threading.Lock()
        self._view: View
        if style == "json":
            self._view = JsonLines(sys.stdout.buffer)
        elif style == "progress":
            self._view = ProgressBars()
        else:
            self._view = PlainLines(quiet=style == "quiet")

    def __call__(self, event: Event) -> None:
        """Take one event, from any thread."""
        with self._guard:
            self.state.apply(event)
            self._view.show(event, self.state)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._view.close()


class JsonLines:
    """Writes each event as it is in the log."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def show(self, event: Event, state: ExperimentState) -> None:
        """Write the event and flush, so that a pipe sees it now."""
        self._stream.write(encode(event))
        self._stream.flush()

    def close(self) -> None:
        """Nothing is open."""


class PlainLines:
    """Writes a line for what matters, for logs and pipes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._told: dict[str, int] = {}

    def show(self, event: Event, state: ExperimentState) -> None:
        """Write a line where the event deserves one."""
        kind = event["kind"]
        if kind in ("warning", "run_failed"):
            _say(_incident(event))
        elif self._quiet:
            return
        elif kind == "experiment_started":
            _say(state.title)
        elif kind in ("run_started", "run_resumed"):
            _say(_started(state.runs[event["run"]], event))
        elif kind == "train_step" and self._due(event, state):
            _say(_progress(state))
        elif kind in ("run_finished", "run_stopped"):
            reason = f": {event['reason']}" if event.get("reason") else ""
            _say(f"{event['run']} {kind.removeprefix('run_')} at step {event['step']}{reason}")

    def _due(self, event: Event, state: ExperimentState) -> bool:
        """Whether the last run has just passed another tenth of its steps."""
        if event["run"] != list(state.runs)[-1] or not state.total_steps:
            return False
        tenth = event["step"] * PLAIN_LINES // state.total_steps
        if self._told.get("tenth") == tenth:
            return False
        self._told["tenth"] = tenth
        return True

    def close(self) -> None:
        """Nothing is open."""


class ProgressBars:
    """Draws a bar for each trained run, on a terminal."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = stderr_console()
        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
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
            self._print(state.title, style="bold")
        elif kind in ("run_started", "run_resumed"):
            run = state.runs[event["run"]]
            self._print(_started(run, event))
            if run.total_steps:
                self._tasks[run.name] = self._progress.add_task(
                    run.name, total=run.total_steps, completed=run.step, numbers=""
                )
        elif kind in ("train_step", "probe") and event["run"] in self._tasks:
            run = state.runs[event["run"]]
            self._progress.update(self._tasks[run.name], completed=run.step, numbers=_numbers(run))

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()


def stderr_console() -> Console:
    """Return a rich console on stderr; plain where that is no terminal or ``NO_COLOR`` is set."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def closing(state: ExperimentState, *, quiet: bool = False) -> None:
    """Write the closing table, the expectations and the verdict to stderr.

    Parameters
    ----------
    quiet
        Only what failed.
    """
    console = stderr_console()
    if not console.is_terminal:
        console.width = 200
    failed = [event for event in state.expectations if not event["holds"]]
    if not quiet:
        console.print(run_table(state))
    if state.expectations and (failed or not quiet):
        console.print(expectation_table(failed if quiet else state.expectations))
    if quiet:
        return
    found = verdict(state)
    console.print(f"verdict  {found.line}", markup=False, soft_wrap=True)
    for detail in found.details:
        console.print(f"         {detail}", markup=False, soft_wrap=True)
    if found.convention:
        console.print(f"         by {found.convention}", markup=False, soft_wrap=True)


def run_table(state: ExperimentState) -> Table:
    """Return runs and their numbers as a table."""
    from rich.table import Table

    rows = [(run, [cell(run, name) for name, _ in COLUMNS]) for run in state.runs.values()]
    shown = [
        index for index in range(len(COLUMNS)) if any(cells[index] != "–" for _, cells in rows)
    ]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("run", no_wrap=True)
    table.add_column("heads", justify="right")
    for index in shown:
        table.add_column(COLUMNS[index][1], justify="right", overflow="fold")
    table.add_column("state", overflow="fold")
    for run, cells in rows:
        ended = run.status if not run.reason else f"{run.status}: {run.reason}"
        table.add_row(run.name, str(run.heads), *(cells[index] for index in shown), ended)
    return table


def cell(run: RunState, name: str) -> str:
    """Return a run's number for a person; ``–`` where it has none."""
    try:
        value = metric(run, name)
    except UndecidedError:
        return "–"
    if isinstance(value, float) and math.isnan(value):
        return "–"
    if name == "parameters" and isinstance(value, float):
        return f"{value:,.0f}"
    return show_value(value, exact=run.kind == "designed")


def expectation_table(expectations: list[Event]) -> Table:
    """Return expectations with both sides' values as a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("", "expectation", "left", "right", ""):
        number = title in ("left", "right")
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for event in expectations:
        holds = bool(event["holds"])
        mark = Text("✓ holds" if holds else "✗ fails", style="green" if holds else "bold red")
        table.add_row(
            mark,
            Text(str(event["that"])),
            show_value(event.get("left")),
            show_value(event.get("right")),
            Text(str(event.get("reason") or event.get("because") or "")),
        )
    return table


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _incident(event: Event) -> str:
    who = f"{event['run']}: " if event.get("run") else ""
    if event["kind"] == "warning":
        return f"warning: {who}{event['message']}"
    return f"failed: {who}{event.get('reason', '')} (step {event.get('step', 0)})"


def _started(run: RunState, event: Event) -> str:
    if event["kind"] == "run_resumed":
        return f"{run.name} goes on from step {max(0, event['step'])}"
    heads = "1 head" if run.heads == 1 else f"{run.heads} heads"
    parts = [heads]
    if run.parameters is not None:
        parts.append(f"{run.parameters:,} parameters")
    if run.total_steps:
        parts += [f"{run.task}, {run.nodes} tokens", f"{run.total_steps} steps on {run.device}"]
    else:
        parts.append(f"{run.nodes} nodes, {run.kind}")
    return f"{run.name}: {', '.join(parts)}"


def _numbers(run: RunState) -> str:
    parts = []
    for name, label in (
        ("loss", "loss"),
        ("hitting_time", "to sink"),
        ("fidelity", "fidelity"),
    ):
        shown = cell(run, name)
        if shown != "–":
            parts.append(f"{label} {shown}")
    return " · ".join(parts)


def _progress(state: ExperimentState) -> str:
    runs = [f"{run.name} {_numbers(run)}" for run in state.runs.values() if run.total_steps]
    return f"step {state.step}/{state.total_steps}  {state.elapsed:.0f} s  " + "  |  ".join(runs)


def next_steps(experiment: Experiment, exit_code: int, state: ExperimentState) -> list[str]:
    """Return what a person can do after a run that did not come to its end."""
    kept = any(experiment.checkpoints.glob("*.safetensors"))
    resume = f"Go on with `synergy resume {experiment.id}`."
    lines = []
    if any(run.status == "stopped" for run in state.runs.values()):
        kept_at = " after a checkpoint" if kept else ""
        lines.append(f"Stopped at step {state.step}{kept_at}: {state.reason}. {resume}")
    elif exit_code == ExitCode.RUN_FAILED:
        lines.append(f"The run failed: {state.reason}")
        if experiment.log_path.exists():
            lines.append(f"Details: {experiment.log_path}")
        if kept:
            lines.append(f"Its checkpoints are kept. {resume}")
    return lines
