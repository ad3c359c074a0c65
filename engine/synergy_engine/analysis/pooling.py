"""Analyses of inputs of different lengths as one: each was measured on its own length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synergy_engine.analysis.analysis import Analysis, per_input
from synergy_engine.analysis.batch import (
    amplification_held_out,
    interval,
    log_interval,
    log_mean,
    most_frequent,
    ratio,
)
from synergy_engine.analysis.means import overall
from synergy_engine.arrays import Floats
from synergy_engine.measures.mixing import MIXING_TIMES

_RATIOS = ("fidelity_amplification", "mixing_gain", "hitting_gain")
_TIMES = (
    "arrival_median",
    *(f"mixing_time_{distance}_{aggregate}" for distance, aggregate in MIXING_TIMES),
)


def pool(inputs: Sequence[Mapping[str, Any]]) -> Analysis:
    """One layer's analyses of single inputs, which may differ in length, as one over inputs.

    As `engine.analyze_batch` averages inputs of one length: means; medians of times that may be
    censored; exponentials of mean logarithms of ratios; 95 % intervals. ``nodes`` is the largest
    length, ``lengths`` lists all. Arrival curves are averaged over the steps of the longest. Nodes
    are numbered from where each input begins. O(size of the analyses).

    >>> import synergy_engine as engine, numpy as np
    >>> uniform = [np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None] for n in (4, 8)]
    >>> each = [engine.analyze_batch(one[None, None, None])[0] for one in uniform]
    >>> found = engine.pool(each)
    >>> found["inputs"], found["lengths"], found["fidelity"]["minimax"]
    (2, [4, 8], 0.1875)
    """
    first = inputs[0]
    if len(inputs) == 1:
        return Analysis(dict(first))
    merged = overall(inputs)
    heads = [[each["per_head"][h] for each in inputs] for h in range(first["heads"])]
    clear = [each["fidelity"] for each in inputs]
    held_out = amplification_held_out(
        np.array([each["minimax"] for each in clear]),
        np.array([[head["fidelity_minimax"] for head in each["per_head"]] for each in inputs]),
    )
    known: dict[str, Floats] = {
        "hitting_time_mean": _numbers(inputs, "mixing", "hitting_time_mean"),
        "hitting_time_capped_mean": _numbers(inputs, "mixing", "hitting_time_capped_mean"),
        "fidelity_minimax": _numbers(inputs, "fidelity", "minimax"),
        "fidelity_amplification": _numbers(inputs, "synergy", "fidelity_amplification"),
        "mixing_gain": _numbers(inputs, "synergy", "mixing_gain"),
        "hitting_gain": ratio(
            np.array([min(h["hitting_time_mean"] for h in each["per_head"]) for each in inputs]),
            _numbers(inputs, "mixing", "hitting_time_mean"),
        ),
    }
    intervals = {
        name: (log_interval if name in _RATIOS else interval)(values)
        for name, values in known.items()
    }
    if held_out is not None:
        intervals["fidelity_amplification_held_out"] = log_interval(held_out)
    mixing = merged["mixing"]
    return Analysis(
        {key: value for key, value in merged.items() if key != "layers"}
        | {
            "layer": first["layer"],
            "nodes": max(each["nodes"] for each in inputs),
            "lengths": [each["nodes"] for each in inputs],
            "inputs": len(inputs),
            "mixing": mixing
            | {name: _median([each["mixing"][name] for each in inputs]) for name in _TIMES}
            | {
                "backward": {
                    name: _median([each["mixing"]["backward"][name] for each in inputs])
                    for name in mixing["backward"]
                }
            },
            "fidelity": merged["fidelity"]
            | {
                key: most_frequent(np.array([each[key] for each in clear]))
                for key in ("argmin", "time")
            }
            | {
                "horizon": max(each["horizon"] for each in clear),
                "depth": max(each["depth"] for each in clear),
            },
            "per_head": [
                {
                    "head": same[0]["head"],
                    "weight": same[0]["weight"],
                    "hitting_time_mean": float(np.mean([h["hitting_time_mean"] for h in same])),
                    "mixing_time_tv_max": _median([h["mixing_time_tv_max"] for h in same]),
                    "fidelity_minimax": float(np.mean([h["fidelity_minimax"] for h in same])),
                }
                for same in heads
            ],
            "synergy": merged["synergy"]
            | {
                "fidelity_amplification_held_out": None if held_out is None else log_mean(held_out),
                "mixing_gain_censored": any(
                    each["synergy"]["mixing_gain_censored"] for each in inputs
                ),
            },
            "diversity": merged["diversity"]
            | {"pairs": np.mean([each["diversity"]["pairs"] for each in inputs], axis=0).tolist()},
            "intervals": intervals,
            "per_input": per_input(known["hitting_time_mean"], known["fidelity_minimax"]),
        }
    )


def _numbers(inputs: Sequence[Mapping[str, Any]], group: str, name: str) -> Floats:
    return np.array([each[group][name] for each in inputs], dtype=float)


def _median(times: Sequence[int | float | str]) -> int | float | str:
    """The median of times; those that were not reached, as texts, come last."""
    missed = next((time for time in times if isinstance(time, str)), "")
    middle = float(np.median([np.inf if isinstance(time, str) else time for time in times]))
    if not np.isfinite(middle) and missed:
        return missed
    return int(middle) if middle.is_integer() else middle
