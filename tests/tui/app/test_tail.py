"""Following a log that grows."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from synergy_tui.app import tail as tails
from synergy_tui.app.tail import Tail
from synergy_tui.experiments.events import encode
from synergy_tui.experiments.state import ExperimentState
from tests.tui.app import synthetic
from tests.tui.app.conftest import Recording


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(synthetic.write(synthetic.trained(upto=60), tmp_path / "experiment"))


def test_what_the_tail_folds_is_what_the_log_says(recording: Recording) -> None:
    tail = Tail(recording)
    while tail.poll():
        pass
    whole = ExperimentState.read(recording.events_path)
    assert tail.caught_up
    assert tail.state.events == whole.events
    assert tail.state.step == 60


def test_reads_are_capped(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "CHUNK_BYTES", 8192)
    tail = Tail(recording)
    tail.poll()
    assert 0 < tail.state.events < ExperimentState.read(recording.events_path).events


def test_a_torn_line_waits_for_its_end(recording: Recording) -> None:
    tail = Tail(recording)
    while tail.poll():
        pass
    line = encode({"v": 1, "t": 99.0, "kind": "warning", "message": "late"})
    with recording.events_path.open("ab") as file:
        file.write(line[:20])
        file.flush()
        assert not tail.poll()
        file.write(line[20:])
    assert tail.poll()
    assert tail.state.warnings[-1][2] == "late"


def test_every_change_has_a_new_version_and_is_told(recording: Recording) -> None:
    grew: list[int] = []
    tail = Tail(recording, grown=lambda: grew.append(1))
    tail.poll()
    before = tail.version
    tail.poll()
    assert tail.caught_up
    tail.poll()
    quiet = tail.version
    assert before >= 1
    assert tail.poll() is False
    assert tail.version == quiet
    assert len(grew) == quiet


def test_a_dead_worker_is_noticed_without_new_lines(recording: Recording) -> None:
    now = [0.0]
    tail = Tail(recording, clock=lambda: now[0])
    while tail.poll():
        pass
    version = tail.version
    recording.condition = "dead"
    tail.poll()
    assert tail.condition == "running", "asked at most once a second"
    now[0] = 2.0
    tail.poll()
    assert tail.condition == "dead"
    assert tail.version > version


def test_the_thread_ends_when_told(recording: Recording) -> None:
    done = threading.Event()
    tail = Tail(recording, grown=lambda: tail.caught_up and done.set())  # type: ignore[func-returns-value]
    thread = threading.Thread(target=tail.run, daemon=True)
    thread.start()
    assert done.wait(20)
    tail.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_no_log_yet_is_no_error(tmp_path: Path) -> None:
    tail = Tail(Recording(tmp_path / "new", "new"))
    assert tail.poll() is False
    assert tail.caught_up
