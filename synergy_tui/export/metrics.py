"""Metrics as one tidy table: CSV or Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synergy_tui.errors import UserError, require
from synergy_tui.experiments.metrics import MEASURES, as_number, conventions, leaf, measures
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.files import STDOUT, write_output, write_output_with
from synergy_tui.scenario.metrics import HEAD_METRICS
from synergy_tui.words import csv_text

Row = dict[str, Any]
TABLES = (".csv", ".parquet")

# Column → its type. One row per training step (layer and head empty), one per layer of each probe
# (and "overall"), one per head of each of those layers.
COLUMNS: dict[str, type] = {
    "experiment": str,
    "run": str,
    "heads": int,
    "seed": int,
    "step": int,
    "layer": str,
    "head": int,
    "loss": float,
    "accuracy": float,
    "tokens_per_second": float,
    "convention": str,
    "combine": str,
    "weights": str,
    "sink": str,
    "inputs": int,
    "max_steps": int,
    "weight": float,
    **dict.fromkeys(MEASURES, float),
}


def rows(experiment: str, state: ExperimentState) -> Iterator[Row]:
    """Yield the rows of one experiment, run by run, by step.

    Times in diffusion steps, ``inf`` where ``max_steps`` was not enough (or nothing would be);
    loss in nats, accuracy in 0..1; ``None`` for what a row does not have.
    """
    for run in state.runs.values():
        base = {"experiment": experiment, "run": run.name, "heads": run.heads, "seed": run.seed}
        yield from _training(base, run)
        for probe in run.probes:
            yield from _probe({**base, "step": probe.step}, probe)


def _training(base: Row, run: RunState) -> Iterator[Row]:
    for index, step in enumerate(run.steps.tolist()):
        values = {name: float(series.values[index]) for name, series in run.series.items()}
        yield {**base, "step": step, **values}


def _probe(base: Row, probe: Probe) -> Iterator[Row]:
    shared = {**base, **conventions(probe), "inputs": probe.inputs}
    for analysis in [*probe.layers, probe.overall]:
        layer = {
            **shared,
            "layer": str(analysis.get("layer")),
            "max_steps": leaf(analysis, ("mixing", "max_steps")),
        }
        yield {**layer, **{key: as_number(value) for key, value in measures(analysis).items()}}
        for head in analysis.get("per_head") or ():
            numbers = {name: as_number(head.get(key)) for name, key in HEAD_METRICS.items()}
            # The column has the full name of what heads call `mixing_time`.
            numbers["mixing_time_tv_max"] = numbers.pop("mixing_time")
            yield {**layer, **numbers, "head": head.get("head")}


def write_metrics(path: Path, table: Iterable[Row]) -> int:
    """Write rows to ``path`` as its suffix says (stdout: CSV), and return how many there were."""
    found = list(table)
    suffix = path.suffix.lower()
    if suffix == ".csv" or path == STDOUT:
        write_output(path, as_csv(found))
    elif suffix == ".parquet":
        _write_parquet(path, found)
    else:
        raise UserError(f"{path}: metrics are written as {', '.join(TABLES)}.")
    return len(found)


def as_csv(table: Iterable[Row]) -> str:
    """Return rows as CSV (RFC 4180, UTF-8, ``inf`` for infinite, empty for none)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({key: _cell(row.get(key)) for key in COLUMNS})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return csv_text(value)
    return "" if _missing(value) else value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _write_parquet(path: Path, table: list[Row]) -> None:
    arrow = require("pyarrow", "parquet")
    parquet = require("pyarrow.parquet", "parquet")
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    columns = {
        key: arrow.array(
            [None if _missing(row.get(key)) else kind(row[key]) for row in table], types[kind]
        )
        for key, kind in COLUMNS.items()
    }
    write_output_with(path, lambda target: parquet.write_table(arrow.table(columns), target))
