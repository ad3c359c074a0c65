"""Sweeps, and what their workers send."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from synergy_tui.errors import UserError
from tests.fuzz.readers.reader import Reader
from tests.places import DATA


def _sweep(folder: Path) -> Path:
    from tests.tui.recorded_sweeps import record

    sweep = record(folder / "made", finished=False)
    shutil.move(sweep.path, folder / "2026-11-23-sweep")
    shutil.rmtree(folder / "made")
    return folder / "2026-11-23-sweep"


def _of_sweep(name: str) -> Callable[[], list[bytes]]:
    def files() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return [(_sweep(Path(folder)) / name).read_bytes()]

    return files


def _read_sweep(path: Path, rng: Random) -> object:
    from synergy_tui.sweep.directory import Sweep
    from synergy_tui.sweep.entries import list_entries, summary
    from synergy_tui.sweep.overview import Overview

    sweep = Sweep(path.parent)
    found = summary(sweep)
    json.dumps(found)
    assert len(list_entries(path.parents[1])) == 1
    if rng.random() < 0.5:
        sweep.require_sound()
    if path.suffix == ".toml":
        return found["state"], len(sweep.predictions)
    overview = Overview(sweep)
    overview.update()
    return found["state"], dict(overview.counts), overview.remaining is None


def _report(path: Path, rng: Random) -> object:
    from synergy_tui.report.evidence import gather

    return len(gather([str(path.parents[2])]).rows)


def _points_log(folder: Path) -> Path:
    return _sweep(folder) / "points/sort-s0/events.jsonl"


def _packet_files() -> list[bytes]:
    """Packets as JSON: a few recorded events of each kind, files and an ending."""
    kept: dict[str, int] = {}
    events = []
    for line in (DATA / "recordings/sort/events.jsonl").read_bytes().splitlines():
        event = json.loads(line)
        kept[event["kind"]] = kept.get(event["kind"], 0) + 1
        if kept[event["kind"]] <= 2:
            events.append(event)
    files = {"attention/multi-head-00000000.safetensors": "x", "worker.log": "a line"}
    files["checkpoints/multi-head-00000010.safetensors"] = "y"
    packets = [
        {"events": events[:6], "files": files},
        {"events": events[6:], "files": {}},
        {"events": events[-2:], "files": {"worker.log": ""}, "exit_code": 3, "reason": "no memory"},
    ]
    return [json.dumps(packet).encode() for packet in packets]


def _unmirrored(folder: Path) -> Path:
    (folder / "experiment").mkdir()
    shutil.copy(DATA / "recordings/sort/scenario.toml", folder / "experiment")
    return folder / "packet.json"


def _packet(path: Path, rng: Random) -> object:
    """Write what a worker of a cluster sent, twice, as after a loss."""
    from synergy_tui.experiments.events import EventReader
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.experiments.summary import summary
    from synergy_tui.sweep.executors.mirror import Mirror
    from synergy_tui.sweep.executors.remote import Packet

    try:
        given = json.loads(path.read_bytes())
        files = {n: c.encode() if isinstance(c, str) else c for n, c in given["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "no packet"  # Ray unpacks them, so something of this kind arrives
    packet = Packet(
        "experiment",
        given.get("events", []),
        files,
        given.get("exit_code"),
        given.get("reason", ""),
    )
    experiment = Experiment(path.parent / "experiment")
    for name in ("attention", "checkpoints"):
        shutil.rmtree(experiment.path / name, ignore_errors=True)
    experiment.events_path.unlink(missing_ok=True)
    for attempt in (1, 2):
        mirror = Mirror(experiment, attempt)
        try:
            mirror.take(packet)
        finally:
            mirror.close(stopped=rng.choice(("", "stopped")))
    reader = EventReader(experiment.events_path)
    events = list(reader.read_all())
    assert reader.garbled == 0
    assert {each.name for each in path.parent.iterdir()} == {"experiment", "packet.json"}
    assert (experiment.path / "scenario.toml").stat().st_size > 0
    return len(events), summary(experiment)["state"]


def readers() -> Iterator[Reader]:
    for name in ("plan.json", "sweep.toml", "sweep.jsonl"):
        yield Reader(
            name, Path(name).suffix, _of_sweep(name), lambda f, name=name: _sweep(f) / name,
            _read_sweep, (UserError,), share=0.3,
        )  # fmt: skip
    yield Reader(
        "report", ".jsonl", _of_sweep("points/sort-s0/events.jsonl"), _points_log, _report,
        (UserError,), share=0.02,
    )  # fmt: skip
    yield Reader("packet", ".json", _packet_files, _unmirrored, _packet, (UserError,), share=0.3)
