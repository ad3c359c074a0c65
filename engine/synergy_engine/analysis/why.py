"""Why a layer is as clear and as soon as it is, and what other weights could make of it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from synergy_engine.analysis.batch import log_mean, most_frequent
from synergy_engine.errors import NotDifferentiableError
from synergy_engine.limits import soon
from synergy_engine.measures.conditions import synergy_condition
from synergy_engine.measures.fidelity import HORIZON
from synergy_engine.measures.optimum import (
    SIMPLICES,
    STARTS,
    affordable,
    climb,
    fidelity_interval,
)
from synergy_engine.measures.routing import routing_times
from synergy_engine.measures.sensitivity import sensitivity
from synergy_engine.system import MultiHeadSystem
from synergy_engine.validation import batch_of_heads

FEWEST = 32
"""Parts of the simplex that are looked at for each of many inputs."""


def why(
    system: MultiHeadSystem, *, horizon: int | None = None, certified: bool = True
) -> dict[str, Any]:
    """Which head carries what, and what no weights could beat, as ``analyze --why`` shows it.

    ``node``, ``time`` and ``value`` of the minimax fidelity; for each of the ``heads`` (from 1) its
    ``carriage`` share, its ``gradient`` and the slope ``towards`` it along the simplex; ``switch``,
    which head (row) follows which (column); ``fidelity_at_most`` and ``hitting_time_at_least``,
    which no weights can beat; the ``best`` weights with what they attain (``lower``) and what none
    exceed (``upper``); and ``helps``, the heads (from 1) that would raise the best head's fidelity.
    ``gains`` are ratios to that of the best head: ``now``, of the ``best`` weights, and
    ``at_most``, which no weights exceed; ``inf`` where no head alone is heard from every node.
    ``{"refused": reason}`` where the fidelity has no derivative. O(H · edges) per step for each of
    the weights that are tried.

    Parameters
    ----------
    horizon
        Steps at most, as in `engine.fidelity`; by default ``max(256, 4 n)``, and in systems small
        enough for it as many as `engine.fidelity` takes where those do not settle the minimum.
        What weights attain is counted within them, what none exceed over all steps.
    certified
        Whether to narrow ``best`` down by branch and bound, up to four heads.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.why(both)
    >>> found["node"], found["time"], found["fidelity_at_most"], found["helps"]
    (2, 1, 0.5, [2])
    """
    return _why(system, horizon, SIMPLICES if certified else 1, STARTS)


def _why(system: MultiHeadSystem, horizon: int | None, parts: int, starts: int) -> dict[str, Any]:
    last = soon(system.nodes) if horizon is None else horizon
    patient = min(HORIZON, affordable(system)) if horizon is None else last
    try:
        found = sensitivity(system, horizon=last)
    except NotDifferentiableError as refusal:
        if patient <= last:
            return {"refused": str(refusal)}
        return _why(system, patient, parts, starts)
    weights, _ = climb(system, last, starts)
    best = fidelity_interval(system, weights, last, most=parts)
    condition = synergy_condition(system, horizon=last)
    return {
        "node": found.node,
        "time": found.time,
        "value": found.value,
        "heads": [
            {"head": h + 1, "carriage": carriage, "gradient": gradient, "towards": towards}
            for h, (carriage, gradient, towards) in enumerate(
                zip(
                    found.carriage.tolist(),
                    found.head.tolist(),
                    found.towards.tolist(),
                    strict=True,
                )
            )
        ],
        "switch": found.switch.tolist(),
        "fidelity_at_most": best.cap,
        "hitting_time_at_least": routing_times(system).mean,
        "best": {"weights": best.weights.tolist(), "lower": best.lower, "upper": best.upper},
        "helps": [h + 1 for h in condition.helps],
        "gains": {
            name: value / condition.value if condition.value > 0 else float("inf")
            for name, value in (
                ("now", found.value),
                ("best", best.lower),
                ("at_most", min(best.upper, best.cap)),
            )
        },
    }


def why_batch(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    rows: str = "check",
    horizon: int | None = None,
    certified: bool = True,
) -> list[dict[str, Any]]:
    """`why` for attention ``(B, L, H, n, n)``: one object for each of the L layers.

    Every input is a system of its own. Over the inputs that are not refused (``inputs`` of them,
    where B > 1) ``node`` and ``time`` are the most frequent, numbers are means, ``gains``
    exponentials of mean logarithms, and ``helps`` are the heads that help in at least half.
    ``refused`` where all are, with the first one's reason.
    Many inputs share the effort spent on ``best``, whose interval is wider then.
    Arguments are those of `engine.analyze_batch` (``attention``, ``weights``, ``rows``) and of
    `why` (``horizon``, ``certified``). O(B · L) times the cost of `why`.

    Examples
    --------
    >>> import synergy_engine as engine
    >>> import numpy as np
    >>> uniform = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    >>> (layer,) = engine.why_batch(np.broadcast_to(uniform, (3, 1, 2, 4, 4)))
    >>> layer["inputs"], layer["value"], layer["helps"]
    (3, 0.25, [])
    """
    batch, shares = batch_of_heads(attention, weights, rows=rows)
    checked: Literal["any", "sinks"] = "sinks" if rows == "sinks" else "any"
    inputs, layers = batch.shape[:2]
    parts = max(FEWEST, SIMPLICES // inputs) if certified else 1
    starts = max(1, STARTS // inputs)
    return [
        merged(
            [
                _why(
                    MultiHeadSystem.from_attention(heads, shares[layer], rows=checked),
                    horizon,
                    parts,
                    starts,
                )
                for heads in batch[:, layer]
            ]
        )
        for layer in range(layers)
    ]


def merged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """One object for several inputs, as `why_batch` says."""
    if len(found) == 1:
        return found[0]
    kept = [each for each in found if "refused" not in each]
    if not kept:
        return {"refused": found[0]["refused"], "inputs": 0}

    def mean(*path: str) -> Any:
        values: list[Any] = kept
        for key in path:
            values = [each[key] for each in values]
        return np.mean(values, axis=0).tolist()

    heads = [
        {"head": h + 1}
        | {
            key: float(np.mean([each["heads"][h][key] for each in kept]))
            for key in ("carriage", "gradient", "towards")
        }
        for h in range(len(kept[0]["heads"]))
    ]
    helped = [sum(h["head"] in each["helps"] for each in kept) for h in heads]
    return {
        "node": most_frequent(np.array([each["node"] for each in kept])),
        "time": most_frequent(np.array([each["time"] for each in kept])),
        "value": mean("value"),
        "heads": heads,
        "switch": mean("switch"),
        "fidelity_at_most": mean("fidelity_at_most"),
        "hitting_time_at_least": mean("hitting_time_at_least"),
        "best": {key: mean("best", key) for key in ("weights", "lower", "upper")},
        "helps": [h + 1 for h, count in enumerate(helped) if 2 * count >= len(kept)],
        "gains": {
            key: log_mean(np.array([each["gains"][key] for each in kept]))
            for key in ("now", "best", "at_most")
        },
        "inputs": len(kept),
    }
