"""How commands show things: strict JSON lines, tables of runs and expectations."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from synergy_tui.console import echo
from synergy_tui.words import changes, clean, show_value

if TYPE_CHECKING:
    from rich.text import Text

    from synergy_tui.experiments.verdict import Scoreboard


LABEL = 12
"""Columns that labels have beside what is said of them."""
COLUMNS_READ = (
    "fewer steps: sooner; fidelity, 0 to 1, higher: clearer; amplification and mixing gain "
    "above 1: the heads together clearer, or sooner, than the best of them"
)


def json_line(value: Any) -> str:
    """Return ``value`` as one line of strict JSON; infinite and missing numbers are strings."""
    from synergy_tui.experiments.events import encode

    return encode(value).decode().rstrip("\n")


def print_note(text: str, label: str = "", *, err: bool = False) -> None:
    """Print a sentence beneath a label, in lines of whole words where there is a terminal."""
    stream = sys.stderr if err else sys.stdout
    lines = [text]
    if stream.isatty():
        room = max(shutil.get_terminal_size().columns - LABEL, 20)
        lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    for line in lines:
        echo(f"{label:<{LABEL}}{line}", err=err)
        label = ""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    left: int = 1,
    wrap: Sequence[str] = (),
    spare: Sequence[str] = (),
    err: bool = False,
) -> list[str]:
    """Print a table; on a terminal too narrow for it, with its rows as columns.

    Cells are shown `clean`. The first ``left`` columns contain words (left-aligned), the others
    numbers. Columns whose heading is in ``wrap`` may wrap; the others are never cut. Those in
    ``spare`` are left out of a terminal too narrow for them, the first ones first, and returned;
    where even that is too wide, rows become columns, and nothing is left out. A line break in a
    heading is kept where there is room for a table. ``err`` prints on stderr.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [[cell if isinstance(cell, Text) else clean(cell) for cell in row] for row in rows]
    widths = []
    for index, heading in enumerate(columns):
        cells = [*heading.split("\n"), *(row[index] for row in rows)]
        widths.append(20 if heading in wrap else max(map(len, cells)))
    stream = sys.stderr if err else sys.stdout
    room = shutil.get_terminal_size().columns
    shown, left_out = list(range(len(columns))), []
    droppable = [columns.index(heading) for heading in spare if heading in columns]
    while stream.isatty() and sum(widths[index] + 3 for index in shown) > room:
        if not droppable:
            headings = list(map(_in_one_line, columns))
            _print_turned(headings, [list(map(str, row)) for row in rows], room, err)
            return []
        shown.remove(droppable[0])
        left_out.append(_in_one_line(columns[droppable.pop(0)]))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index in shown:
        may_wrap = columns[index] in wrap
        justify: Literal["left", "right"] = "left" if index < left or may_wrap else "right"
        table.add_column(columns[index], justify=justify, no_wrap=not may_wrap)
    for row in rows:
        table.add_row(*(row[index] for index in shown))
    _print_rich(table, err)
    return left_out


def _in_one_line(heading: str) -> str:
    return heading.replace("-\n", "").replace("\n", " ")


def _print_turned(
    headings: Sequence[str], rows: Sequence[Sequence[str]], room: int, err: bool
) -> None:
    """Print a line for each heading, with as many rows side by side as ``room`` allows."""
    indent = 2 + max(map(len, headings))
    widths = [2 + max(map(len, row)) for row in rows]
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and indent + sum(widths[start : end + 1]) <= room:
            end += 1
        echo(err=err)
        for index, heading in enumerate(headings):
            cells = [f"  {rows[at][index]:<{widths[at] - 2}}" for at in range(start, end)]
            echo(f"{f'  {heading}':<{indent}}{''.join(cells)}".rstrip(), err=err)
        start = end
    echo(err=err)


def _print_rich(renderable: Any, err: bool) -> None:
    """Print with rich: plain and unlimited in width where the stream is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    terminal = stream.isatty()
    width = shutil.get_terminal_size().columns if terminal else 10_000
    console = Console(
        file=stream,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=terminal,
        no_color=bool(os.environ.get("NO_COLOR")) or not terminal,
    )
    if terminal:
        console.print(renderable)
        return
    # A wide console pads nothing but titles and rules; scripts do not want trailing blanks.
    with console.capture() as capture:
        console.print(renderable)
    for line in capture.get().splitlines():
        echo(line.rstrip(), err=err)


def print_runs(
    records: Sequence[Mapping[str, Any]], texts: Sequence[str], *, err: bool = False
) -> None:
    """Print runs, one per line: the keys ``texts`` of `run_record`, then the numbers they have."""
    from synergy_tui.experiments.metrics import COLUMNS

    if not records:
        return
    sets = {record["loss_of"] for record in records if record.get("loss_of")}

    def cell(record: Mapping[str, Any], key: str) -> str:
        return show_value(record.get(key), exact=record["kind"] == "designed")

    shown = {
        heading: key
        for heading, key in COLUMNS.items()
        if any(cell(record, key) != "–" for record in records)
    }
    if sets == {"held-out"}:
        shown = {
            f"held-out {name}" if name in ("loss", "accuracy") else name: key
            for name, key in shown.items()
        }
    print_table(
        [*texts, *shown],
        [
            ["–" if record[key] is None else str(record[key]) for key in texts]
            + [cell(record, key) for key in shown.values()]
            for record in records
        ],
        left=len(texts),
        err=err,
    )
    if "fidelity" in shown:
        print_note(COLUMNS_READ, "columns", err=err)
    for record in records:
        if record.get("interventions"):
            echo(f"{record['run']}: {changes(record['interventions'])}", err=err)
        if len(sets) > 1 and record.get("loss_of"):
            echo(f"{record['run']}: {record['loss_of']} loss and accuracy", err=err)
        if record.get("reason"):
            echo(f"{record['run']} {record['status']}: {record['reason']}", err=err)


def print_conventions(records: Iterable[Mapping[str, Any]]) -> int:
    """Print the conventions that runs were measured under; return how many there are."""
    weights: dict[tuple[str, ...], set[str]] = {}
    for record in records:
        if record.get("convention"):
            key = tuple(str(record[name]) for name in ("convention", "combine", "sink"))
            weights.setdefault(key, set()).add(str(record["weights"]))
    for (convention, combine, sink), used in sorted(weights.items()):
        print_note(
            f"{convention}, {combine}, {' or '.join(sorted(used))} head weights, sink {sink}; "
            "times in diffusion steps, loss in nats",
            "convention",
        )
    return len(weights)


def print_scoreboard(found: Scoreboard, *, err: bool = False) -> None:
    """Print what is compared, a line for each claim, and how it was measured."""
    from rich.text import Text

    for failed in found.failed:
        print_note(failed, "verdict", err=err)
    print_note(found.heading, "verdict", err=err)
    styles = {"supported": "green", "contradicted": "red"}
    if found.lines:
        print_table(
            ["", "claim", "ratio", "", "95%", "null"],
            [
                [
                    Text(line.mark, style=styles.get(line.verdict, "") if line.decided else ""),
                    line.label,
                    line.times,
                    line.values,
                    line.range,
                    line.against,
                ]
                for line in found.lines
            ],
            left=2,
            err=err,
        )
        from synergy_tui.experiments.verdict import SIGNS

        print_note(SIGNS, err=err)
    if found.convention:
        print_note(f"{found.convention} · {found.measured} · {found.basis}", err=err)
    for note in found.notes:
        print_note(note, err=err)


def print_expectations(events: Sequence[Mapping[str, Any]], *, err: bool = False) -> None:
    """Print expectations with both sides' values."""
    from rich.text import Text

    holds = Text("✓ holds", style="green")
    fails = Text("✗ fails", style="bold red")
    print_table(
        ["", "expectation", "left", "right", "because"],
        [
            [
                holds if event.get("holds") else fails,
                str(event.get("that", "")),
                show_value(event.get("left")),
                show_value(event.get("right")),
                str(event.get("reason") or event.get("because") or ""),
            ]
            for event in events
        ],
        left=2,
        wrap=("because",),
        err=err,
    )
