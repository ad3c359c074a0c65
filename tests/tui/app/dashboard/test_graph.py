"""The graph of a designed run on the dashboard."""

from __future__ import annotations

import numpy as np
import pytest

from synergy_tui.app.dashboard.graph import described, graph_of, read_graph
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.widgets.shading import head_style
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.experiment import Experiment
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, replaying, screen_text, until


def designed(*heads: list[tuple[int, int]], nodes: int = 4) -> Snapshot:
    """A designed graph of heads given by their edges."""
    attention = np.zeros((1, 1, len(heads), nodes, nodes))
    for head, edges in enumerate(heads):
        for start, end in edges:
            attention[0, 0, head, end, start] = 1.0
    return Snapshot("key", attention, np.full((1, len(heads)), 1 / len(heads)), designed=True)


def test_every_edge_is_drawn_in_its_heads_colour() -> None:
    line, branches = [(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]
    dag = graph_of(designed(line, branches))
    assert [(arc.start, arc.end) for arc in dag.above] == line
    assert sorted((arc.start, arc.end) for arc in dag.below) == branches
    assert {arc.style for arc in dag.above} == {head_style(0)}
    assert {arc.style for arc in dag.below} == {head_style(1)}
    three = graph_of(designed(line, branches, [(0, 3)]))
    assert {(arc.start, arc.end): arc.text for arc in three.above}[1, 2] == "1,2"
    assert described(designed(line, branches, line)) == "edges of 3 heads"


async def test_the_dashboard_of_a_designed_run_draws_its_graph(example2: Experiment) -> None:
    async with replaying(example2, (120, 40)) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, DashboardScreen)
        await until(lambda: screen_text(pilot.app).count("τ") >= 3, pilot)
        text = screen_text(pilot.app)
        assert text.count("which graph?") == 3
        assert "head 1 above, 2 below" in text
        await pilot.press("3", "z")
        await pilot.pause()
        assert screen.question == 3
        assert "how soon?" in screen_text(pilot.app), "its tab"
        assert "▼" in screen_text(pilot.app)


async def test_a_graph_that_was_not_kept_says_so(opened: Opened) -> None:
    async with opened(synthetic.designed(), condition="finished", size=(120, 40)) as pilot:
        await until(lambda: "too large to be drawn" in screen_text(pilot.app), pilot)


@pytest.mark.parametrize("damage", [b"", b"no safetensors"])
def test_a_damaged_file_is_named(example2: Experiment, damage: bytes) -> None:
    path = "attention/both-designed.safetensors"
    assert isinstance(read_graph(example2, path), Snapshot)
    (example2.path / path).write_bytes(damage)
    assert isinstance(read_graph(example2, path), str)
    assert isinstance(read_graph(example2, "attention/none.safetensors"), str)
