"""``synergy sweep``: the grid of a scenario, here or on a Ray cluster."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synergy_tui.commands.arguments import (
    device_option,
    no_ui_option,
    out_option,
    quiet_option,
    set_option,
    whole_option,
)
from synergy_tui.commands.execution import terminal_is_interactive
from synergy_tui.commands.helptext import Examples
from synergy_tui.console import echo
from synergy_tui.errors import ExitCode, UserError, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from synergy_tui.scenario import Scenario
    from synergy_tui.sweep.directory import Sweep
    from synergy_tui.sweep.executors.executor import Backend
    from synergy_tui.sweep.plan import Point


@click.command(
    cls=Examples,
    examples="""
    synergy sweep scenarios/sweep_heads.toml --dry-run
    synergy sweep scenarios/sweep_heads.toml
    synergy sweep --no-ui --set 'sweep.seeds=3' --workers 2 scenarios/sweep_heads.toml
    synergy sweep --ray local scenarios/sweep_heads.toml
    synergy sweep --ray auto scenarios/paper_copy.toml   # the cluster that RAY_ADDRESS names
    synergy sweep last                                   # continue what is not finished
    synergy sweep last --watch
    """,
)
@click.argument("scenario", metavar="SCENARIO|SWEEP")
@click.option("--dry-run", is_flag=True, help="Print what would be run, and what it would cost.")
@no_ui_option
@click.option("--watch", is_flag=True, help="Only look at a sweep that runs or has ended.")
@click.option("--stop", "stop_it", is_flag=True, help="Ask a sweep to checkpoint and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the sweep's events as JSON lines.")
@quiet_option
@set_option
@click.option(
    "--executor",
    type=click.Choice(["auto", "ensemble", "pool", "ray"]),
    help="What runs the points; else the one that [sweep] names.",
)
@whole_option("--workers", help="Points (or ensembles) at a time.")
@click.option(
    "--ray",
    metavar="auto|local|ADDRESS",
    help="Run on Ray: a cluster found by RAY_ADDRESS, one made here, or the one at ADDRESS.",
)
@device_option
@out_option
def command(
    scenario: str,
    dry_run: bool,
    no_ui: bool,
    watch: bool,
    stop_it: bool,
    as_json: bool,
    quiet: bool,
    overrides: tuple[str, ...],
    out: Path | None,
    **backend_options: Any,
) -> int:
    """Run every point of SCENARIO's [sweep], or continue the SWEEP of that id or directory.

    Every point is an ordinary experiment. Points that are finished are not run again. Ctrl-C (and
    SIGTERM) checkpoints everything; the same command with the sweep's directory continues it.
    """
    foreground = no_ui or as_json or quiet or not terminal_is_interactive()
    sweep = _existing(scenario, out)
    if watch or stop_it:
        from synergy_tui.sweep.directory import find_sweep

        sweep = sweep or find_sweep(scenario, out)
        if stop_it:
            from synergy_tui.sweep.worker import stop

            stop(sweep)
            return 0
        return _follow(sweep, None, as_json, quiet) if foreground else _show(sweep)
    plan = _check(scenario, sweep, overrides, backend_options, quiet)
    if dry_run:
        for point in plan.left:
            echo(f"{point.name}  {', '.join(point.columns)}")
        return 0
    if sweep is None:
        sweep = _create(scenario, plan, overrides, out)
        if not quiet:
            echo(f"sweep  {sweep.path}", err=True)
    return _run(sweep, plan.backend, foreground=foreground, as_json=as_json, quiet=quiet)


@dataclass
class _Plan:
    """A sweep that can be run: its scenario, its points, those that are left, and how."""

    scenario: Scenario
    points: list[Point]
    left: list[Point]
    backend: Backend


def _existing(name: str, out: Path | None) -> Sweep | None:
    """The sweep that is meant, where it is not a scenario."""
    if Path(name).suffix == ".toml":
        return None
    from synergy_tui.scenario import find_scenario
    from synergy_tui.sweep.directory import find_sweep

    try:
        found = find_sweep(name, out, damaged=True)
    except UserError:
        find_scenario(name)  # its error lists what the name could have been
        return None
    found.require_sound()
    return found


def _check(
    name: str,
    existing: Sweep | None,
    overrides: tuple[str, ...],
    backend_options: dict[str, Any],
    quiet: bool,
) -> _Plan:
    """Check everything, and print what it will cost."""
    from synergy_tui.running.preflight import check_device, check_inputs
    from synergy_tui.scenario import find_scenario, load_scenario
    from synergy_tui.sweep.estimate import estimate
    from synergy_tui.sweep.executors.executor import choose
    from synergy_tui.sweep.follow import announce
    from synergy_tui.sweep.plan import expand

    if existing is not None and overrides:
        raise UserError(
            f"Sweep {existing.id} has begun: --set cannot change it any more.",
            hint="Start another from its scenario.",
        )
    if backend_options["ray"] or backend_options["executor"] == "ray":
        require("ray", "ray")
    else:
        check_device(backend_options["device"])
    if existing is not None:
        scenario = existing.scenario()
    else:
        scenario = load_scenario(find_scenario(name), overrides=overrides)
        if scenario.sweep is None:
            raise UserError(
                f"{name} has no [sweep] table.", hint=f"Run it once: `synergy run {name}`."
            )
    points = expand(scenario)
    states = existing.states() if existing is not None else {}
    left = [point for point in points if states.get(point.name) != "finished"]
    if not left:
        raise UserError(
            f"All {len(points)} points are finished.", hint=f"Report: `synergy report {name}`."
        )
    backend = choose(scenario, [point.scenario for point in left], **backend_options)
    check_inputs(left[0].scenario)
    cost = estimate(left, workers=max(1, backend.workers), together=backend.together)
    if not quiet:
        echo(announce(cost, finished=len(points) - len(left), backend=str(backend)), err=True)
    return _Plan(scenario, points, left, backend)


def _create(name: str, plan: _Plan, overrides: tuple[str, ...], out: Path | None) -> Sweep:
    from synergy_tui.running.recorder import versions
    from synergy_tui.sweep.directory import create_sweep

    scenario = plan.scenario.model_copy(update={"versions": versions()})
    given = [part for override in overrides for part in ("--set", override)]
    typed = shlex.join(["synergy", "sweep", name, *given])
    return create_sweep(scenario, plan.points, out, command=typed)


def _run(sweep: Sweep, backend: Backend, *, foreground: bool, as_json: bool, quiet: bool) -> int:
    from synergy_tui.sweep.worker import launch

    if foreground:
        return _follow(sweep, lambda: launch(sweep, backend), as_json, quiet)
    launch(sweep, backend)
    return _show(sweep)


def _follow(
    sweep: Sweep, start: Callable[[], Popen[bytes]] | None, as_json: bool, quiet: bool
) -> int:
    from synergy_tui.sweep.follow import follow

    code = follow(sweep, start, as_json=as_json, quiet=quiet)
    if code in (ExitCode.OK, ExitCode.EXPECTATION_FAILED) and not quiet and not as_json:
        echo(f"report with  synergy report {sweep.path}", err=True)
    return code


def _show(sweep: Sweep) -> int:
    from synergy_tui.app.app import open_sweep

    return open_sweep(sweep)
