"""The numbers of a run by name, for expectations, verdicts, tables and sweeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from synergy_tui.experiments.analysis import Analysis
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.scenario.metrics import (
    ANALYSIS_METRICS,
    HEAD_METRICS,
    LAST_REPORTS,
    PLACE,
    RUN_METRICS,
    unknown_metric,
)
from synergy_tui.words import AtLeast, Value

# Named as in expectations; `mixing_time` is there under its full name.
MEASURES = tuple(name for name in ANALYSIS_METRICS if name != "mixing_time")

# Heading → key of the record, in the order tables show them.
COLUMNS: dict[str, str] = {
    "heads": "heads",
    "parameters": "parameters",
    "step": "step",
    "loss": "loss",
    "accuracy": "accuracy",
    "steps to sink": "hitting_time",
    "mixing time": "mixing_time_tv_max",
    "fidelity": "fidelity",
    "amplification": "amplification",
    "mixing gain": "mixing_gain",
}


def metric(run: RunState, name: str, step: int | None = None) -> Value:
    """Return a run's number at a training step (``None``: the newest).

    ``name`` is one of `METRICS`, with ``layer2.`` or ``head3.`` before it where that is meant (both
    count from 1). A mixing time beyond the step limit is an `AtLeast`; an `UndecidedError` says
    that the run has no such number (yet).
    """
    match = PLACE.fullmatch(name)
    if match is None or unknown_metric(name):
        raise UndecidedError(f"{run.name}: {unknown_metric(name)}")
    layer, head = match["layer"], match["head"]
    value: Any
    if match["name"] in RUN_METRICS and not head and not layer:
        value = _run_metric(run, match["name"], step)
    else:
        analysis = _analysis(run, int(layer) if layer else None, step)
        if head:
            heads = analysis.get("per_head") or []
            if int(head) > len(heads):
                raise UndecidedError(f"{run.name} has {len(heads)} heads, not {head}")
            value = heads[int(head) - 1].get(HEAD_METRICS[match["name"]])
        else:
            value = leaf(analysis, ANALYSIS_METRICS[match["name"]])
    return as_value(value, f"{run.name}.{name}")


def leaf(analysis: Any, path: tuple[str, ...]) -> Any:
    """Return the value at ``path`` of an analysis object, or ``None``."""
    for key in path:
        analysis = analysis.get(key) if isinstance(analysis, dict) else None
    return analysis


def as_value(value: Any, name: str) -> Value:
    """Return a number of an analysis as something to compare; ``"> 10000"`` becomes `AtLeast`."""
    if isinstance(value, str) and value.startswith(">"):
        return AtLeast(float(value[1:].replace(",", "")))
    if value is None or isinstance(value, str):
        raise UndecidedError(f"{name} is not known")
    return float(value)


def as_number(value: Any) -> float | None:
    """Return a measure as a number: what was not reached (``> 10000``) is infinite."""
    if value is None:
        return None
    try:
        return float(value)
    except (ValueError, TypeError):
        return math.inf if str(value).startswith(">") else math.nan


def _analysis(run: RunState, layer: int | None, step: int | None) -> Analysis:
    probe = run.probe_at(step)
    if probe is None:
        raise UndecidedError(f"{run.name} was not measured")
    if layer is None:
        return probe.whole
    if layer > len(probe.layers):
        raise UndecidedError(f"{run.name} has {len(probe.layers)} layers, not {layer}")
    return probe.layers[layer - 1]


def evaluated(run: RunState, step: int | None = None) -> Probe | None:
    """Return the newest probe where it has a loss and an accuracy to compare runs by."""
    probe = run.probe_at(step)
    return probe if probe is not None and probe.eval_sequences else None


def _run_metric(run: RunState, name: str, step: int | None) -> float | None:
    if name == "step":
        return run.step if step is None else min(step, run.step)
    if name in ("loss", "accuracy"):
        name = f"held_out_{name}" if evaluated(run, step) else f"training_{name}"
    if name.startswith("training_"):
        last = run.series[name.removeprefix("training_")].until(step)[-LAST_REPORTS:]
        return float(last.mean()) if len(last) and not math.isnan(last[-1]) else None
    if name == "tokens_per_second":
        return run.speed.last if step is None else run.speed.at(step)
    if name.startswith("held_out_"):
        probe = run.probe_at(step)
        return getattr(probe, name.removeprefix("held_out_"), None) if probe else None
    value: float | None = getattr(run, name)
    return value


def measures(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures of an analysis object by name, ``None`` where one is missing."""
    return {name: leaf(analysis, ANALYSIS_METRICS[name]) for name in MEASURES}


def conventions(probe: Probe) -> dict[str, Any]:
    """Return the conventions a probe was measured under, which no number is shown without."""
    return {key: probe.overall.get(key) for key in ("convention", "combine", "weights", "sink")}


def run_record(run: RunState) -> dict[str, Any]:
    """Return one run's newest numbers; ``None`` for what was not measured.

    ``loss_of`` says whether loss and accuracy are of held-out sequences or of the last batch.
    """
    compared = evaluated(run)
    record: dict[str, Any] = {
        "run": run.name,
        "kind": run.kind,
        "status": run.status,
        "heads": run.heads,
        "parameters": run.parameters,
        "task": run.task,
        "seed": run.seed,
        "device": run.device,
        "step": run.step,
        "steps": run.total_steps,
        "loss": compared.loss if compared else run.loss.last,
        "loss_of": "held-out" if compared else "training" if len(run.loss) else None,
        "loss_floor": run.floor,
        "accuracy": compared.accuracy if compared else run.accuracy.last,
        "interventions": run.interventions,
    }
    probe = run.probe
    record["probe_step"] = probe.step if probe else None
    record.update(measures(probe.overall if probe else {}))
    record.update(conventions(probe) if probe else {})
    if run.reason:
        record["reason"] = run.reason
    return record


def averaged_record(run: RunState) -> dict[str, Any]:
    """As `run_record`, but with training losses and accuracies averaged over the last reports.

    What people are shown, so that no two tables of one run differ: expectations and the verdict
    compare these numbers.
    """
    record = run_record(run)
    for name in ("loss", "accuracy"):
        record[name] = None
        with suppress(UndecidedError):
            record[name] = metric(run, name)
    return record


def experiment_record(state: ExperimentState) -> dict[str, Any]:
    """Return an experiment's runs, expectations and warnings as plain values."""
    return {
        "title": state.title,
        "seed": state.seed,
        "versions": state.versions,
        "runs": [run_record(run) for run in state.runs.values()],
        "expectations": [
            {key: event.get(key) for key in ("that", "holds", "left", "right")}
            for event in state.expectations
        ],
        "warnings": [
            {"t": time, "run": run, "message": message} for time, run, message in state.warnings
        ],
    }
