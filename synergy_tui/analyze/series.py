"""Checkpoints of one model, measured one after another into an experiment like a training."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from synergy_tui.analyze.huggingface import Reading, load
from synergy_tui.analyze.layerwise import Measured, Tick, measure_model
from synergy_tui.errors import UserError
from synergy_tui.experiments import kinds
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.words import clean

if TYPE_CHECKING:
    from synergy_tui.analyze.capture import Layer
    from synergy_tui.analyze.huggingface import Loaded
    from synergy_tui.analyze.measure import Options
    from synergy_tui.running.recorder import Recorder

# Attention of a checkpoint beyond this is not kept for the app to draw.
_LARGEST_KEPT = 16 * 2**20


def find_revisions(directory: Path, names: str) -> list[tuple[int, Path]]:
    """Return (step, folder) of the revisions that names or globs mean, in the order of steps.

    A name is a folder in ``directory``, or a revision of a hub cache (``refs/NAME`` there). The
    step is the last number in it; without one in every name, they are counted in the order given.
    """
    found: list[tuple[str, Path]] = []
    for name in filter(None, (each.strip() for each in names.split(","))):
        reference = directory / "refs" / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise UserError(f"--revisions {name}: name what is in {directory}.")
        if reference.is_file():
            commit = reference.read_text(encoding="utf-8").strip()
            found.append((name, directory / "snapshots" / commit))
            continue
        matches = [path for path in directory.glob(name) if (path / "config.json").is_file()]
        if not matches:
            raise UserError(
                f"--revisions {name}: {directory} has no such folder with a config.json.",
                hint="Give folder names or a glob in quotes, as in 'checkpoint-*'.",
            )
        found += [(path.name, path) for path in sorted(matches)]
    numbers = [re.findall(r"\d+", name) for name, _ in found]
    if not all(numbers):
        return [(place, path) for place, (_, path) in enumerate(found)]
    steps = [int(each[-1]) for each in numbers]
    twice = {step for step in steps if steps.count(step) > 1}
    if twice:
        raise UserError(
            f"--revisions {names}: several are of step {min(twice)}.",
            hint="Name each step once; the last number in a name is its step.",
        )
    return sorted(zip(steps, (path for _, path in found), strict=True))


def measure_series(
    directory: Path,
    names: str,
    reading: Reading,
    options: Options,
    *,
    out: Path | None = None,
    tick: Tick | None = None,
) -> tuple[Experiment, Measured]:
    """Measure checkpoints into a new experiment; return it and what was measured last.

    Checkpoints whose weights are the same file as an earlier one's are not measured: published
    series have served the same weights at many steps. A warning in the log, a note and, in the
    overall records, ``checkpoints`` name them with the hash.
    """
    from synergy_tui.running.recorder import Recorder
    from synergy_tui.scenario import Scenario

    revisions = find_revisions(directory, names)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", directory.absolute().name).strip("-") or "model"
    scenario = Scenario.model_validate(
        {
            "name": f"{name}-checkpoints",
            "title": f"{len(revisions)} checkpoints of {directory.absolute().name}",
            "analysis": {
                "convention": options.conventions[0],
                "combine": options.combine,
                "epsilon": options.epsilon,
                "max_steps": options.max_steps,
                "keep": "all",
            },
            "runs": [{"name": name, "attention": f"attention/{_key(name, revisions[-1][0])}"}],
        }
    )
    first = load(revisions[0][1], reading)  # before anything is written, so that typos cost nothing
    experiment = create_experiment(scenario, out)
    steps_of: dict[str, list[int]] = {}
    measured: Measured | None = None
    with experiment.lock(), EventWriter(experiment.events_path) as writer:
        recorder = Recorder(experiment, scenario, writer)
        recorder.started()
        recorder.write(_started(name, first, steps=revisions[-1][0], of=len(revisions)))
        for place, (step, folder) in enumerate(revisions):
            found = weights_hash(folder)
            steps = steps_of.setdefault(found, [])
            steps.append(step)
            if steps[0] != step:
                recorder.warn(f"step {step} has {_very_weights(steps[0], found)}: left out", name)
            else:
                loaded = first if place == 0 else load(folder, reading)
                measured = _probe(recorder, name, step, loaded, options)
            if tick is not None:
                tick(place + 1, len(revisions))
        recorder.end("finished", name, revisions[-1][0])
        recorder.finish(0)
    assert measured is not None
    return experiment, _listed(measured, steps_of)


def _very_weights(step: int, found: str) -> str:
    return f"the very weights of step {step} (sha256 {found[:12]})"


def _listed(measured: Measured, steps_of: dict[str, list[int]]) -> Measured:
    """Say with what was measured which steps have which weights (hash → steps, ascending)."""
    notes = [
        f"steps {', '.join(map(str, steps[1:]))} have {_very_weights(steps[0], found)}: left out"
        if steps[2:]
        else f"step {steps[1]} has {_very_weights(steps[0], found)}: left out"
        for found, steps in steps_of.items()
        if steps[1:]
    ]
    weights = {step: (found, steps[0]) for found, steps in steps_of.items() for step in steps}
    checkpoints = [
        {"step": step, "sha256": found} | ({"same_as": first} if step != first else {})
        for step, (found, first) in sorted(weights.items())
    ]
    records = [
        {**record, "checkpoints": checkpoints} if record["layer"] == "overall" else record
        for record in measured.records
    ]
    return replace(measured, records=records, notes=(*measured.notes, *notes))


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of a folder's weights."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(2**22):
                whole.update(block)
    return whole.hexdigest()


def _key(name: str, step: int) -> str:
    return f"{name}-{step:08d}"


def _started(name: str, loaded: Loaded, *, steps: int, of: int) -> kinds.RunStarted:
    places = loaded.plan.places
    return kinds.RunStarted(
        run=name,
        parameters=sum(each.numel() for each in loaded.model.parameters()),
        heads=max(place.heads for place in places),
        device=str(loaded.ids.device),
        layers=len(places),
        nodes=loaded.ids.shape[1],
        steps=steps,
        note=f"{of} checkpoints of a model that was trained elsewhere; losses are of what it read",
    )


def _probe(recorder: Recorder, name: str, step: int, loaded: Loaded, options: Options) -> Measured:
    """Measure one checkpoint, and write it as a training's probe."""
    kept: list[Layer] = []
    size = sum(4 * place.heads for place in loaded.plan.places) * loaded.ids.shape[1] ** 2

    def keep(layer: Layer) -> None:
        if size <= _LARGEST_KEPT:
            kept.append(layer)

    measured = measure_model(loaded, options, also=keep)
    main = [each for each in measured.records if each["convention"] == options.conventions[0]]
    for place, layer in enumerate(main[:-1], start=1):
        layer["layer"] = place  # probes number the layers that have attention
    if measured.loss is not None and step > 0:
        recorder.write(kinds.TrainStep(run=name, step=step, loss=measured.loss))
    recorder.write(
        kinds.Probe(
            run=name,
            step=step,
            inputs=len(loaded.ids),
            layers=cast("list[Any]", main[:-1]),
            overall=cast("Any", main[-1]),
            attention=_keep(recorder, name, step, loaded, kept, main),
            loss=measured.loss,
        )
    )
    return measured


def _keep(
    recorder: Recorder,
    name: str,
    step: int,
    loaded: Loaded,
    layers: Sequence[Layer],
    records: Sequence[dict[str, Any]],
) -> str | None:
    """Keep the first input's attention for the app, where it is small and heads are as many."""
    heads = {layer.attention.shape[1] for layer in layers}
    # The app divides rows by their sums, which learned sinks are part of.
    if len(heads) != 1 or any(layer.sinks for layer in layers):
        return None
    own = loaded.lengths[0]
    # Names of nodes differ from one another; the tokens of a text need not.
    names = tuple(f"{at} {clean(token)}" for at, token in enumerate(loaded.labels or ()))
    snapshot = Snapshot(
        _key(name, step),
        np.stack([layer.attention[:1, :, :own, :own] for layer in layers], axis=1),
        np.array([record["head_weights"] for record in records[: len(layers)]]),
        names=names,
    )
    return recorder.keep(name, snapshot)
