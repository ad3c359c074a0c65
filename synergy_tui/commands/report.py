"""``synergy report``: the evidence of experiments and sweeps, for reviewers."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from synergy_tui.commands.arguments import experiments_argument, json_option, out_option
from synergy_tui.commands.helptext import Examples
from synergy_tui.commands.presentation import json_line
from synergy_tui.console import echo
from synergy_tui.errors import require


@click.command(
    cls=Examples,
    examples="""
    synergy report last
    synergy report 2026-11-23-2010-sweep_heads --output heads.html
    synergy report sweep_heads sweep_diversity --output evidence.html
    synergy report last --json
    synergy report last --figure soon-heads-theory --output soon.pdf
    """,
)
@experiments_argument
@out_option
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The HTML file (the Markdown goes next to it) or figure file; default ./report.html.",
)
@json_option
@click.option("--figure", metavar="FIGURE", help="Write only this figure: SVG, PDF or PNG.")
def command(
    names: tuple[str, ...],
    out: Path | None,
    output: Path | None,
    figure: str | None,
    as_json: bool,
) -> None:
    """Write what sweeps and experiments NAME… show: verdicts, figures, tables, and their origins.

    Each claim is supported, contradicted, without effect or undecided, against its own null, under
    every convention that the runs were measured with.
    """
    from synergy_tui.files import require_writable
    from synergy_tui.report.document import compose, findings_of, records
    from synergy_tui.report.evidence import gather
    from synergy_tui.report.figures import plots
    from synergy_tui.report.write import write_figure, write_report

    if as_json:
        for record in records(gather(names, out)):
            echo(json_line(record))
        return
    require("matplotlib.figure", "report")
    file = output or Path(f"{figure}.svg" if figure else "report.html")
    require_writable(file)
    evidence = gather(names, out)
    if figure is not None:
        write_figure(plots(evidence, findings_of(evidence)), figure, file)
        return
    sources = [source.id for source in evidence.sources]
    document = compose(evidence, command=shlex.join(["synergy", "report", *sources]))
    for verdict, claim, sentence in document.headline:
        echo(f"{verdict or 'differs':<13} {claim.label}: {sentence}", err=True)
    for claims, reason in document.untested.items():
        echo(f"{'not tested':<13} {claims}, because {reason}", err=True)
    for path in write_report(document, file):
        echo(str(path))
