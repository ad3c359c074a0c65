"""The use of the machine as a small history."""

from __future__ import annotations

import re

import pytest

from synergy_tui.app.dashboard.usage import LENGTH, SHORT, histories
from synergy_tui.experiments.state import USAGE, ExperimentState
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, screen_lines


def reports(**series: list[float | None]) -> ExperimentState:
    """A state that has read such reports."""
    nothing = dict.fromkeys(
        ("cpu_percent", "memory_bytes", "gpu_percent", "gpu_memory_bytes"), None
    )
    count = len(next(iter(series.values())))
    return synthetic.state_of(
        [
            {"v": 1, "t": 2.0 * at, "kind": "resources", **nothing}
            | {name: values[at] for name, values in series.items()}
            for at in range(count)
        ]
    )


def test_each_is_drawn_from_zero_to_its_most() -> None:
    state = reports(
        cpu_percent=[0.0, 50.0, 100.0],
        memory_bytes=[2**20, 2**21, 2**22],
        gpu_percent=[50.0, 50.0, 50.0],
    )
    assert histories(state) == [
        "gpu ▅▅▅ 50%",
        "cpu ▁▅█ 100%",
        "mem ▃▅█ 4.0 MiB",
    ]
    assert all(text.isascii() for text in histories(state, ascii_only=True))
    assert histories(reports(cpu_percent=[200.0, 400.0]))[0] == "cpu ▅█ 400%"


def test_what_is_not_measured_is_not_shown() -> None:
    assert histories(ExperimentState()) == []
    assert histories(reports(gpu_percent=[50.0, None], cpu_percent=[None, 3.0])) == ["cpu ▁ 3%"]


def test_only_the_last_minutes_are_remembered() -> None:
    state = reports(cpu_percent=[float(at) for at in range(USAGE + 90)])
    assert len(state.usage) == USAGE
    assert len(histories(state)[0].split()[1]) == LENGTH


@pytest.mark.parametrize(("width", "shown"), [(100, SHORT), (130, SHORT), (180, LENGTH)])
async def test_the_header_shows_as_much_of_it_as_there_is_room_for(
    opened: Opened, width: int, shown: int
) -> None:
    async with opened(synthetic.trained(upto=400), size=(width, 40)) as pilot:
        header = screen_lines(pilot.app)[0]
        bars = re.search(r"cpu (█*) ?96%", header)
        assert bars, header
        assert len(bars[1]) == shown
        assert "step 400/600" in header
        assert "LIVE" in header
