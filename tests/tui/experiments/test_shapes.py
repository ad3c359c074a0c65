"""Events of the wrong shape are skipped where logs are read; those of the right shape are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synergy_tui.errors import UserError
from synergy_tui.experiments.events import EventReader, decode, encode, events_from_end
from synergy_tui.experiments.shapes import fits, fitting
from synergy_tui.experiments.state import ExperimentState
from tests.recordings import RECORDINGS
from tests.tui.app import synthetic
from tests.tui.hostile import VALUES, changed, leaves

LOGS = sorted(RECORDINGS.glob("*/events.jsonl"))


def step(**fields: Any) -> dict[str, Any]:
    plain = {"v": 1, "t": 1.0, "kind": "train_step", "run": "a", "step": 1, "loss": 1.0}
    return {**plain, "accuracy": 0.5, "tokens_per_second": 1.0, **fields}


def probe(**fields: Any) -> dict[str, Any]:
    layer = synthetic.analysis(3.0, 0.2, 2, 1)
    whole = synthetic.analysis(3.0, 0.2, 2, "overall")
    event = {"v": 1, "t": 1.0, "kind": "probe", "run": "a", "step": 0, "inputs": 4}
    return {**event, "layers": [layer], "overall": whole, **fields}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.parent.name)
def test_every_recorded_event_fits(log: Path) -> None:
    reader = EventReader(log)
    assert len(list(reader.read_all())) == log.read_bytes().count(b"\n")
    assert reader.garbled == 0


@pytest.mark.parametrize(
    "event",
    [
        {"v": 1, "t": 0.0, "kind": "run_started", "run": "a", "heads": [1]},
        {"v": 1, "t": 0.0, "kind": "run_started", "run": "a", "heads": {"a": 1}},
        {"v": 1, "t": 0.0, "kind": "run_started", "run": "a", "heads": True},
        {"v": 1, "t": 0.0, "kind": "run_started", "run": "a", "heads": None},
        {"v": 1, "t": 0.0, "kind": "run_started", "run": ["a"], "heads": 1},
        {"v": 1, "t": 0.0, "kind": "experiment_started", "title": 5},
        {"v": 1, "t": 0.0, "kind": "experiment_started", "runs": [7]},
        {"v": 1, "t": 0.0, "kind": "an_unknown_one", "run": 3},
        {"v": 1, "t": "now", "kind": "warning", "message": "x"},
        {"v": 1, "t": -1.0, "kind": "warning", "message": "x"},
        {"v": 1, "t": float("inf"), "kind": "warning", "message": "x"},
        {"v": "1", "t": 0.0, "kind": "warning", "message": "x"},
        {"v": 1, "t": 0.0, "kind": "expectation", "that": "a", "holds": True, "left": "> b"},
        step(step=2**53),
        step(step=1.5),
        step(loss="low"),
        step(run=None),
        probe(layers=[]),
        probe(layers=[[]]),
        probe(attention=["a"]),
        probe(conventions={"theory": 5}),
        probe(overall={**synthetic.analysis(3.0, 0.2, 2, 1), "bounds": {"a": 5}}),
        probe(overall={**synthetic.analysis(3.0, 0.2, 2, 1), "intervals": {"a": {"b": 1}}}),
        probe(overall={**synthetic.analysis(3.0, 0.2, 2, 1), "intervals": {"a": [1.0]}}),
        probe(
            overall={
                **synthetic.analysis(3.0, 0.2, 2, 1),
                "arrival": {"steps": [0], "mean": [1, 2]},
            }
        ),
    ],
    ids=str,
)
def test_what_views_cannot_show_is_skipped_and_counted(
    event: dict[str, Any], tmp_path: Path
) -> None:
    assert not fits(event)
    log = tmp_path / "events.jsonl"
    log.write_bytes(encode(step()) + encode(event) + encode(step(step=2)))
    reader = EventReader(log)
    assert [each["step"] for each in reader.read()] == [1, 2]
    assert reader.garbled == 1
    assert len(list(events_from_end(log))) == 2
    [(_, _, warning)] = ExperimentState.read(log).warnings
    assert warning == "skipped 1 line of the log: damaged"


@pytest.mark.parametrize(
    "event",
    [
        step(accuracy=None),
        step(loss=float("nan")),
        {"kind": "train_step", "run": "a", "step": 1},
        {"v": 1, "t": 0.0, "kind": "of_2030", "heads": [1], "run": "a"},
        {"v": 1, "t": 0.0, "kind": "run_resumed", "run": "a", "step": -1},
        {"v": 1, "t": 0.0, "kind": "experiment_finished", "exit_code": 0, "verdict": None},
        {"v": 1, "t": 0.0, "kind": "expectation", "that": "a", "holds": False, "left": "> 10000"},
        probe(more={"of": "a later version"}),
        probe(conventions={"paper-code": {"mixing": {"hitting_time_mean": None}}}),
    ],
    ids=str,
)
def test_what_earlier_and_later_versions_write_is_read(event: dict[str, Any]) -> None:
    assert fits(decode(encode(event)))


def test_many_steps_are_checked_as_one_by_one() -> None:
    """The quick way for stretches of steps decides as the slow one does."""
    for at in leaves(step()):
        for value in VALUES:
            if at != ("kind",):
                event = changed(step(), at, value)
                assert fitting([step(), event]) == [step()] + [event] * fits(event), event


def test_a_later_version_is_refused_in_words(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    log.write_bytes(encode(step()) + encode({"v": 2, "t": 1.0, "kind": "train_step"}))
    for read in (lambda: EventReader(log).read(), lambda: list(events_from_end(log))):
        with pytest.raises(UserError, match=r"later version of Synergy \(events of version 2"):
            read()


def test_text_that_reads_like_a_number_stays_text() -> None:
    event = {"v": 1, "t": 0.0, "kind": "expectation", "that": "inf", "because": "nan"}
    assert decode(encode({**event, "left": float("inf")})) == {**event, "left": float("inf")}


def test_a_line_of_json_steers_no_terminal() -> None:
    text = "τ\x1b]52;c;eA==\x07 \x9b2J \x7f \u202e \u200b \U000e0001 é"
    line = encode({"kind": "warning", "message": text, "n": 2**70})
    assert line.decode()[:-1].isprintable()
    assert decode(line)["message"] == text
    assert decode(encode({"kind": "x", "message": "a\udcff"}))["message"] == "a�"
