"""The numbers of a run by name, for expectations, verdicts, tables and sweeps."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from synergy_tui.expect import AtLeast, UndecidedError, Value
from synergy_tui.nearest import did_you_mean

if TYPE_CHECKING:
    from synergy_tui.state import RunState

# Losses of single batches jump; what a run has come to is the mean over its last reports.
LAST_REPORTS = 20

RUN_METRICS = {
    "parameters": "trained numbers",
    "heads": "heads a layer",
    "layers": "layers",
    "nodes": "tokens or nodes",
    "step": "newest step",
    "loss": f"training loss, mean of the last {LAST_REPORTS} reports, nats",
    "accuracy": f"training accuracy, mean of the last {LAST_REPORTS} reports",
    "held_out_loss": "loss on the probe's held-out inputs, nats",
    "held_out_accuracy": "accuracy on the probe's held-out inputs",
    "floor": "lowest loss that any model can reach, nats",
    "ceiling": "highest accuracy that any model can reach",
    "tokens_per_second": "training throughput",
}
"""Metrics of a whole run, with what they are."""

ANALYSIS_METRICS = {
    "hitting_time": ("mixing", "hitting_time_mean"),
    "hitting_time_median": ("mixing", "hitting_time_median"),
    "hitting_time_capped": ("mixing", "hitting_time_capped_mean"),
    "arrival_median": ("mixing", "arrival_median"),
    "mixing_time": ("mixing", "mixing_time_tv_max"),
    "mixing_time_tv_max": ("mixing", "mixing_time_tv_max"),
    "mixing_time_tv_mean": ("mixing", "mixing_time_tv_mean"),
    "mixing_time_l1_max": ("mixing", "mixing_time_l1_max"),
    "mixing_time_l1_mean": ("mixing", "mixing_time_l1_mean"),
    "mixing_time_backward_tv_max": ("mixing", "backward", "mixing_time_tv_max"),
    "mixing_time_backward_tv_mean": ("mixing", "backward", "mixing_time_tv_mean"),
    "mixing_time_backward_l1_max": ("mixing", "backward", "mixing_time_l1_max"),
    "mixing_time_backward_l1_mean": ("mixing", "backward", "mixing_time_l1_mean"),
    "fidelity": ("fidelity", "minimax"),
    "normalised_fidelity": ("fidelity", "normalised"),
    "fidelity_lower": ("fidelity", "lower"),
    "fidelity_upper": ("fidelity", "upper"),
    "amplification": ("synergy", "fidelity_amplification"),
    "mixing_gain": ("synergy", "mixing_gain"),
    "best_head_fidelity": ("synergy", "best_head_fidelity"),
    "beats_best_head": ("synergy", "beats_best_head"),
    "diversity.jensen_shannon": ("diversity", "jensen_shannon"),
    "diversity.jaccard": ("diversity", "jaccard"),
    "diversity.cosine_disagreement": ("diversity", "cosine_disagreement"),
}
"""Metrics of attention, averaged over layers or of one (``layer2.fidelity``)."""

HEAD_METRICS = {
    "weight": "weight",
    "hitting_time": "hitting_time_mean",
    "mixing_time": "mixing_time_tv_max",
    "fidelity": "fidelity_minimax",
}
"""Metrics of one head (``head2.fidelity``, ``layer1.head2.fidelity``)."""

METRICS = (*RUN_METRICS, *ANALYSIS_METRICS)
_PLACE = re.compile(
    r"(?:layer(?P<layer>[1-9]\d{0,3})\.)?(?:head(?P<head>[1-9]\d{0,3})\.)?(?P<name>.+)"
)


def problem(name: str) -> str | None:
    """Return what is wrong with a metric's name, with the nearest one, or ``None``."""
    match = _PLACE.fullmatch(name)
    assert match is not None
    known: tuple[str, ...] | dict[str, Any]
    if match["head"]:
        known = tuple(HEAD_METRICS)
    else:
        known = tuple(ANALYSIS_METRICS) if match["layer"] else METRICS
    if match["name"] in known:
        return None
    return (
        f"there is no metric '{match['name']}'{did_you_mean(match['name'], known)} "
        f"(allowed: {', '.join(known)})"
    )


def metric(run: RunState, name: str, step: int | None = None) -> Value:
    """Return a run's number.

    Parameters
    ----------
    run
        As folded from the log.
    name
        A name of :data:`METRICS`, with ``layer2.`` or ``head3.`` before it where that is meant
        (both count from 1).
    step
        As it was at this training step; the newest when ``None``.

    Returns
    -------
    float or AtLeast
        A mixing time beyond the step limit is an :class:`~synergy_tui.expect.AtLeast`.

    Raises
    ------
    UndecidedError
        The run has no such number (yet).
    """
    match = _PLACE.fullmatch(name)
    if match is None or problem(name):
        raise UndecidedError(f"{run.name}: {problem(name)}")
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
    """Return what an analysis object holds at ``path``, or ``None``."""
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


def _analysis(run: RunState, layer: int | None, step: int | None) -> dict[str, Any]:
    probe = run.probe_at(step)
    if probe is None:
        raise UndecidedError(f"{run.name} was not measured")
    if layer is None:
        return probe.overall if len(probe.layers) != 1 else probe.layers[0]
    if layer > len(probe.layers):
        raise UndecidedError(f"{run.name} has {len(probe.layers)} layers, not {layer}")
    return probe.layers[layer - 1]


def _run_metric(run: RunState, name: str, step: int | None) -> float | None:
    if name == "step":
        return run.step if step is None else min(step, run.step)
    if name in ("loss", "accuracy"):
        series = run.loss if name == "loss" else run.accuracy
        last = series.until(step)[-LAST_REPORTS:]
        return float(last.mean()) if len(last) and not math.isnan(last[-1]) else None
    if name == "tokens_per_second":
        return run.speed.last if step is None else run.speed.at(step)
    if name.startswith("held_out_"):
        probe = run.probe_at(step)
        return getattr(probe, name.removeprefix("held_out_"), None) if probe else None
    value: float | None = getattr(run, name)
    return value
