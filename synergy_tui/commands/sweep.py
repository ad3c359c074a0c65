"""``synergy sweep``: the grid of a scenario, here or on a Ray cluster."""

from __future__ import annotations

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
from synergy_tui.errors import ExitCode, UserError
from synergy_tui.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

    from synergy_tui.sweep.directory import Sweep
    from synergy_tui.sweep.executors.executor import Backend
    from synergy_tui.sweep.start import Plan


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
    sweep = _existing(scenario, out)
    if watch or stop_it:
        from synergy_tui.sweep.directory import find_sweep

        sweep = sweep or find_sweep(scenario, out)
        if stop_it:
            from synergy_tui.sweep.worker import stop

            stop(sweep)
            return 0
        foreground = no_ui or as_json or quiet or not terminal_is_interactive()
        return _follow(sweep, None, as_json, quiet) if foreground else _show(sweep)
    if sweep is not None:
        if overrides:
            raise UserError(
                f"Sweep {sweep.id} has begun: --set cannot change it any more.",
                hint="Start another from its scenario.",
            )
        return resume(
            sweep, dry_run=dry_run, no_ui=no_ui, as_json=as_json, quiet=quiet, **backend_options
        )
    from synergy_tui.sweep.start import begin, plan_new

    plan = plan_new(scenario, overrides, **backend_options)
    _announce(plan, quiet)
    if dry_run:
        return _list(plan)
    sweep = begin(plan, out)
    if not quiet:
        echo(f"sweep  {sweep.path}", err=True)
    return _run(sweep, plan.backend, no_ui=no_ui, as_json=as_json, quiet=quiet)


def resume(
    sweep: Sweep,
    *,
    dry_run: bool = False,
    no_ui: bool,
    as_json: bool,
    quiet: bool,
    ascii_only: bool | None = None,
    **options: Any,
) -> int:
    """Continue what is not finished of a sweep; where all is, say so and how to look at it."""
    from synergy_tui.sweep.start import plan_rest

    if sweep.running:
        raise UserError(
            f"Sweep {sweep.id} is running already.",
            hint=f"Watch it: `synergy attach {sweep.reference}`.",
        )
    plan = plan_rest(sweep, **options)
    if plan is None:
        if not quiet:
            count = counted(len(sweep.names), "point")
            echo(f"Sweep {sweep.id} is finished: {count}. There is nothing to continue.", err=True)
            echo(
                f"Look at it: `synergy attach {sweep.reference}`, or "
                f"`synergy report {sweep.reference}`.",
                err=True,
            )
        return int((sweep.ending() or {}).get("exit_code") or 0)
    _announce(plan, quiet)
    if dry_run:
        return _list(plan)
    return _run(
        sweep, plan.backend, no_ui=no_ui, as_json=as_json, quiet=quiet, ascii_only=ascii_only
    )


def _announce(plan: Plan, quiet: bool) -> None:
    if not quiet:
        for note in plan.notes:
            echo(note, err=True)
        echo(plan.announcement, err=True)


def _list(plan: Plan) -> int:
    for point in plan.left:
        echo(f"{point.name}  {', '.join(point.columns)}")
    return 0


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


def _run(
    sweep: Sweep,
    backend: Backend,
    *,
    no_ui: bool,
    as_json: bool,
    quiet: bool,
    ascii_only: bool | None = None,
) -> int:
    from synergy_tui.sweep.worker import launch

    if no_ui or as_json or quiet or not terminal_is_interactive():
        return _follow(sweep, lambda: launch(sweep, backend), as_json, quiet)
    launch(sweep, backend)
    return _show(sweep, ascii_only)


def _follow(
    sweep: Sweep, start: Callable[[], Popen[bytes]] | None, as_json: bool, quiet: bool
) -> int:
    from synergy_tui.sweep.follow import follow

    code = follow(sweep, start, as_json=as_json, quiet=quiet)
    if code in (ExitCode.OK, ExitCode.EXPECTATION_FAILED) and not quiet and not as_json:
        echo(f"report with  synergy report {sweep.reference}", err=True)
    return code


def _show(sweep: Sweep, ascii_only: bool | None = None) -> int:
    from synergy_tui.app.app import open_sweep

    return open_sweep(sweep, ascii_only=ascii_only)
