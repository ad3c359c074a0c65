"""What the commands that start or show experiments have in common."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.events import Event
from synergy_tui.experiment import Experiment, create_experiment

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|mps",
    help="Where to train.",
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Checkpoint and end after so long, with exit code 3.",
)
out_option = click.option(
    "--out",
    metavar="DIR",
    help="Folder of the experiments, instead of $SYNERGY_HOME or your data folder.",
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong.")


def terminal_is_interactive() -> bool:
    """Whether the app can be opened: it reads keys from stdin and draws on the terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def prepare(
    name: str,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    out: str | None = None,
) -> Experiment:
    """Read and check a scenario, and make its experiment directory.

    Raises
    ------
    UserError
        The scenario or a file that it names cannot be used, or there is no place to write.
    """
    from synergy_tui.preflight import check_inputs
    from synergy_tui.scenario import find_scenario, load_scenario

    scenario = load_scenario(find_scenario(name), overrides=overrides, seed=seed)
    if scenario.sweep is not None:
        raise UserError(
            f"{name} describes many experiments ([sweep]).", hint=f"Run it: `synergy sweep {name}`."
        )
    check_inputs(scenario)
    return create_experiment(scenario.model_copy(update={"versions": _versions()}), out)


def _versions() -> dict[str, str]:
    from synergy_tui.recorder import versions

    return versions()


def execute_in_foreground(
    experiment: Experiment,
    *,
    style: Any,
    device: str = "auto",
    timeout: float | None = None,
    junit: Path | None = None,
) -> int:
    """Run the worker in this process and show it without the app; return its exit code."""
    from synergy_tui import headless
    from synergy_tui.runner import Stopper, run_experiment
    from synergy_tui.signals import stop_on_signals

    stopper = Stopper(None if timeout is None else time.monotonic() + timeout)
    state = experiment.fold() if experiment.events_path.exists() else None
    view = headless.Headless(style, state)
    reader_left = False

    def listen(event: Event) -> None:
        nonlocal reader_left
        try:
            if not reader_left:
                view(event)
        except BrokenPipeError:
            reader_left = True
            stopper.request("the reader of the event stream has gone", ExitCode.TERMINATED)

    try:
        with stop_on_signals(stopper, detached=False):
            code = run_experiment(experiment, device=device, should_stop=stopper, listener=listen)
    finally:
        view.close()
    if reader_left:
        raise BrokenPipeError
    if junit is not None:
        from synergy_tui.junit import write_junit

        write_junit(junit, view.state)
    if style != "json":
        headless.closing(view.state, quiet=style == "quiet")
        if style != "quiet":
            click.echo(f"experiment  {experiment.path}", err=True)
    if code == ExitCode.BAD_INPUT:
        raise UserError(view.state.reason)
    for line in headless.failure_hint(experiment.id, code, view.state):
        click.echo(line, err=True)
    return code


def show_in_app(
    experiment: Experiment, *, device: str = "auto", timeout: float | None = None
) -> int:
    """Start a worker for the experiment, and open the app on it."""
    from synergy_tui.launch import launch

    launch(experiment, device=device, timeout=timeout)
    return open_app(experiment, mode="live")


def open_app(experiment: Experiment | None, *, mode: str) -> int:
    """Open the app and, once it is left, say what goes on and how to come back.

    Returns the experiment's exit code when it has one by then, else 0.
    """
    from synergy_tui.app import SynergyApp

    app = SynergyApp(experiment=experiment, mode=mode)
    app.run()
    if app.return_code:
        return int(app.return_code)
    shown = getattr(app, "experiment", None) or experiment
    if shown is None:
        return int(ExitCode.OK)
    if mode == "live" and shown.state() in ("running", "new"):
        click.echo(f"{shown.id} goes on. Come back: `synergy attach {shown.id}`", err=True)
        click.echo(f"End it: `synergy stop {shown.id}`", err=True)
        return int(ExitCode.OK)
    ending = shown.ending()
    if mode != "live" or ending is None:
        return int(ExitCode.OK)
    return int(ending.get("exit_code", ExitCode.OK))
