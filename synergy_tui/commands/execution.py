"""What the commands that start or show experiments have in common."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.files import remove_whole

if TYPE_CHECKING:
    from synergy_tui.commands.headless import Style
    from synergy_tui.experiments.state import ExperimentState
    from synergy_tui.running.signals import Stopper


def terminal_is_interactive() -> bool:
    """Whether the app can be opened here."""
    from synergy_tui.app.terminal import require_terminal

    try:
        require_terminal()
    except UserError:
        return False
    return sys.stdout.isatty()


def prepare(
    name: str,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
) -> Experiment:
    """Check a scenario, the files that it names and the device, and make its experiment."""
    from synergy_tui.running.preflight import check_device, input_problems
    from synergy_tui.scenario import find_scenario, load_scenario

    scenario = load_scenario(
        find_scenario(name), overrides=overrides, seed=seed, inputs=input_problems
    )
    if scenario.sweep is not None:
        raise UserError(
            f"{name} describes many experiments ([sweep]).", hint=f"Run it: `synergy sweep {name}`."
        )
    check_device(device)
    from synergy_tui.running.recorder import versions

    return create_experiment(scenario.model_copy(update={"versions": versions()}), out)


def execute(
    experiment: Experiment,
    *,
    no_ui: bool,
    as_json: bool,
    quiet: bool,
    device: str,
    timeout: float | None,
    ascii_only: bool | None,
    junit: Path | None = None,
    tracker: str | None = None,
    new: bool = False,
) -> int:
    """Run an experiment as the options of :func:`run_options` say; return its exit code.

    A ``new`` one that could not even be begun is removed again.
    """
    foreground = no_ui or as_json or quiet or junit is not None or not terminal_is_interactive()
    if not foreground:
        if tracker is not None:
            _tracked(experiment, tracker)
        return show_in_app(experiment, device=device, timeout=timeout, ascii_only=ascii_only)
    style: Style = "progress" if sys.stderr.isatty() else "plain"
    if as_json or quiet:
        style = "json" if as_json else "quiet"
    try:
        tracking = None if tracker is None else _tracked(experiment, tracker)
        code = _execute_in_foreground(experiment, style, device, timeout, junit)
        if tracker is not None and tracking is not None:
            from synergy_tui.export.track import ended

            if problem := ended(tracking, tracker, experiment):
                echo(f"warning: {problem}", err=True)
        return code
    except UserError:
        if new and experiment.state() == "new":
            remove_whole(experiment.path)
        raise


def _tracked(experiment: Experiment, tracker: str) -> subprocess.Popen[bytes] | None:
    """Start a tracker; without one, the run starts all the same."""
    from synergy_tui.export.track import start

    try:
        return start(experiment, tracker)
    except OSError as error:
        echo(f"warning: --track {tracker} was not started: {error.strerror or error}", err=True)
        return None


def _execute_in_foreground(
    experiment: Experiment, style: Style, device: str, timeout: float | None, junit: Path | None
) -> int:
    """Run the worker in this process and show it without the app."""
    from synergy_tui.running.signals import PATIENCE_SECONDS, Stopper, stop_on_signals

    deadline = None if timeout is None else time.monotonic() + timeout
    stopper = Stopper(deadline, patience=PATIENCE_SECONDS)
    # From here to the last line: an interrupted run keeps its checkpoint, report and closing table.
    with stop_on_signals(stopper, detached=False):
        if style in ("plain", "progress"):
            # The imports below take seconds; show at once that something happens.
            echo(f"starting {experiment.id} …", err=True)
        return _shown(experiment, style, device, stopper, junit)


def _shown(
    experiment: Experiment, style: Style, device: str, stopper: Stopper, junit: Path | None
) -> int:
    from synergy_tui.commands import headless
    from synergy_tui.experiments.state import ExperimentState, outline
    from synergy_tui.running.runner import run_experiment

    view = headless.Headless(style, ExperimentState.read(experiment.events_path, outline))
    stopper.outlet = view.outlet
    try:
        code = run_experiment(experiment, device=device, should_stop=stopper, listener=view)
    finally:
        view.close()
    if style != "json":
        headless.closing(view.state, quiet=style == "quiet")
        if style != "quiet":
            echo(f"experiment  {experiment.path}", err=True)
    if code != ExitCode.BAD_INPUT:
        for line in headless.next_steps(experiment, code, view.state):
            echo(line, err=True)
    if junit is not None:
        from synergy_tui.commands.junit import write_junit

        write_junit(junit, view.state)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _summarise(Path(summary), view.state)
    if code == ExitCode.BAD_INPUT:
        raise UserError(view.state.reason)
    return code


def _summarise(path: Path, state: ExperimentState) -> None:
    """Append the scoreboard to the summary of a job of GitHub Actions."""
    from synergy_tui.export.markdown import scoreboard

    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(scoreboard(state))
    except OSError as error:
        echo(f"warning: {path} was not written: {error.strerror or error}", err=True)


def show_in_app(
    experiment: Experiment,
    *,
    device: str = "auto",
    timeout: float | None = None,
    ascii_only: bool | None = None,
) -> int:
    """Start a worker for the experiment, and open the app on it."""
    from synergy_tui.running.worker import launch

    launch(experiment, device=device, timeout=timeout)
    return watch(experiment, ascii_only=ascii_only)


def watch(experiment: Experiment, *, ascii_only: bool | None = None) -> int:
    """Open the app on a running experiment; return the run's exit code when it has ended."""
    from synergy_tui.app.app import open_app

    code = open_app(experiment, "live", ascii_only=ascii_only)
    if code:
        return code
    ending = experiment.ending()
    state = experiment.state()
    if state == "dead":
        return int(ExitCode.RUN_FAILED)
    if ending is None or state == "running":
        return int(ExitCode.OK)
    return int(ending.get("exit_code", ExitCode.OK))
