"""What a run without the app shows, event by event."""

from __future__ import annotations

import io
import os
import sys

import pytest

from synergy_tui.commands.headless import Headless
from synergy_tui.experiments.events import EventReader, encode
from tests.recordings import recording


def test_each_json_line_can_be_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the stream may be slow or wait for one event: none stays in a buffer."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb", buffering=0) as pipe, os.fdopen(writer, "wb") as stdout:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stdout))
        view = Headless("json")
        for event in EventReader(recording("sort") / "events.jsonl").read()[:5]:
            view(event)
            assert pipe.read() == encode(event)
        view.close()
        monkeypatch.undo()
