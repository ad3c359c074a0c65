"""``synergy run``: execute a scenario, with the app or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synergy_tui.commands.arguments import out_option, run_options, set_option, whole_option
from synergy_tui.commands.execution import execute, prepare
from synergy_tui.commands.helptext import Examples
from synergy_tui.errors import ExitCode


@click.command(
    cls=Examples,
    answers=tuple(ExitCode),
    examples="""
    synergy run scenarios/diverse_heads.toml
    synergy run --no-ui example2
    synergy run --no-ui --json scenarios/diverse_heads.toml > events.jsonl
    synergy run --no-ui --set train.steps=100 --set runs.multi-head.heads=4 diverse_heads
    synergy run --no-ui --track tensorboard diverse_heads     # in exports/ of the experiment
    synergy run --no-ui --junit report.xml --timeout 600 --quiet scenarios/diverse_heads.toml
    """,
)
@click.argument("scenario")
@run_options
@set_option
@whole_option("--seed", least=0, most=2**63 - 1, help="Replace the scenario's seed.")
@out_option
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write runs and expectations as a JUnit XML report; `-` is stdout.",
)
@click.option(
    "--track",
    "tracker",
    type=click.Choice(["tensorboard", "wandb"]),
    help="Send what the log holds to a tracker while it is written.",
)
def command(
    scenario: str,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    junit: Path | None,
    tracker: str | None,
    **options: Any,
) -> int:
    """Run SCENARIO: a TOML file, or the name of one that comes with Synergy.

    On a terminal, a worker starts that outlives it, and the app shows what it does. Without a
    terminal, or with --no-ui, --json, --quiet or --junit, it runs in the foreground; text for
    people goes to stderr.
    """
    if junit is not None:
        from synergy_tui.commands.junit import require_junit

        require_junit(junit)
    if tracker is not None:
        from synergy_tui.export.track import require_tracker

        require_tracker(tracker)
    experiment = prepare(
        scenario, overrides=overrides, seed=seed, device=options["device"], out=out
    )
    return execute(experiment, junit=junit, tracker=tracker, new=True, **options)
