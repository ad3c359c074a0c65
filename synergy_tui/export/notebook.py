"""Experiments in a notebook: tables, figures, and a summary that it shows by itself."""

from __future__ import annotations

import html
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synergy_tui.errors import UserError, require
from synergy_tui.experiments.experiment import Experiment, find_experiment
from synergy_tui.experiments.metrics import run_record
from synergy_tui.experiments.verdict import scoreboard
from synergy_tui.export.metrics import COLUMNS, rows
from synergy_tui.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("run", "status", "heads", "step", "loss", "accuracy", "hitting_time", "fidelity")


class Notebook:
    """An experiment as it was when it was loaded; made by :func:`load`.

    Attributes
    ----------
    experiment, state
        Its directory, and what its log amounts to.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.state = experiment.fold()

    @property
    def runs(self) -> Any:
        """One row per run: its newest numbers, as ``synergy show`` has them."""
        return table([run_record(run) for run in self.state.runs.values()])

    @property
    def metrics(self) -> Any:
        """One row per training step, per layer of each probe and per head, as exported."""
        every = rows(self.experiment.id, self.state)
        return table([{name: row.get(name) for name in COLUMNS} for row in every])

    @property
    def verdict(self) -> str:
        """What the comparison shows, in one line."""
        return scoreboard(self.state).line

    def figure(self, name: str = "convergence") -> Figure:
        """Draw one of the figures of ``synergy export --figures`` (needs matplotlib)."""
        require("matplotlib", "figures")
        from synergy_tui.errors import did_you_mean
        from synergy_tui.export.figures import FIGURES

        if name not in FIGURES:
            raise UserError(
                f"There is no figure '{name}'{did_you_mean(name, FIGURES)}.",
                hint=f"There are {', '.join(FIGURES)}.",
            )
        return FIGURES[name](self.experiment, self.state)

    def __repr__(self) -> str:
        return f"<{self.experiment.id}: {self.verdict}>"

    def _repr_html_(self) -> str:
        records = [run_record(run) for run in self.state.runs.values()]
        shown = [name for name in SHOWN if any(each.get(name) is not None for each in records)]

        def row(cells: list[Any], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row([each.get(name) for name in shown], "td") for each in records)
        return (
            f"<p><b>{_text(self.state.title or self.experiment.id)}</b> "
            f"({_text(self.experiment.state())})<br>{_text(self.verdict)}</p>"
            f"<table>{row(list(shown), 'th')}{body}</table>"
        )


def load(name: str = "last", out: str | Path | None = None) -> Notebook:
    """Open an experiment for a notebook: ``synergy_tui.load("last").metrics``.

    Parameters
    ----------
    name
        An id, a unique part of one, a directory, or ``last``.
    out
        Folder of the experiments, as ``--out`` of the commands.

    Raises
    ------
    UserError
        Where there is no such experiment, or it is damaged.
    """
    return Notebook(find_experiment(name, out))


def table(records: list[dict[str, Any]]) -> Any:
    """Return a DataFrame of pandas, else of polars, else the list of dictionaries itself."""
    for library in ("pandas", "polars"):
        try:
            frames = importlib.import_module(library)
        except ImportError:
            continue
        if library == "polars":
            return frames.DataFrame(records, infer_schema_length=None, strict=False)
        return frames.DataFrame(records)
    return records


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return html.escape(number(value) if isinstance(value, float) else str(value))
