"""What is known of a run at its newest step, as one flat record: for tables, JSON and exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synergy_tui.state import ExperimentState, ProbeRecord, RunState

# Record key → where the overall analysis object holds it.
MEASURES: dict[str, tuple[str, str]] = {
    "hitting_time_mean": ("mixing", "hitting_time_mean"),
    "hitting_time_median": ("mixing", "hitting_time_median"),
    "mixing_time_tv_max": ("mixing", "mixing_time_tv_max"),
    "mixing_time_l1_mean": ("mixing", "mixing_time_l1_mean"),
    "fidelity_minimax": ("fidelity", "minimax"),
    "fidelity_normalised": ("fidelity", "normalised"),
    "fidelity_amplification": ("synergy", "fidelity_amplification"),
    "mixing_gain": ("synergy", "mixing_gain"),
    "jensen_shannon": ("diversity", "jensen_shannon"),
}


def measures(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline measures of an analysis object, ``None`` where one is missing."""
    record: dict[str, Any] = {}
    for key, (group, name) in MEASURES.items():
        part = analysis.get(group)
        record[key] = part.get(name) if isinstance(part, Mapping) else None
    return record


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
    "steps to sink": "hitting_time_mean",
    "mixing time": "mixing_time_tv_max",
    "fidelity": "fidelity_minimax",
    "amplification": "fidelity_amplification",
    "mixing gain": "mixing_gain",
}
