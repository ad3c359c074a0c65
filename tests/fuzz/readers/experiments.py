"""Scenarios, keys, and what experiments consist of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from synergy_tui.errors import UserError
from tests.fuzz.readers.arrays import snapshots
from tests.fuzz.readers.reader import Reader, plain
from tests.places import DATA, ROOT


def _scenario_files() -> list[bytes]:
    written = [path.read_bytes() for path in sorted((ROOT / "scenarios").glob("*.toml"))]
    return [*written, (DATA / "recordings/sort/scenario.toml").read_bytes()]


def _scenario(path: Path, rng: Random) -> object:
    from synergy_tui.scenario import library, load_scenario
    from synergy_tui.sweep.plan import expand

    way = rng.random()
    if way < 0.1:
        return bool(library.read(path).problem)
    sets = ("train.steps=10", "runs.heads=2", "runs.0.heads=x", "a.b=1", "runs.multi-head.heads=4")
    scenario = load_scenario(path, overrides=[rng.choice(sets)] if way < 0.3 else ())
    if scenario.sweep is not None and way < 0.5:
        return len(expand(scenario)) > 3
    scenario.as_toml()
    return len(scenario.runs) or "none"


def _keymap(path: Path, rng: Random) -> object:
    from synergy_tui.app.keymap import load_keymap

    return len(load_keymap(path).keys)


def _finished_layers(path: Path, rng: Random) -> object:
    from synergy_tui.analyze.layerwise import Notebook

    return len(Notebook(path, "key").layers)


def _log_files() -> list[bytes]:
    """Recorded logs, of each kind of event the first few."""
    found = []
    for name in ("sort", "four", "example2", "failed"):
        kept: dict[str, int] = {}
        lines = []
        for line in (DATA / "recordings" / name / "events.jsonl").read_bytes().splitlines(True):
            kind = json.loads(line)["kind"]
            kept[kind] = kept.get(kind, 0) + 1
            if kept[kind] <= (1 if kind in ("probe", "simulated") else 4):
                lines.append(line)
        found.append(b"".join(lines))
    return found


def _recorded(name: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        shutil.copytree(DATA / "recordings/sort", folder / "2026-11-23-sort")
        (folder / "2026-11-23-sort/events.jsonl").write_bytes(_log_files()[0])
        return folder / "2026-11-23-sort" / name

    return prepare


def _log(path: Path, rng: Random) -> object:
    from synergy_tui.experiments.events import EventReader, events_from_end
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.experiments.metrics import experiment_record
    from synergy_tui.experiments.summary import summary
    from synergy_tui.experiments.verdict import scoreboard

    reader = EventReader(path)
    events = list(reader.read_all())
    list(events_from_end(path))
    experiment = Experiment(path.parent)
    state = experiment.fold()
    record = experiment_record(state)
    json.dumps(record)
    if rng.random() < 0.5:
        scoreboard(state)
    return len(events), reader.garbled, summary(experiment)["state"]


def _experiment(path: Path, rng: Random) -> object:
    """Everything about an experiment of which one file is damaged."""
    from synergy_tui.experiments.experiment import Experiment, list_experiments
    from synergy_tui.experiments.summary import summary

    experiment = Experiment(path.parents[path.suffix == ".safetensors"])
    found = summary(experiment)
    json.dumps(found)
    assert len(list_experiments(experiment.path.parent)) == 1
    experiment.worker()
    if rng.random() < 0.5:
        experiment.require_sound()
    else:
        experiment.scenario()
    return found["state"], bool(found["problem"])


def _worker_files() -> list[bytes]:
    own = {"pid": 1, "created": 1.0e9, "host": "here", "uptime": 3.5, "watched": False}
    return [json.dumps(each).encode() for each in (own, {**own, "watched": True, "uptime": None})]


def _snapshot(path: Path, rng: Random) -> object:
    from synergy_tui.experiments.attention import load_snapshot
    from synergy_tui.experiments.experiment import Experiment

    experiment = Experiment(path.parents[1])
    snapshot = load_snapshot(experiment, f"attention/{path.name}", weighted=rng.random() < 0.5)
    if min(snapshot.attention.shape) > 0:
        snapshot.system(snapshot.layers - 1, snapshot.inputs - 1)
    return snapshot.attention.shape, len(snapshot.names), snapshot.designed


def readers() -> Iterator[Reader]:
    yield Reader("scenario", ".toml", _scenario_files, plain(".toml"), _scenario, (UserError,))
    yield Reader(
        "keys", ".toml", lambda: [b'"time.pause" = "p"\n"view.log" = "y,ctrl+y"\n'],
        plain(".toml"), _keymap, (UserError,), share=0.3,
    )  # fmt: skip
    yield Reader(
        "finished layers", ".jsonl",
        lambda: [b'{"key":"key","layer":1,"records":[{}]}\n{"key":"key","layer":2,"records":[]}\n'],
        plain(".jsonl"), _finished_layers, (UserError,), share=0.3,
    )  # fmt: skip
    yield Reader("events", ".jsonl", _log_files, _recorded("events.jsonl"), _log, (UserError,))
    yield Reader(
        "worker", ".json", _worker_files, _recorded("worker.json"), _experiment, (UserError,)
    )
    yield Reader(
        "experiment's scenario", ".toml", lambda: _scenario_files()[-1:],
        _recorded("scenario.toml"), _experiment, (UserError,), share=0.3,
    )  # fmt: skip
    kept = _recorded("attention/multi-head-00000000.safetensors")
    yield Reader("snapshot", ".safetensors", snapshots, kept, _snapshot)
