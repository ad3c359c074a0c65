"""What runs far away arrives whole, and every event once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from synergy_tui.errors import UserError
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.recorder import versions
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.executors.mirror import Mirror
from synergy_tui.sweep.executors.remote import Packet, luggage, run_points
from tests.tui.conftest import make
from tests.tui.sweep.conftest import trained


def stream(*experiments: Experiment, expected: dict[str, str] | None = None) -> list[Packet]:
    brought = {experiment.id: luggage(experiment) for experiment in experiments}
    packets = run_points(brought, "cpu", 1, expected or versions())
    found = [next(packets)]
    with suppress(StopIteration):
        while True:
            found.append(packets.send("a reference"))  # as Ray does
    return found


def test_a_far_point_arrives_whole(sweep: Sweep) -> None:
    experiment = sweep.experiment("s0")
    packets = stream(experiment)
    assert packets[-1].exit_code == 0
    mirror = Mirror(experiment, attempt=1)
    assert experiment.state() == "running"
    for packet in packets:
        mirror.take(packet)
    mirror.close()
    assert experiment.state() == "finished"
    state = experiment.fold()
    for run in state.runs.values():
        assert run.steps.tolist() == list(range(1, 31))
        assert run.probe is not None
        assert run.probe.attention is not None
        assert experiment.attention(run.probe.attention)["attention"].shape[-1] == 9
    kept = sorted(file.name for file in experiment.checkpoints.iterdir())
    assert len(kept) == 4


@pytest.mark.parametrize("lost_after", [0, 1, 2, 3, 5])
def test_a_lost_stream_told_again_leaves_every_event_once(sweep: Sweep, lost_after: int) -> None:
    experiment = sweep.experiment("s1")
    whole = stream(sweep.experiment("s1"))
    mirror = Mirror(experiment, attempt=1)
    for packet in whole[:lost_after]:
        mirror.take(packet)
    mirror.close()
    again = Mirror(experiment, attempt=2)
    for packet in stream(experiment):
        again.take(packet)
    again.close()
    events = list(EventReader(experiment.events_path).read_all())
    steps = [(e["run"], e["step"]) for e in events if e["kind"] == "train_step"]
    assert len(steps) == len(set(steps)) == 2 * 30
    assert [e["kind"] for e in events].count("experiment_started") == 1
    assert experiment.fold().runs["heads-2"].steps.tolist() == list(range(1, 31))
    assert {e["attempt"] for e in events} <= {1, 2}
    reference = {
        (e["run"], e["step"]): e["loss"]
        for packet in whole
        for e in packet.events
        if e["kind"] == "train_step"
    }
    received = {(e["run"], e["step"]): e["loss"] for e in events if e["kind"] == "train_step"}
    assert received == reference


def test_a_stopped_mirror_can_be_resumed(sweep: Sweep) -> None:
    experiment = sweep.experiment("s2")
    mirror = Mirror(experiment, attempt=1)
    mirror.take(stream(experiment)[0])
    mirror.close(stopped="the sweep was stopped")
    assert experiment.state() == "stopped"


def test_far_points_trained_together_arrive_each_in_its_own(sweep: Sweep) -> None:
    experiments = [sweep.experiment(point.name) for point in sweep.points]
    mirrors = {experiment.id: Mirror(experiment, attempt=1) for experiment in experiments}
    codes = {}
    for packet in stream(*experiments):
        mirrors[packet.experiment].take(packet)
        assert packet.experiment not in codes, "something came after its last packet"
        if packet.exit_code is not None:
            codes[packet.experiment] = packet.exit_code
    assert codes == dict.fromkeys(mirrors, 0)
    for experiment in experiments:
        mirrors[experiment.id].close()
        assert experiment.state() == "finished"
        for run in experiment.fold().runs.values():
            assert run.steps.tolist() == list(range(1, 31))
        assert len(list(experiment.checkpoints.iterdir())) == 4


STARTED = {"v": 1, "t": 0.0, "kind": "run_started", "run": "heads-1", "heads": 1}


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (Packet(files={"../../evil": b"x"}), "outside its attention"),
        (Packet(files={"events.jsonl": b"x"}), "outside its attention"),
        (Packet(files={"attention/..": b"x"}), "outside its attention"),
        (Packet(files={"attention/" + 70 * "𝛕" + ".safetensors": b"x"}), "outside its attention"),
        (Packet(files={"attention/a": "x"}), "not bytes"),  # type: ignore[dict-item]
        (Packet(events=[STARTED, {**STARTED, "run": "other"}]), "run that it does not have"),
        (Packet(events=[STARTED, {**STARTED, "heads": "many"}]), "of another shape"),
        (Packet(events=[STARTED, {**STARTED, "floor": 10**400}]), "that no float can hold"),
        (Packet(events=[STARTED, {"v": 2, "kind": "telepathy"}]), "of another shape"),
        (Packet(events=[STARTED, None]), "has no attribute"),  # type: ignore[list-item]
        (Packet(exit_code=7), "7 is not a valid ExitCode"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_worker_cannot_send_is_refused_in_words(
    packet: Packet, words: str, sweep: Sweep
) -> None:
    experiment = sweep.experiment("s0")
    mirror = Mirror(experiment, attempt=1)
    before = set(sweep.path.rglob("*"))
    with pytest.raises(UserError, match=words):
        mirror.take(packet)
    mirror.close()
    assert set(sweep.path.rglob("*")) <= before
    assert experiment.events_path.read_bytes() == b""


@pytest.mark.parametrize("attempts", [1, 2])
def test_attention_that_is_not_to_be_kept_is_removed_here_too(
    tmp_path: Path, attempts: int
) -> None:
    text = trained(probe_every=5)
    sweep = make(f'{text}\n[analysis]\nkeep = "last"\n', tmp_path)
    experiment = sweep.experiment("s0")
    packets = stream(experiment)
    for attempt in range(1, attempts + 1):
        mirror = Mirror(experiment, attempt=attempt)
        for packet in packets[: None if attempt == attempts else 4]:
            mirror.take(packet)
        mirror.close()
    names = sorted(file.name for file in (experiment.path / "attention").iterdir())
    assert names == ["heads-1-00000030.safetensors", "heads-2-00000030.safetensors"]


def test_a_worker_of_another_version_refuses_in_words(sweep: Sweep) -> None:
    experiment = sweep.experiment("s0")
    expected = {**versions(), "torch": "1.0+cu999", "synergy-heads": "9.9", "python": "2.7"}
    [packet] = stream(experiment, expected=expected)
    assert packet.exit_code == 2
    assert not packet.events
    installed = versions()
    assert f"torch {installed['torch']} instead of 1.0+cu999" in packet.reason
    assert f"synergy-heads {installed['synergy-heads']} instead of 9.9" in packet.reason
    assert "numpy" not in packet.reason
    assert "python" not in packet.reason


def test_builds_of_one_version_are_the_same_version(sweep: Sweep) -> None:
    experiment = sweep.experiment("s0")
    other = {name: version.split("+")[0] + "+cu999" for name, version in versions().items()}
    *_, last = stream(experiment, expected=other)
    assert last.exit_code == 0
