"""What is known of a run at its newest step, as one flat record: for tables, JSON and exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synergy_tui.metrics import ANALYSIS_METRICS, leaf
from synergy_tui.state import ExperimentState, ProbeRecord, RunState

# Named as in expectations; `mixing_time` is there under its full name.
MEASURES = tuple(name for name in ANALYSIS_METRICS if name != "mixing_time")


def measures(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures of an analysis object by name, ``None`` where one is missing."""
    return {name: leaf(analysis, ANALYSIS_METRICS[name]) for name in MEASURES}


def conventions(probe: ProbeRecord) -> dict[str, Any]:
    """Return the conventions a probe was measured under, which no number is shown without."""
    return {key: probe.overall.get(key) for key in ("convention", "combine", "weights", "sink")}


def run_record(run: RunState) -> dict[str, Any]:
    """Return one run's newest numbers.

    Loss in nats, accuracy in 0..1, times in diffusion steps; ``None`` for what was not measured.
    """
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
        "loss": run.loss.last,
        "loss_floor": run.floor,
        "accuracy": run.accuracy.last,
    }
    probe = run.probe
    record["probe_step"] = probe.step if probe else None
    record.update(measures(probe.overall if probe else {}))
    record.update(conventions(probe) if probe else {})
    if run.reason:
        record["reason"] = run.reason
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
