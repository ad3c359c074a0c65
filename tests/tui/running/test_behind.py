"""Recording behind the training's back: nothing waits that need not, and nothing gets lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from synergy_trainer.checkpoint import CheckpointFolder
from synergy_tui.experiments.events import Event, EventReader
from synergy_tui.running.behind import RecordingThread
from tests.tui.running.test_runner import execute, make


def test_a_slow_measurement_holds_nothing_up_until_several_wait() -> None:
    measured, seen = threading.Event(), []

    def record(event: Any) -> None:
        if event == "probe":
            assert measured.wait(60)
        seen.append(event)

    with RecordingThread(record, ahead=2) as recording:
        for event in ("probe", "step", "probe", "step"):
            recording.put(event, slow=event == "probe")
        assert seen == []
        third = threading.Thread(target=recording.put, args=("probe",), kwargs={"slow": True})
        third.start()
        third.join(0.05)
        assert third.is_alive()
        measured.set()
        third.join(60)
        recording.drain()
        assert seen == ["probe", "step", "probe", "step", "probe"]


def test_what_goes_wrong_is_raised_where_events_come_from() -> None:
    seen: list[int] = []

    def record(event: int) -> None:
        if event == 1:
            raise OSError(28, "No space left on device")
        seen.append(event)

    def feed(count: int) -> None:
        with RecordingThread(record, ahead=1) as recording:
            for event in range(count):
                recording.put(event, slow=True)

    for count in (2, 9):  # found out at the end, and by the next event
        with pytest.raises(OSError, match="No space left"):
            feed(count)
    assert seen == [0, 0]


def test_an_interrupt_waits_for_nothing() -> None:
    forever = threading.Event()

    def record(_: Any) -> None:
        forever.wait()

    def interrupted() -> None:
        with RecordingThread(record, ahead=1) as recording:
            recording.put("measuring for hours")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    forever.set()


def without_times(path: Path) -> list[Event]:
    timed = {"t", "tokens_per_second", "started", "id"}
    events = EventReader(path).read()
    return [
        {key: value for key, value in event.items() if key not in timed}
        for event in events
        if event["kind"] != "resources"
    ]


def test_the_log_is_that_of_measuring_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = make(tmp_path)
    assert execute(behind) == 0
    put = RecordingThread.put

    def at_once(self: RecordingThread, event: Any, *, slow: bool = False) -> None:
        put(self, event, slow=slow)
        self.drain()

    monkeypatch.setattr(RecordingThread, "put", at_once)
    between = make(tmp_path)
    assert execute(between) == 0
    assert without_times(behind.events_path) == without_times(between.events_path)


def test_what_a_checkpoint_stands_for_is_in_the_log_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume continues from the checkpoint, and does not repeat what was before it."""
    experiment = make(tmp_path)
    logged: list[tuple[int, int, int]] = []
    write = CheckpointFolder.write

    def look_first(self: CheckpointFolder, run: str, step: int, saved: Any) -> Path:
        state = experiment.fold().runs["two"]
        assert state.probe is not None
        logged.append((step, int(state.steps[-1]), state.probe.step))
        return write(self, run, step, saved)

    monkeypatch.setattr(CheckpointFolder, "write", look_first)
    # Writing is slow, so that a training that did not wait would be ahead.
    assert execute(experiment, listener=lambda _: time.sleep(0.005)) == 0
    assert list(dict.fromkeys(logged)) == [(4, 4, 0), (8, 8, 6), (12, 12, 12)]
