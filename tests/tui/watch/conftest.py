"""Experiments of watched trainings go to a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNERGY_HOME", str(tmp_path / "home"))
    # These toys train faster than their probes are measured; none is to be left out.
    monkeypatch.setattr("synergy_tui.watch.session.PROBES_AHEAD", 1000)
    return tmp_path / "home"
