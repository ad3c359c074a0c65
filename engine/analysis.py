"""Everything about a layer at once: one system, or a batch of inputs with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import validation
from .convention import Convention
from .convention import convention as named_convention
from .disagreement import dense_diversity, diversity
from .errors import EngineError, InvalidSystemError, choose
from .minimax import TOLERANCE, results, run_peaks
from .mixing import CONVENTIONS, MAX_STEPS, levels
from .operators import (
    COMBINATIONS,
    DenseStack,
    Stack,
    Survival,
    dense_heads,
    dense_mixtures,
    heads,
    merge_equal,
    mix,
    mixture,
    paper_chains,
)
from .predictions import bound_table
from .system import MultiHeadSystem

Floats = npt.NDArray[np.float64]

HORIZON = 1_000
"""Steps an analysis spends on certifying fidelity; `engine.fidelity` takes more when asked."""

CURVE_POINTS = 64
MIXED = 0.01
"""An arrival curve is drawn until the mean has all but this share arrived."""

TIE = 1e-9
"""Amplifications within this of 1 are ties: rounding, not synergy."""


@dataclass(frozen=True)
class Options:
    """How an analysis measures."""

    convention: Convention
    combine: str
    epsilon: float
    max_steps: int
    horizon: int


@dataclass(frozen=True)
class Analysis:
    """The measures of one layer, as `as_dict` and `synergy analyze --json` show them.

    Attributes
    ----------
    values
        Plain Python numbers, lists and dicts, in the order they are shown. Infinite numbers are
        ``float("inf")``; a mixing time beyond ``max_steps`` is the text ``"> 10000"``.
    """

    values: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as a new dictionary."""
        return dict(self.values)

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


@dataclass
class _Stacks:
    """The operators of S systems of H heads each."""

    systems: int
    heads: int
    walks: Stack
    diffusions: Stack
    walk: Stack
    diffusion: Stack
    same: npt.NDArray[np.bool_]
    """Which systems consist of one head, or of heads that are equal bit for bit."""


def analyze(
    system: MultiHeadSystem,
    *,
    convention: str = "theory",
    combine: str = "walks",
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    horizon: int | None = None,
    layer: int | str = 1,
) -> Analysis:
    """Measure a system: mixing, fidelity, each head, synergy, diversity, bounds, arrival.

    Parameters
    ----------
    convention
        ``"theory"``, ``"feedforward"`` or ``"paper-code"`` (`engine.convention`).
    combine
        ``"walks"`` mixes the heads' walks, ``"attention"`` their attention (`engine.walk`).
    epsilon
        Distance below which a walk counts as mixed.
    max_steps
        Where mixing times are censored.
    horizon
        Steps to spend on certifying fidelity (default `HORIZON`, or what the convention says).
    layer
        What the result calls its layer.

    >>> import engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> found = engine.analyze(both)
    >>> round(found["synergy"]["fidelity_amplification"], 6)
    1.111111
    """
    options = _options(convention, combine, epsilon, max_steps, horizon)
    if system.dense is not None:
        stacks = _dense_stacks(system.dense[None], system.weights[None], options)
        diversities = [dense_diversity_of(stacks.diffusions, 0, system.heads)]
    else:
        if options.convention.published_walk:
            raise EngineError(
                'The convention "paper-code" is about attention; it takes dense heads only.'
            )
        stacks = _Stacks(
            systems=1,
            heads=system.heads,
            walks=heads(system, "walk"),
            diffusions=heads(system, "diffusion"),
            walk=mixture(system, "walk", options.combine),
            diffusion=mixture(system, "diffusion"),
            same=np.array([system.heads == 1]),
        )
        found = diversity(system)
        diversities = [(found.jensen_shannon, found.jaccard, found.cosine_disagreement)]
    return _analysis(
        stacks, system.weights[None], system.weights_label, np.array(diversities), options, layer
    )


def dense_diversity_of(stack: Stack, first: int, count: int) -> tuple[float, float, float]:
    """Diversity of ``count`` diffusions of a stack from ``first`` on."""
    found = dense_diversity(np.stack([stack.array(first + h) for h in range(count)]))
    return found.jensen_shannon, found.jaccard, found.cosine_disagreement


def analyze_batch(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    convention: str = "theory",
    combine: str = "walks",
    epsilon: float = 0.25,
    max_steps: int = MAX_STEPS,
    horizon: int | None = None,
    weights_label: str | None = None,
) -> list[Analysis]:
    """Measure attention ``(B, L, H, n, n)``: one `Analysis` for each of the L layers.

    Every input is a system of its own; numbers are means over the B inputs (mixing times:
    medians), with 95 % Student-t intervals over inputs where B > 1.

    Parameters
    ----------
    attention
        Rows = queries, lower triangular, rows summing to one; float32 is kept and accumulated in
        float64.
    weights
        Head weights ``(L, H)`` or ``(H,)``, normalised, or ``"uniform"``.
    weights_label
        What to call the weights, say ``"learned"``.
    """
    options = _options(convention, combine, epsilon, max_steps, horizon)
    batch = validation.dense_heads(attention, rows="check")
    if batch.ndim != 5:
        raise InvalidSystemError(
            f"The attention has shape {batch.shape}; expected (inputs, layers, heads, n, n)."
        )
    inputs, layers, count = batch.shape[:3]
    if isinstance(weights, str):
        shares = np.tile(validation.head_weights(weights, count), (layers, 1))
        label = weights_label or "uniform"
    else:
        given = np.broadcast_to(np.asarray(weights, dtype=np.float64), (layers, count))
        shares = np.stack([validation.head_weights(row, count) for row in given])
        label = weights_label or "given"
    found = []
    for layer in range(layers):
        system_heads = np.ascontiguousarray(batch[:, layer])
        per_input = np.tile(shares[layer], (inputs, 1))
        stacks = _dense_stacks(system_heads, per_input, options)
        diversities = np.array(
            [dense_diversity_of(stacks.diffusions, b * count, count) for b in range(inputs)]
        )
        found.append(_analysis(stacks, per_input, label, diversities, options, layer + 1))
    return found


def _options(
    convention: str, combine: str, epsilon: float, max_steps: int, horizon: int | None
) -> Options:
    chosen = named_convention(convention)
    choose("combine", combine, COMBINATIONS)
    levels(epsilon)
    if max_steps < 1:
        raise EngineError(f"max_steps is {max_steps}; it must be 1 or more.")
    return Options(chosen, combine, epsilon, max_steps, chosen.horizon or horizon or HORIZON)


def _dense_stacks(batch: npt.NDArray[np.floating], weights: Floats, options: Options) -> _Stacks:
    systems, count, n = batch.shape[:3]
    flat = batch.reshape(-1, n, n)
    if options.convention.published_walk:
        one = np.ones((systems, count, n))
        walks: DenseStack = paper_chains(flat)
        walk = paper_chains(mix(batch, weights, one, one))
    else:
        walks = dense_heads(flat, "walk")
        walk = dense_mixtures(batch, weights, "walk", options.combine)
    return _Stacks(
        systems=systems,
        heads=count,
        walks=walks,
        diffusions=dense_heads(flat, "diffusion"),
        walk=walk,
        diffusion=dense_mixtures(batch, weights, "diffusion"),
        same=np.count_nonzero(merge_equal(batch, weights), axis=1) == 1,
    )


def _survival(stack: Stack, options: Options, *, pulled: bool = False) -> Survival:
    """Crossings of the four mixing levels, then median arrival, then the end of the curve."""
    where, of_mean = levels(options.epsilon)
    state = Survival.start(
        stack.count,
        stack.nodes,
        levels=[*where, np.nextafter(0.5, 1)],
        of_mean=[*of_mean, True],
        cap=0 if pulled else options.convention.cap,
        pulled=pulled,
    )
    stack.survive(state, options.max_steps)
    return state


def _median_time(crossings: npt.NDArray[np.int64], options: Options) -> int | float | str:
    """Median over inputs of times of which -1 means censored."""
    times = np.where(crossings < 0, np.inf, crossings.astype(float))
    middle = float(np.median(times))
    if np.isfinite(middle):
        return int(middle) if middle.is_integer() else middle
    return f"> {options.max_steps}"


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _interval(values: Floats) -> list[float]:
    """95 % Student-t interval of the mean over inputs; the value itself for one input."""
    from scipy.special import stdtrit

    middle = _mean(values)
    if len(values) < 2 or not np.isfinite(middle):
        return [middle, middle]
    half = float(stdtrit(len(values) - 1, 0.975)) * float(np.std(values, ddof=1))
    half /= float(np.sqrt(len(values)))
    return [middle - half, middle + half]


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element-wise ratio in which 0/0 and inf/inf are ties: 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = numerator / denominator
    return np.where(np.isnan(ratio), 1.0, ratio)


def _arrival_curve(stack: Stack, last: int) -> dict[str, list[Any]]:
    """Worst, median and mean arrival over starts at up to `CURVE_POINTS` steps, mean of inputs."""
    if last < CURVE_POINTS:
        steps = np.arange(last + 1)
    else:
        steps = np.unique(np.round(np.geomspace(1, last, CURVE_POINTS - 1)).astype(int))
        steps = np.concatenate([[0], steps])
    state = Survival.start(stack.count, stack.nodes, levels=[], of_mean=[])
    curve: dict[str, list[Any]] = {"steps": steps.tolist(), "mean": [], "median": [], "worst": []}
    for step in steps.tolist():
        state.cap = step
        stack.survive(state, step)
        arrived = 1.0 - state.survival
        curve["mean"].append(float(arrived.mean()))
        curve["median"].append(float(np.median(arrived, axis=1).mean()))
        curve["worst"].append(float(arrived.min(axis=1).mean()))
    return curve


def _analysis(
    stacks: _Stacks,
    weights: Floats,
    label: str,
    diversities: Floats,
    options: Options,
    layer: int | str,
) -> Analysis:
    """Measure S systems of one layer and average over them."""
    chosen = options.convention
    systems, count, n = stacks.systems, stacks.heads, stacks.walk.nodes
    same = stacks.same

    head_state = _survival(stacks.walks, options)
    state = _survival(stacks.walk, options)
    backward = _survival(stacks.diffusion, options, pulled=True)
    if chosen.published_walk:
        # The published walk is cut at the cap: its mean is the capped one.
        hitting = state.capped[:, None]
        head_hitting = head_state.capped
    else:
        hitting = stacks.walk.hitting()
        head_hitting = stacks.walks.hitting().mean(axis=1)
    head_hitting = head_hitting.reshape(systems, count)
    mean_hitting = hitting.mean(axis=1)

    tolerance = -1.0 if chosen.horizon else TOLERANCE
    horizon = options.horizon
    head_peaks = run_peaks(
        stacks.diffusions, tolerance=tolerance, horizon=horizon, every_node=False
    )
    peaks = run_peaks(stacks.diffusion, tolerance=tolerance, horizon=horizon, every_node=False)
    clear = results(peaks, stacks.diffusion, tolerance, chosen.sink)
    head_clear = results(head_peaks, stacks.diffusions, tolerance, chosen.sink)
    minimax = np.array([f.minimax for f in clear])
    head_minimax = np.array([f.minimax for f in head_clear]).reshape(systems, count)
    best = head_minimax.max(axis=1)
    # Equal heads mix to that head exactly; computing the mixture again would only round.
    minimax = np.where(same, best, minimax)
    mean_hitting = np.where(same, head_hitting[:, 0], mean_hitting)
    amplification = _ratio(minimax, best)

    headline = CONVENTIONS.index((chosen.distance, chosen.aggregate))
    head_times = head_state.crossing[:, headline].reshape(systems, count)
    times = np.where(same, head_times[:, 0], state.crossing[:, headline])
    known = np.where(times < 0, options.max_steps, times).astype(float)
    head_known = np.where(head_times < 0, options.max_steps, head_times).astype(float)
    gain = _ratio(head_known.min(axis=1), known)

    middle = _middle(minimax)
    picked = clear[middle]
    leaving = stacks.walks.leaving().reshape(systems, count, n)
    bounds = bound_table(
        leaving=leaving,
        weights=weights,
        epsilon=options.epsilon,
        mixing_tv_max=_censored(state.crossing[:, 0]),
        backward_l1_mean=_censored(backward.crossing[:, 3]),
        normalised=n * minimax,
        one_source=_one_source(stacks.diffusion),
    )
    end = state.crossing[:, 4]
    curve_end = _curve_end(stacks.walk, options)
    del end
    values: dict[str, Any] = {
        "layer": layer,
        "heads": count,
        "nodes": n,
        "inputs": systems,
        "head_weights": [float(w) for w in weights.mean(axis=0)],
        "weights": label,
        "convention": chosen.name,
        "combine": "attention" if chosen.published_walk else options.combine,
        "epsilon": options.epsilon,
        "sink": chosen.sink,
        "mixing": {
            "hitting_time_mean": _mean(mean_hitting),
            "hitting_time_median": _mean(np.median(hitting, axis=1)),
            "hitting_time_capped_mean": _mean(state.capped),
            "hitting_time_cap": chosen.cap,
            "arrival_median": _median_time(state.crossing[:, 4], options),
            "max_steps": options.max_steps,
            **_four(state.crossing, options),
            "backward": _four(backward.crossing, options),
        },
        "fidelity": {
            "minimax": _mean(minimax),
            "normalised": n * _mean(minimax),
            "argmin": _most_frequent([f.argmin for f in clear]),
            "time": _most_frequent([int(f.time[f.argmin]) for f in clear]),
            "lower": _mean(np.array([f.lower for f in clear])),
            "upper": _mean(np.array([f.upper for f in clear])),
            "converged": sum(f.converged for f in clear) / systems,
            "horizon": max(f.horizon for f in clear),
            "unreachable": list(picked.unreachable),
        },
        "per_head": [
            {
                "head": h + 1,
                "weight": float(weights[:, h].mean()),
                "hitting_time_mean": _mean(head_hitting[:, h]),
                "mixing_time_tv_max": _median_time(
                    head_state.crossing[:, 0].reshape(systems, count)[:, h], options
                ),
                "fidelity_minimax": _mean(head_minimax[:, h]),
            }
            for h in range(count)
        ],
        "synergy": {
            "fidelity_amplification": _mean(amplification),
            "mixing_gain": _mean(gain),
            "mixing_gain_censored": bool(np.any(times < 0) or np.any(head_times.min(axis=1) < 0)),
            "hitting_gain": _mean(_ratio(head_hitting.min(axis=1), mean_hitting)),
            "best_head_fidelity": _mean(best),
            "beats_best_head": _mean((amplification > 1 + TIE).astype(float)),
        },
        "diversity": dict(
            zip(
                ("jensen_shannon", "jaccard", "cosine_disagreement"),
                (float(x) for x in diversities.mean(axis=0)),
                strict=True,
            )
        ),
        "bounds": bounds,
        "arrival": _arrival_curve(stacks.walk, curve_end),
        "intervals": {
            "hitting_time_mean": _interval(mean_hitting),
            "hitting_time_capped_mean": _interval(state.capped),
            "fidelity_minimax": _interval(minimax),
            "fidelity_amplification": _interval(amplification),
            "mixing_gain": _interval(gain),
        },
    }
    return Analysis(values)


def _curve_end(stack: Stack, options: Options) -> int:
    """How many steps an arrival curve covers: until all but `MIXED` have arrived, on average."""
    state = Survival.start(stack.count, stack.nodes, levels=[MIXED], of_mean=[True])
    stack.survive(state, min(options.max_steps, HORIZON))
    ends = np.where(state.crossing[:, 0] < 0, state.clock, state.crossing[:, 0])
    return max(1, int(np.median(ends)))


def _censored(crossings: npt.NDArray[np.int64]) -> Floats:
    return np.where(crossings < 0, np.inf, crossings.astype(float))


def _four(crossing: npt.NDArray[np.int64], options: Options) -> dict[str, int | float | str]:
    return {
        f"mixing_time_{distance}_{aggregate}": _median_time(crossing[:, c], options)
        for c, (distance, aggregate) in enumerate(CONVENTIONS)
    }


def _most_frequent(values: Sequence[int]) -> int:
    numbers, counts = np.unique(values, return_counts=True)
    return int(numbers[np.argmax(counts)])


def _middle(values: Floats) -> int:
    """The input whose value is the (lower) median."""
    return int(np.argsort(values, kind="stable")[(len(values) - 1) // 2])


def _one_source(stack: Stack) -> bool:
    """Whether node 0 is the only node that hears nobody else."""
    return bool(np.isfinite(stack.hitting_backward()).all())


def overall(analyses: Sequence[Analysis | Mapping[str, Any]]) -> dict[str, Any]:
    """Means over layers of every number, with the same keys and ``"layer": "overall"``.

    Censored times stay censored as soon as one layer is; what is not a number (curves, heads,
    bounds) is taken where it can be averaged and left out where it cannot.
    """
    dicts = [a.as_dict() if isinstance(a, Analysis) else dict(a) for a in analyses]
    if not dicts:
        raise EngineError("There are no analyses to take a mean of.")
    merged = _merge(dicts)
    assert isinstance(merged, dict)
    for key in ("per_head", "arrival"):
        merged.pop(key, None)
    merged["layer"] = "overall"
    merged["layers"] = len(dicts)
    merged["fidelity"].pop("argmin", None)
    merged["fidelity"].pop("time", None)
    return merged


def _merge(values: Sequence[Any]) -> Any:
    """Average equal shapes: dicts by key, lists by place, numbers by mean, texts when equal."""
    first = values[0]
    if isinstance(first, dict):
        return {key: _merge([v[key] for v in values]) for key in first}
    if isinstance(first, bool):
        return all(values)
    texts = [v for v in values if isinstance(v, str)]
    if texts:
        return max(texts, key=len) if len(set(texts)) > 1 or len(texts) < len(values) else texts[0]
    if isinstance(first, list):
        if all(len(v) == len(first) for v in values):
            return [_merge(place) for place in zip(*values, strict=True)]
        return []
    return float(np.mean(values))
