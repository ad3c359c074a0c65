"""A small sweep of trained runs, and its log."""

from __future__ import annotations

import time
from collections.abc import Callable
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
probe_every = 0
probe_inputs = 2
checkpoint_every = 10
log_every = 1
[sweep]
seeds = 3
heads = [1, 2]
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return make(TRAINED.format(steps=30), tmp_path)


def log_of(sweep: Sweep) -> list[dict[str, Any]]:
    return list(EventReader(sweep.events_path).read_all())


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
