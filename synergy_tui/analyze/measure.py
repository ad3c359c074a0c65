"""Measures a source under every requested convention."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from synergy_tui.analyze.sources import Source, read_numbers
from synergy_tui.errors import UserError
from synergy_tui.words import clean

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem

Rows = Literal["check", "normalise", "any"]


@dataclass(frozen=True)
class Options:
    """How to measure."""

    conventions: tuple[str, ...] = ("theory",)
    combine: str = "walks"  # or "attention"
    weights: str | None = None
    """``uniform``, ``learned``, ``optimal``, numbers separated by commas, or the name of a file of
    them; ``None`` for learned where they are known and uniform elsewhere."""
    epsilon: float = 0.25  # threshold of mixing times
    max_steps: int = 10_000  # the step at which mixing times are given up
    renormalise: bool = False  # divide attention rows by their sums instead of refusing others
    top_paths: int = 0  # how many of the strongest paths to give
    source: str | None = None  # from this node, by name or number, else from the faintest
    sinks: int = 1  # measure fidelity also with each of the last so many positions as sink
    why: bool = False  # also which heads carry the faintest node's signal, and what can be reached
    depth: int | None = None
    """Layers of the model, where the source is one of them; else the source's own."""
    gammas: tuple[str | float, ...] = ()
    """Shares of attention beside the residual path for which all layers are measured in order;
    with ``why`` and several layers ``half`` unless others are given."""


def measure(source: Source, options: Options) -> Iterator[dict[str, Any]]:
    """Yield analysis objects: every layer and then overall, for one convention after another.

    Each is what ``synergy analyze --json`` prints: the engine's analysis plus ``file``, ``names``
    where nodes have some, and ``paths``, ``why`` and ``layered`` where they were requested.
    """
    import synergy_engine as engine

    if options.sinks > 1 and source.attention is None:
        raise UserError(
            f"{source.name} is a graph, which has one sink; --sinks is about positions in a text.",
            hint="Leave --sinks out.",
        )
    rows: Rows = "normalise" if options.renormalise else source.rows
    layers = _layers(source, options, rows)
    layered = _layered(source, layers, options, rows)
    for convention in options.conventions:
        chosen: dict[str, Any] = {
            "convention": convention,
            "combine": options.combine,
            "epsilon": options.epsilon,
            "max_steps": options.max_steps,
        }
        if source.attention is None:
            analyses = [engine.analyze(layers[0], **chosen)]
        else:
            weights = np.stack([layer.weights for layer in layers])
            label = layers[0].weights_label
            analyses = engine.analyze_batch(
                source.attention,
                weights,
                weights_label=label,
                rows=rows,
                sinks=options.sinks,
                depth=options.depth,
                **chosen,
            )
        names = {} if layers[0].names is None else {"names": list(layers[0].names)}
        reasons = _why(source, layers, rows, convention) if options.why else []
        for place, (analysis, layer) in enumerate(zip(analyses, layers, strict=True)):
            record = {"file": source.name, **analysis.as_dict(), **names}
            if options.top_paths:
                record["paths"] = _paths(layer, record, options)
            if reasons:
                record["why"] = reasons[place]
            yield record
        whole = {"file": source.name, **engine.overall(analyses), **names}
        yield whole | layered


def _layers(source: Source, options: Options, rows: Rows) -> list[MultiHeadSystem]:
    """Return a system for each layer, of the first input, with the head weights to use."""
    import synergy_engine as engine

    if source.graph is not None:
        systems = [source.graph]
    else:
        assert source.attention is not None
        systems = [
            engine.MultiHeadSystem.from_attention(layer, rows=rows, names=source.names)
            for layer in source.attention[0]
        ]
    given = options.weights
    if given is None and source.graph is not None:
        return systems  # a graph file may name its own
    given = given or ("uniform" if source.learned is None else "learned")
    if given == "optimal":
        return _optimised(source, systems)
    if given == "uniform":
        return [each.with_weights("uniform") for each in systems]
    shares = _learned(source) if given == "learned" else given_weights(given)
    if len(shares) not in (1, len(systems)):
        raise UserError(
            f"--weights {given}: {len(shares)} rows for {len(systems)} layers.",
            hint="Give one row for all layers, or one row per layer.",
        )
    shares = np.broadcast_to(shares, (len(systems), shares.shape[1]))
    label = "learned" if given == "learned" else "given"
    return [each.with_weights(row, label=label) for each, row in zip(systems, shares, strict=True)]


def _learned(source: Source) -> np.ndarray:
    """Return (L, H): the head weights that the source holds."""
    if source.learned is None:
        raise UserError(
            f"{source.name} contains no learned head weights.",
            hint="Give numbers, as in --weights 0.2,0.8, or --weights uniform.",
        )
    return np.atleast_2d(source.learned)


def _optimised(source: Source, systems: list[MultiHeadSystem]) -> list[MultiHeadSystem]:
    """Return the systems with the head weights that make the faintest node clearest."""
    import synergy_engine as engine

    if source.attention is not None and len(source.attention) > 1:
        raise UserError(
            f"{source.name} has {len(source.attention)} inputs; head weights are optimised for "
            "one.",
            hint="Give a single input, as in --inputs 1.",
        )
    return [
        each.with_weights(engine.optimal_weights(each, "fidelity").weights, label="optimal")
        for each in systems
    ]


def given_weights(given: str) -> np.ndarray:
    """Read head weights: ``0.2,0.8``, or a .npy, JSON or text file with one layer per line."""
    try:
        weights = np.asarray(read_numbers(given, float), dtype=np.float64)
        if weights.ndim != 2:
            raise ValueError("neither one row of numbers nor one row per layer")
        return weights
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise UserError(
            f"--weights {given}: {error}.",
            hint="Give uniform, learned, optimal, numbers as in 0.2,0.8, or a file of them.",
        ) from error


def _paths(system: MultiHeadSystem, record: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return the strongest paths to the sink from a node, with the head that carries each step."""
    import synergy_engine as engine

    source = record["fidelity"]["argmin"]
    if options.source is not None:
        source = _node(system, options.source)
    found = engine.strongest_paths(system, source, options.top_paths)
    return {
        "source": source,
        "input": 0,
        "strongest": [
            {
                "nodes": list(path.nodes),
                "names": [system.name(node) for node in path.nodes],
                "heads": [head + 1 for head in path.heads],
                "strength": float(path.strength),
            }
            for path in found
        ],
    }


def _why(
    source: Source, layers: list[MultiHeadSystem], rows: Rows, convention: str
) -> list[dict[str, Any]]:
    """Return for each layer why its fidelity is what it is, over all inputs."""
    import synergy_engine as engine

    if convention == "paper-code":
        reason = "the published code counts the sink itself and stops after 100 steps"
        return [{"refused": reason} for _ in layers]
    if source.attention is None:
        return [engine.why(layers[0])]
    weights = np.stack([layer.weights for layer in layers])
    return engine.why_batch(source.attention, weights, rows=rows)


def _layered(
    source: Source, layers: list[MultiHeadSystem], options: Options, rows: Rows
) -> dict[str, Any]:
    """Return what all layers in order can hear, under its key, for each share of attention."""
    import synergy_engine as engine

    gammas = options.gammas or (("half",) if options.why and len(layers) > 1 else ())
    if not gammas:
        return {}
    if source.attention is None:
        raise UserError(
            f"{source.name} is a graph; --gamma is about the layers of a model.",
            hint="Leave --gamma out.",
        )
    if "norm" in gammas and source.norms is None:
        raise UserError(
            f"{source.name} contains no norms, which --gamma norm needs.",
            hint="Give --gamma half, one or a number; Synergy's own training records norms where "
            "its scenario asks for them.",
        )
    weights = np.stack([layer.weights for layer in layers])
    return {
        "layered": engine.layered(
            source.attention,
            weights,
            gammas=gammas,
            norms=source.norms,
            sink="each" if options.sinks > 1 else "last",
            k=options.sinks,
            rows=rows,
        )
    }


def _node(system: MultiHeadSystem, given: str) -> int:
    """Return the number of a node that is given by number or, where nodes have names, by name."""
    names = system.names or ()
    if re.fullmatch(r"[0-9]{1,18}", given) and int(given) < system.nodes:
        return int(given)
    if given in names:
        return names.index(given)
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    raise UserError(
        f"--source {given}: nodes are numbered from 0 to {system.sink}, which is the sink.",
        hint=f"Their names are {clean(listed)}." if names else None,
    )
