"""What every layer of tests shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.places import SHARED


@pytest.fixture(scope="session")
def paper() -> Path:
    """The published checkpoints, attention and reference numbers; skips where they are absent."""
    if not (SHARED / "paper" / "reference.json").is_file():
        pytest.skip("the published checkpoints (../shared/paper) are not on this machine")
    return SHARED / "paper"
