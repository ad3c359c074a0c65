"""What the commands that start or show experiments have in common."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synergy_tui.commands.arguments import Real
from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.events import Event
from synergy_tui.experiments.experiment import Experiment, create_experiment

if TYPE_CHECKING:
    from synergy_tui.commands.headless import Style

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def _device(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise click.BadParameter(f"'{value}' is none of auto, cpu, cuda, cuda:0 …, mps.")
    return value


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|mps",
    callback=_device,
    help="Where to train; cuda:1 is the second GPU.",
)
timeout_option = click.option(
    "--timeout",
    type=Real(min=0, min_open=True),
    metavar="SECONDS",
    help="Checkpoint and end after so long, with exit code 3.",
)
ascii_option = click.option(
    "--ascii", "ascii_only", is_flag=True, default=None, help="Draw with ASCII characters only."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong.")


def terminal_is_interactive() -> bool:
    """Whether the app can be opened here."""
    from synergy_tui.app.terminal import require_terminal

    try:
        require_terminal()
    except UserError:
        return False
    return sys.stdout.isatty()


def view_style(as_json: bool, quiet: bool) -> Style:
    """Return how a run in the foreground shows itself."""
    if as_json:
        return "json"
    if quiet:
        return "quiet"
    return "progress" if sys.stderr.isatty() else "plain"


def prepare(
    name: str,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
) -> Experiment:
    """Read and check a scenario, and make its experiment directory.

    Raises
    ------
    UserError
        The scenario or a file that it names cannot be used, there is no such device, or no place
        to write.
    """
    from synergy_tui.running.preflight import check_device, check_inputs
    from synergy_tui.scenario import find_scenario, load_scenario

    scenario = load_scenario(find_scenario(name), overrides=overrides, seed=seed)
    if scenario.sweep is not None:
        raise UserError(
            f"{name} describes many experiments ([sweep]).", hint=f"Run it: `synergy sweep {name}`."
        )
    check_inputs(scenario)
    check_device(device)
    return create_experiment(scenario.model_copy(update={"versions": _versions()}), out)


def _versions() -> dict[str, str]:
    from synergy_tui.running.recorder import versions

    return versions()


def execute_in_foreground(
    experiment: Experiment,
    *,
    style: Style,
    device: str = "auto",
    timeout: float | None = None,
    junit: Path | None = None,
) -> int:
    """Run the worker in this process and show it without the app; return its exit code."""
    if style in ("plain", "progress"):
        # What follows imports for seconds; nobody should wonder whether anything happens.
        click.echo(f"starting {experiment.id} …", err=True)
    from synergy_tui.commands import headless
    from synergy_tui.running.runner import run_experiment
    from synergy_tui.running.signals import Stopper, stop_on_signals

    stopper = Stopper(None if timeout is None else time.monotonic() + timeout)
    state = experiment.fold() if experiment.events_path.exists() else None
    view = headless.Headless(style, state)
    lost: OSError | None = None

    def listen(event: Event) -> None:
        nonlocal lost
        try:
            if lost is None:
                view(event)
            else:
                view.state.apply(event)
        except BrokenPipeError as error:
            lost = error
            stopper.request("the reader of the event stream has gone", ExitCode.TERMINATED)
        except OSError as error:
            lost = error
            why = error.strerror or error
            stopper.request(f"what happens cannot be written out: {why}", ExitCode.RUN_FAILED)

    try:
        with stop_on_signals(stopper, detached=False):
            code = run_experiment(experiment, device=device, should_stop=stopper, listener=listen)
    finally:
        view.close()
    if lost is not None:
        from synergy_tui.files import leave_stdout

        leave_stdout()
    if junit is not None:
        from synergy_tui.commands.junit import write_junit

        write_junit(junit, view.state)
    if style != "json":
        headless.closing(view.state, quiet=style == "quiet")
        if style != "quiet":
            click.echo(f"experiment  {experiment.path}", err=True)
    if code == ExitCode.BAD_INPUT:
        raise UserError(view.state.reason)
    for line in headless.next_steps(experiment, code, view.state):
        click.echo(line, err=True)
    return code


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
    if ending is None or experiment.state() == "running":
        return int(ExitCode.OK)
    return int(ending.get("exit_code", ExitCode.OK))
