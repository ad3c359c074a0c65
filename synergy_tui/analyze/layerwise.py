"""Measures a model one layer at a time, so that memory is one layer's; resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from synergy_tui.analyze.measure import Options, given_weights, measure
from synergy_tui.analyze.sources import Source
from synergy_tui.errors import UserError
from synergy_tui.experiments.events import encode

if TYPE_CHECKING:
    from synergy_tui.analyze.capture import Layer
    from synergy_tui.analyze.huggingface import Loaded

Record = dict[str, Any]
Tick = Callable[[int, int], None]
"""Called with how many layers are done, of how many."""


@dataclass(frozen=True)
class Measured:
    """A model's records as `measure` yields them, with notes, and how well it predicts."""

    records: list[Record]
    notes: tuple[str, ...]
    loss: float | None  # nats per token, of what it read


@dataclass
class Notebook:
    """Finished layers, kept in a file where one is named, so that they are not measured again."""

    path: Path | None
    key: str  # of what is measured and how
    layers: dict[int, list[Record]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_bytes().split(b"\n")
        for line in lines[:-1]:  # what follows the last newline was cut off
            try:
                kept = orjson.loads(line)
                key, layer, records = kept["key"], int(kept["layer"]), list(kept["records"])
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"--resume {self.path}: it is not a file of finished layers.",
                    hint="Name one that an interrupted measurement wrote, or a new one.",
                ) from error
            if key != self.key:
                raise UserError(
                    f"--resume {self.path}: its layers are of another model, text or option.",
                    hint="Give the same ones again, or name a new file.",
                )
            self.layers[layer] = records
        if lines[-1]:
            self.path.write_bytes(b"".join(line + b"\n" for line in lines[:-1]))

    def add(self, layer: int, records: list[Record]) -> None:
        self.layers[layer] = records
        if self.path is None:
            return
        try:
            with self.path.open("ab") as file:
                file.write(encode({"key": self.key, "layer": layer, "records": records}))
        except OSError as error:
            raise UserError(f"--resume {self.path}: {error.strerror or error}.") from error


def measure_model(
    loaded: Loaded,
    options: Options,
    *,
    resume: Path | None = None,
    tick: Tick | None = None,
    also: Callable[[Layer], None] | None = None,
) -> Measured:
    """Run a model and measure its attention; ``also`` is called with each layer.

    Where layers have to be measured in order (`Options.gammas`, or ``why``), all are kept until
    then.
    """
    from synergy_tui.analyze.capture import capture

    places = loaded.plan.places
    in_order = bool(options.gammas or options.why) and len(places) > 1
    notebook = Notebook(resume, _key(loaded, options))
    lacking: list[int] = []
    kept: list[Layer] = []

    def hear(layer: Layer) -> None:
        if layer.projection is None:
            lacking.append(layer.number)
        if also is not None:
            also(layer)
        if in_order:
            kept.append(layer)
        else:
            at = [place.number for place in places].index(layer.number)
            notebook.add(layer.number, measure_layer(loaded, layer, options, at))
        if tick is not None:
            tick(len(kept) or len(notebook.layers), len(places))

    output = capture(
        loaded.model,
        loaded.ids,
        loaded.own,
        loaded.plan,
        hear,
        wanted=lambda place: place.number not in notebook.layers,
    )
    notes = list(loaded.notes)
    if lacking and options.weights is None:
        which = "any layer" if len(lacking) == len(places) else f"layers {lacking}"
        notes.append(f"no output projection was found in {which}: head weights are uniform there")
    if in_order:
        records = _all_at_once(loaded, kept, options)
    else:
        records = gather([notebook.layers[place.number] for place in places])
    if "learned_sink" in records[-1]:
        share = records[-1]["learned_sink"]["share"]
        notes.append(
            f"learned sinks, nodes before token 0 that are only heard: {share:.0%} of attention "
            "goes to them, and no measure counts it"
        )
    return Measured(records, tuple(notes), _loss(loaded, output))


def _loss(loaded: Loaded, output: Any) -> float | None:
    """Return the mean cross-entropy of next tokens, where the model predicts them."""
    import torch

    logits = getattr(output, "logits", None)
    if logits is None or logits.shape[:2] != loaded.ids.shape:
        return None
    known = loaded.own[:, 1:]
    predicted, true = logits[:, :-1][known].float(), loaded.ids[:, 1:][known]
    return float(torch.nn.functional.cross_entropy(predicted, true))


def gather(layers: list[list[Record]]) -> list[Record]:
    """Order the records of layers by convention, each convention with the mean over layers."""
    import synergy_engine as engine

    found: list[Record] = []
    for same in zip(*layers, strict=True):
        shared = {key: same[0][key] for key in _OF_FILES if key in same[0]}
        own = [
            {key: value for key, value in each.items() if key not in _OF_LAYERS} for each in same
        ]
        found += [*same, shared | engine.overall(own)]
    return found


_OF_FILES = ("file", "names", "tokens", "notes")
_OF_LAYERS = (*_OF_FILES, "module", "paths", "why")


def measure_layer(loaded: Loaded, layer: Layer, options: Options, at: int) -> list[Record]:
    """Measure layer number ``at`` of those with attention, once for each convention."""
    source, own = _source(loaded, [layer], options)
    own = _own_weights(own, at, len(loaded.plan.places))
    found = _without_mean(measure(source, replace(own, depth=len(loaded.plan.places))))
    for record in found:
        _complete(record, layer, options)
    return found


def _without_mean(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record["layer"] != "overall"]


def _source(loaded: Loaded, layers: list[Layer], options: Options) -> tuple[Source, Options]:
    """Return layers as `measure` takes them, with their head weights."""
    measured = options.weights == "output"
    shares = [layer.output if measured else layer.projection for layer in layers]
    known = all(share is not None for share in shares)
    if measured and not known:
        raise UserError(
            f"{loaded.name}: --weights output needs the output projection, and {layers[0].module} "
            "has none that could be found.",
            hint="Give --weights uniform, or numbers.",
        )
    if measured:
        options = replace(options, weights="learned")
    one = len(layers) == 1  # which needs no copy
    attention = layers[0].attention[:, None] if one else np.stack([x.attention for x in layers], 1)
    sinks = any(layer.sinks for layer in layers)
    if not loaded.exact:
        sums = attention.sum(-1, keepdims=True)
        attention = attention / (np.maximum(sums, 1) if sinks else sums)
    source = Source(
        loaded.name,
        attention,
        np.stack([share for share in shares if share is not None]) if known else None,
        rows="sinks" if sinks else "check",
        labels=loaded.labels,
        lengths=np.array(loaded.lengths) if len(set(loaded.lengths)) > 1 else None,
    )
    return source, options


def _own_weights(options: Options, at: int, layers: int) -> Options:
    """Return options with the layer's own row of head weights, where rows are given."""
    if options.weights in (None, "uniform", "learned", "optimal"):
        return options
    rows = given_weights(str(options.weights))
    if len(rows) not in (1, layers):
        raise UserError(
            f"--weights {options.weights}: {len(rows)} rows for {layers} layers.",
            hint="Give one row for all layers, or one row per layer.",
        )
    row = rows[at if len(rows) > 1 else 0]
    return replace(options, weights=",".join(map(repr, row.tolist())))


def _all_at_once(loaded: Loaded, layers: list[Layer], options: Options) -> list[Record]:
    if len({layer.attention.shape for layer in layers}) > 1:
        raise UserError(
            f"{loaded.name}: its layers have different numbers of heads, so they cannot be "
            "measured in order.",
            hint="Leave out --why and --gamma.",
        )
    source, own = _source(loaded, layers, options)
    found = list(measure(source, own))
    for record in found:
        if record["layer"] != "overall":
            _complete(record, layers[record["layer"] - 1], options)
        elif options.weights == "output":
            record["weights"] = "output"
    return found


def _complete(record: Record, layer: Layer, options: Options) -> None:
    """Give a layer the model's own number and name, and heads both of their weights."""
    record["layer"], record["module"] = layer.number, layer.module
    if options.weights == "output":
        record["weights"] = "output"
    for name, shares in (("projection", layer.projection), ("output", layer.output)):
        if shares is not None:
            for head, share in zip(record["per_head"], shares, strict=True):
                head[name] = float(share)


def _key(loaded: Loaded, options: Options) -> str:
    """Identify what is measured, for `Notebook`: files of the model, tokens, options."""
    said = [
        f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}"
        for path in sorted(Path(loaded.name).glob("*"))
        if path.name == "config.json" or path.suffix == ".safetensors"
    ]
    text = "\n".join([*said, repr(options), repr(loaded.ids.tolist()), repr(loaded.lengths)])
    text += str(loaded.model.dtype)
    return hashlib.sha256(text.encode()).hexdigest()


def measure_queries(
    path: Path, options: Options, *, axes: str | None = None, tick: Tick | None = None
) -> Measured:
    """Measure queries and keys from a file, one layer after another."""
    from synergy_tui.analyze.recorded import read_queries

    recorded = read_queries(path, axes)
    layers = len(recorded.layers)
    found = []
    for at, (number, queries) in enumerate(recorded.layers):
        attention = queries.attention().numpy()[:, None]
        source = Source(str(path), attention, lengths=recorded.lengths)
        own = replace(_own_weights(options, at, layers), depth=layers)
        records = _without_mean(measure(source, own))
        for record in records:
            record["layer"] = number
        found.append(records)
        if tick is not None:
            tick(at + 1, layers)
    return Measured(gather(found), recorded.notes, None)
