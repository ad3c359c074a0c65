"""The names of metrics, which expectations, tables and sweeps share.

`synergy_tui.experiments.metrics` reads their values.
"""

from __future__ import annotations

import re

from synergy_tui.errors import did_you_mean

# Losses of single batches jump; a run's loss is the mean over its last reports.
LAST_REPORTS = 20

RUN_METRICS = {
    "parameters": "trained numbers",
    "heads": "heads per layer",
    "layers": "layers",
    "nodes": "tokens or nodes",
    "step": "newest step",
    "loss": "held-out loss of eval_sequences at the newest probe, else the training loss; nats",
    "accuracy": "held-out accuracy of eval_sequences, else the training accuracy",
    "training_loss": f"training loss, mean of the last {LAST_REPORTS} reports, nats",
    "training_accuracy": f"training accuracy, mean of the last {LAST_REPORTS} reports",
    "held_out_loss": "loss on held-out sequences at the newest probe, nats",
    "held_out_accuracy": "accuracy on held-out sequences at the newest probe",
    "floor": "lowest loss that any model can reach, nats",
    "ceiling": "highest accuracy that any model can reach",
    "tokens_per_second": "training throughput",
}
"""Metrics of a whole run, and what they are."""

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
    "loss_without": "loss_without",
}
"""Metrics of one head (``head2.fidelity``, ``layer1.head2.fidelity``)."""

METRICS = (*RUN_METRICS, *ANALYSIS_METRICS)

PLACE = re.compile(
    r"(?:layer(?P<layer>[1-9]\d{0,3})\.)?(?:head(?P<head>[1-9]\d{0,3})\.)?(?P<name>.+)"
)


def unknown_metric(name: str) -> str | None:
    """Return a sentence with the nearest name when no metric has this one."""
    match = PLACE.fullmatch(name)
    assert match is not None
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
