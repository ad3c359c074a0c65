"""Means over layers of everything that is measured of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from synergy_engine.analysis.batch import log_mean, mean
from synergy_engine.arrays import Floats
from synergy_engine.errors import EngineError

RATIOS = (
    "fidelity_amplification",
    "fidelity_amplification_held_out",
    "mixing_gain",
    "hitting_gain",
)
"""Keys of what is averaged by its logarithm."""


def overall(analyses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over layers of every number, with the same keys and ``"layer": "overall"``.

    Ratios, and the ends of their intervals, are averaged by their logarithms. What is equal in all
    layers stays as it is. A time that is censored in one layer is censored; a bound holds when it
    holds in every layer. Arrival curves are averaged over the steps of the longest. What has no
    mean over layers is empty: ``per_head``, the ``pairs`` of heads, and the ``argmin`` and ``time``
    of fidelity where they differ. O(size of the analyses).

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> both = [engine.analyze(system, layer=k) for k, system in enumerate([line, line], start=1)]
    >>> found = engine.overall(both)
    >>> found["layer"], found["layers"], found["mixing"]["hitting_time_mean"]
    ('overall', 2, 2.0)
    """
    dicts = [dict(analysis) for analysis in analyses]
    if not dicts:
        raise EngineError("There are no analyses to take a mean of.")
    merged: dict[str, Any] = {
        key: _merge([d[key] for d in dicts])
        for key in dicts[0]
        if key not in ("layer", "per_head", "arrival") and all(key in d for d in dicts)
    }
    for key in ("argmin", "time"):
        places = {d["fidelity"][key] for d in dicts}
        merged["fidelity"][key] = places.pop() if len(places) == 1 else None
    merged["fidelity"]["unreachable"] = sorted(
        {node for d in dicts for node in d["fidelity"]["unreachable"]}
    )
    if len(dicts) > 1:
        merged["diversity"]["pairs"] = []
    merged["per_head"] = dicts[0]["per_head"] if len(dicts) == 1 else []
    steps = max((d["arrival"]["steps"] for d in dicts), key=lambda steps: steps[-1])
    merged["arrival"] = {"steps": steps} | {
        name: np.mean(
            [np.interp(steps, d["arrival"]["steps"], d["arrival"][name]) for d in dicts], axis=0
        ).tolist()
        for name in ("mean", "median", "worst")
    }
    return {"layer": "overall", "layers": len(dicts)} | {
        key: merged[key] for key in dicts[0] if key in merged
    }


def _merge(values: list[Any], average: Callable[[Floats], float] = mean) -> Any:
    """Average the values that several layers give for the same key."""
    first = values[0]
    if isinstance(first, dict):
        return {
            key: _merge([v[key] for v in values], log_mean if key in RATIOS else mean)
            for key in first
        }
    if all(type(v) is type(first) and v == first for v in values):
        return first
    if any(isinstance(v, str) for v in values):
        # A censored time beside known ones, or texts that differ.
        return next(v for v in values if isinstance(v, str))
    if isinstance(first, list):
        same_length = all(len(v) == len(first) for v in values)
        return [_merge(list(v), average) for v in zip(*values, strict=True)] if same_length else []
    if any(v is None or isinstance(v, bool) for v in values):
        return False if False in values else None if None in values else True
    return average(np.array(values, dtype=float))
