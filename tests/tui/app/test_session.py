"""What the screens share of the running app."""

from __future__ import annotations

from pathlib import Path

import pytest

from synergy_tui.app.session import Session
from tests.tui.app import synthetic
from tests.tui.app.conftest import Recording


def test_a_moment_after_attaching_is_too_short_to_tell_the_pace(tmp_path: Path) -> None:
    step = [event for event in synthetic.trained(upto=300) if event["kind"] == "train_step"][-1]
    session = Session(Recording(tmp_path))  # type: ignore[arg-type]
    session.state.apply_all(synthetic.trained(upto=300))
    session.observe()
    later = session.state.elapsed + 1.0
    session.state.apply({**step, "step": 301, "t": later})  # it stumbled for a second
    session.observe()
    assert session.timeline.pace == pytest.approx(9.3, rel=0.05)
