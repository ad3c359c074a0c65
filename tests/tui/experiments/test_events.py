"""The log: whole lines or none, one clock, and readers that bear anything."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.experiments import events
from synergy_tui.experiments.events import (
    EventReader,
    EventWriter,
    decode,
    encode,
    events_from_end,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_what_is_written_is_read_back(log: Path) -> None:
    with EventWriter(log) as writer:
        writer.write("train_step", run="a-b", step=1, loss=0.5)
        writer.write("warning", message="τ ≠ inf")
    read = EventReader(log).read()
    assert [(event["kind"], event["v"]) for event in read] == [("train_step", 1), ("warning", 1)]
    assert read[0]["run"] == "a-b"
    assert read[1]["message"] == "τ ≠ inf"


def test_numbers_that_json_lacks_survive(log: Path) -> None:
    fields = {"a": math.inf, "b": [-math.inf, {"c": math.nan}], "d": np.float32(0.5)}
    with EventWriter(log) as writer:
        writer.write("probe", run="inf", message="nan", **fields)
    assert b"Infinity" not in log.read_bytes()
    event = EventReader(log).read()[0]
    assert event["a"] == math.inf
    assert event["b"][0] == -math.inf
    assert math.isnan(event["b"][1]["c"])
    assert event["d"] == 0.5
    assert (event["run"], event["message"]) == ("inf", "nan"), "text stays text"


def test_numpy_becomes_plain() -> None:
    event = {"v": 1, "kind": "x", "array": np.arange(3), "flag": np.bool_(True), "path": Path("a")}
    assert decode(encode(event)) == {
        "v": 1, "kind": "x", "array": [0, 1, 2], "flag": True, "path": "a",
    }  # fmt: skip


def test_an_object_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        encode({"kind": "x", "value": object()})


def test_a_torn_line_is_cut_off_when_writing_goes_on(log: Path) -> None:
    with EventWriter(log) as writer:
        writer.write("warning", message="whole")
    with log.open("ab") as file:
        file.write(b'{"v":1,"kind":"warn')
    reader = EventReader(log)
    assert [event["message"] for event in reader.read()] == ["whole"]
    with EventWriter(log) as writer:
        writer.write("warning", message="next")
    assert [event["message"] for event in reader.read()] == ["next"]
    assert reader.garbled == 0


def test_a_log_without_any_whole_line_starts_anew(log: Path) -> None:
    log.write_bytes(b'{"v":1,"ki' * 20_000)
    with EventWriter(log) as writer:
        writer.write("warning", message="first")
    assert [event["message"] for event in EventReader(log).read_all()] == ["first"]


def test_time_goes_on_across_resumes_whatever_the_wall_clock_says(log: Path) -> None:
    now = [1000.0]
    with EventWriter(log, clock=lambda: now[0]) as writer:
        writer.write("warning", message="0")
        now[0] += 5
        writer.write("warning", message="5")
    now[0] = 3.0  # a reboot: the monotonic clock starts again
    with EventWriter(log, clock=lambda: now[0]) as writer:
        now[0] += 2
        writer.write("warning", message="7")
    assert [event["t"] for event in EventReader(log).read()] == [0.0, 5.0, 7.0]


def test_readers_skip_and_count_what_is_no_event(log: Path) -> None:
    good = encode({"v": 1, "t": 0.0, "kind": "warning", "message": "good"})
    log.write_bytes(b"garbage\n" + good + b"[1]\n" + b'{"v":1}\n' + b"\xff\xfe\n" + b"\n" + good)
    reader = EventReader(log)
    assert len(reader.read()) == 2
    assert reader.garbled == 4


def test_lines_of_garbage_do_not_end_the_reading(log: Path) -> None:
    good = encode({"v": 1, "t": 0.0, "kind": "warning", "message": "good"})
    log.write_bytes(b"x" * 300 + b"\n" + b"y" * 300 + b"\n" + good)
    reader = EventReader(log)
    found = []
    before = -1
    while reader.offset != before:
        before = reader.offset
        found += reader.read(limit_bytes=256)
    assert [event["message"] for event in found] == ["good"]


def test_two_events_glued_by_a_comma_are_one_garbled_line(log: Path) -> None:
    one = encode({"v": 1, "t": 0.0, "kind": "warning", "message": "x"}).rstrip(b"\n")
    log.write_bytes(one + b"," + one + b"\n" + one + b"\n")
    reader = EventReader(log)
    assert len(reader.read()) == 1
    assert reader.garbled == 1


def test_an_endless_line_is_skipped_in_bounded_memory(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LONGEST_LINE", 4096)
    good = encode({"v": 1, "t": 0.0, "kind": "warning", "message": "good"})
    log.write_bytes(b"z" * 20_000 + b"\n" + good)
    reader = EventReader(log)
    found = []
    while reader.offset < log.stat().st_size:
        found += reader.read(limit_bytes=1024)
    assert [event["message"] for event in found] == ["good"]
    assert reader.garbled == 1


def test_reading_is_incremental_and_bounded(log: Path) -> None:
    with EventWriter(log) as writer:
        for step in range(1000):
            writer.write("train_step", run="a", step=step, loss=1.0)
    reader = EventReader(log)
    first = reader.read(limit_bytes=4096)
    assert 0 < len(first) < 100
    steps = [event["step"] for event in first]
    while batch := reader.read(limit_bytes=4096):
        steps += [event["step"] for event in batch]
    assert steps == list(range(1000))


def test_no_log_yet_is_no_events(tmp_path: Path) -> None:
    assert EventReader(tmp_path / "none").read() == []
    assert list(events_from_end(tmp_path / "none")) == []


def test_reading_from_the_end_drops_the_line_it_starts_in(log: Path) -> None:
    with EventWriter(log) as writer:
        for step in range(100):
            writer.write("train_step", run="a", step=step, loss=1.0)
    last = list(events_from_end(log, size=500))
    assert 1 <= len(last) <= 8
    assert [event["step"] for event in last] == list(range(99, 99 - len(last), -1))


def test_the_log_is_private(log: Path) -> None:
    before = os.umask(0)
    try:
        EventWriter(log).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_half_a_line_does_not_stay_on_a_full_disk(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EventWriter(log)
    writer.write("warning", message="whole")
    size = log.stat().st_size
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    with pytest.raises(OSError, match="space"):
        writer.write("warning", message="does not fit")
    monkeypatch.undo()
    assert log.stat().st_size == size
    writer.write("warning", message="again")
    assert len(EventReader(log).read()) == 2


def test_a_listener_hears_each_event_once_it_is_written(log: Path) -> None:
    heard = []

    def listen(event: events.Event) -> None:
        heard.append((event["message"], len(EventReader(log).read())))

    with EventWriter(log, listen) as writer:
        writer.write("warning", message="one")
        writer.write("warning", message="two")
    assert heard == [("one", 1), ("two", 2)]
