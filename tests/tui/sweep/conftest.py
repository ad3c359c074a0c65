"""A small sweep of trained runs, and its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synergy_tui.experiments.events import EventReader
from synergy_tui.sweep.directory import Sweep
from tests.tui.conftest import make

TRAINED = """
title = "Small"
[train]
task = "sort"
length = 9
vocabulary = 4
steps = {steps}
batch = 8
embed = 16
mlp = 16
layers = 1
probe_every = {probe_every}
probe_inputs = 2
checkpoint_every = {checkpoint_every}
log_every = 1
[sweep]
{sweep}
heads = [1, 2]
"""


def trained(
    steps: int = 30, *, probe_every: int = 0, checkpoint_every: int = 10, sweep: str = "seeds = 3"
) -> str:
    """The small sweep's scenario, of one head beside two."""
    return TRAINED.format(
        steps=steps, probe_every=probe_every, checkpoint_every=checkpoint_every, sweep=sweep
    )


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return make(trained(), tmp_path)


def log_of(sweep: Sweep) -> list[dict[str, Any]]:
    return list(EventReader(sweep.events_path).read_all())
