"""Measures a source under every requested convention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from synergy_tui.analyze.listing import Listing
from synergy_tui.analyze.sources import Source, read_numbers
from synergy_tui.errors import UserError

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem

Rows = Literal["check", "normalise", "any", "sinks"]


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
    shuffles: int = 10  # with several inputs, how often heads are shuffled over them, as a null
    why: bool = False  # also which heads carry the faintest node's signal, and what can be reached
    depth: int | None = None
    """Layers of the model, where the source is one of them; else the source's own."""
    gammas: tuple[str | float, ...] = ()
    """Shares of attention beside the residual path for which all layers are measured in order;
    with ``why`` and several layers ``half`` unless others are given."""


def measure(source: Source, options: Options) -> Iterator[dict[str, Any]]:
    """Yield analysis objects: every layer and then overall, for one convention after another.

    Each is what ``synergy analyze --json`` prints: the engine's analysis plus ``file``, ``names``
    or ``tokens`` where nodes have some, ``notes`` on how the file was read, and ``paths``, ``why``
    and ``layered`` where they were requested. Nodes are numbered as the file lists them.
    """
    import synergy_engine as engine

    if options.sinks > 1 and source.attention is None:
        raise UserError(
            f"{source.name} is a graph, which has one sink; --sinks is about positions in a text.",
            hint="Leave --sinks out.",
        )
    rows: Rows = "normalise" if options.renormalise and source.rows == "check" else source.rows
    _refuse_unmeasurable(source, options)
    listing = Listing.of(source)
    layers = _layers(source, options, rows)
    layered = _layered(source, layers, options, rows, listing)
    about = listing.keys | ({"notes": list(source.notes)} if source.notes else {})
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
            chosen |= {"weights_label": layers[0].weights_label, "rows": rows}
            chosen |= {"sinks": options.sinks, "depth": options.depth}
            chosen |= {"shuffles": options.shuffles}
            by_input = [engine.analyze_batch(part, weights, **chosen) for part in _parts(source)]
            analyses = [engine.pool(inputs) for inputs in zip(*by_input, strict=True)]
        records = [{**each, "fidelity": listing.renumber(each["fidelity"])} for each in analyses]
        reasons = _why(source, layers, rows, convention) if options.why else []
        for place, (analysis, layer) in enumerate(zip(analyses, layers, strict=True)):
            record = {"file": source.name, **records[place], **about}
            if options.top_paths or options.source is not None:
                record["paths"] = _paths(layer, analysis["fidelity"]["argmin"], options, listing)
            if reasons:
                record["why"] = _renumbered(reasons[place], listing)
            yield record
        whole = {"file": source.name, **engine.overall(records), **about}
        yield whole | layered


def _parts(source: Source) -> list[np.ndarray]:
    """All inputs together, or each alone, cut to its length, where they differ in it."""
    assert source.attention is not None
    if source.lengths is None:
        return [source.attention]
    return [
        source.attention[number : number + 1, ..., :length, :length]
        for number, length in enumerate(source.lengths.tolist())
    ]


def _refuse_unmeasurable(source: Source, options: Options) -> None:
    """Say what cannot be asked of inputs of different lengths."""
    if source.lengths is not None and options.gammas:
        raise UserError(
            f"{source.name} has inputs of different lengths: --gamma cannot be measured.",
            hint="Give one length: --range a:b.",
        )


def _renumbered(record: dict[str, Any], listing: Listing) -> dict[str, Any]:
    """A record whose ``node``, if any, is numbered as in the file."""
    return record | {"node": listing.numbers[record["node"]]} if "node" in record else record


def _layers(source: Source, options: Options, rows: Rows) -> list[MultiHeadSystem]:
    """Return a system for each layer, of the first input, with the head weights to use."""
    import synergy_engine as engine

    if source.graph is not None:
        systems = [source.graph]
    else:
        assert source.attention is not None
        systems = [
            engine.MultiHeadSystem.from_attention(
                layer, rows=rows, names=Listing.of(source).own_names()
            )
            for layer in _parts(source)[0][0]
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
        with np.errstate(invalid="ignore"):
            weights = np.asarray(read_numbers(given, float), dtype=np.float64)
        if weights.ndim != 2:
            raise ValueError("neither one row of numbers nor one row per layer")
        return weights
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise UserError(
            f"--weights {given}: {error}.",
            hint="Give uniform, learned, optimal, numbers as in 0.2,0.8, or a file of them.",
        ) from error


def _paths(
    system: MultiHeadSystem, source: int, options: Options, listing: Listing
) -> dict[str, Any]:
    """Return the strongest paths to the sink from a node, with the head that carries each step."""
    import synergy_engine as engine

    if options.source is not None:
        source = listing.find(options.source, "--source")
    found = engine.strongest_paths(system, source, options.top_paths or 1)
    return {
        "source": listing.numbers[source],
        "input": 0,
        "strongest": [
            {
                "nodes": [listing.numbers[node] for node in path.nodes],
                "names": [listing.show(node) for node in path.nodes],
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
    from synergy_engine.analysis.why import merged

    if convention == "paper-code":
        reason = "the published code counts the sink itself and stops after 100 steps"
        return [{"refused": reason} for _ in layers]
    if source.attention is None:
        return [engine.why(layers[0])]
    weights = np.stack([layer.weights for layer in layers])
    by_input = [engine.why_batch(part, weights, rows=rows) for part in _parts(source)]
    return [
        merged(list(inputs)) if len(inputs) > 1 else inputs[0]
        for inputs in zip(*by_input, strict=True)
    ]


def _layered(
    source: Source, layers: list[MultiHeadSystem], options: Options, rows: Rows, listing: Listing
) -> dict[str, Any]:
    """Return what all layers in order can hear, under its key, for each share of attention."""
    import synergy_engine as engine

    by_default = options.why and len(layers) > 1 and source.lengths is None
    gammas = options.gammas or (("half",) if by_default else ())
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
    found = engine.layered(
        source.attention,
        weights,
        gammas=gammas,
        norms=source.norms,
        sink="each" if options.sinks > 1 else "last",
        k=options.sinks,
        rows=rows,
    )
    return {"layered": [_renumbered(each, listing) for each in found]}
