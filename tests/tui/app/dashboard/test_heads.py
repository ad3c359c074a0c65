"""Every head over training: the log's numbers, by measure, layer and run."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synergy_tui.app.dashboard.heads import MEASURES, HeadsScreen
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.inspector.screen import InspectorScreen
from synergy_tui.app.widgets.plot import Plot
from synergy_tui.experiments.experiment import Experiment
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, replaying, said, screen_lines, screen_text
from tests.tui.app.test_sizes import compare


def logged(experiment: Experiment, run: str) -> Iterator[dict[str, Any]]:
    """The probes of a run as they stand in the log."""
    for line in experiment.events_path.read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "probe" and event["run"] == run:
            yield event


def shown(screen: HeadsScreen) -> dict[str, list[float]]:
    """The curves on the screen, by name."""
    plot = screen._chart.panel.plot
    assert isinstance(plot, Plot)
    return {curve.label: np.asarray(curve.y, dtype=float).tolist() for curve in plot.curves}


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=lambda size: f"{size[0]}")
async def test_the_heads_look_as_they_did(
    four: Experiment, size: tuple[int, int], ascii_only: bool
) -> None:
    async with replaying(four, size, ascii_only=ascii_only, clock=lambda: 0.0) as pilot:
        await pilot.press("N", "E", "m", "m")
        if size == (120, 40):
            await pilot.press("v", "X", "H")
        await pilot.pause()
        drawn = "\n".join(line.rstrip() for line in screen_lines(pilot.app)) + "\n"
    compare(drawn, f"heads-{size[0]}x{size[1]}{'-ascii' if ascii_only else ''}")


async def test_curves_are_the_numbers_of_the_log(four: Experiment) -> None:
    probes = list(logged(four, "heads-4"))
    keys = ["hitting_time_mean", "mixing_time_tv_max", "fidelity_minimax", "weight"]
    keys += ["loss_without"] * ("loss_without" in probes[-1]["layers"][0]["per_head"][0])
    async with replaying(four, (120, 40)) as pilot:
        await pilot.press("n", "n", "E")
        screen = pilot.app.screen
        assert isinstance(screen, HeadsScreen)
        for layer in (0, 1):
            for key in keys:
                curves = shown(screen)
                together = curves.pop("all heads", None)
                assert curves == {
                    f"head {head + 1}": [p["layers"][layer]["per_head"][head][key] for p in probes]
                    for head in range(4)
                }
                mixture = "mixing" if "time" in key else "fidelity"
                name = key.removeprefix("fidelity_")
                if key in keys[:3]:
                    assert together == [p["layers"][layer][mixture][name] for p in probes]
                else:
                    assert together is None
                await pilot.press("m")
            await pilot.press("v")
        assert screen.chosen_layer == 1
        await pilot.press("n")
        assert len(shown(screen)) == 9
        await pilot.press("N", "N")
        assert len(shown(screen)) == 3


async def test_the_crosshair_reads_and_escape_leaves(four: Experiment) -> None:
    probe = list(logged(four, "heads-2"))[1]
    value = probe["layers"][0]["per_head"][1]["hitting_time_mean"]
    async with replaying(four, (120, 40)) as pilot:
        await pilot.press("n", "E", "X", "H")
        await pilot.pause()
        box = [line for line in screen_lines(pilot.app) if "head 2 " in line]
        assert any(f"{value:.3g}" in line for line in box)
        assert "step 20" in screen_text(pilot.app)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, HeadsScreen)
        assert pilot.app.screen.lens.aim is None
        await pilot.press("plus")
        assert pilot.app.screen._chart.panel.plot.x.low > 0
        await pilot.press("0", "[")
        await pilot.pause()
        assert pilot.app.screen._chart.panel.plot.cursor == 20
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, InspectorScreen)
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert isinstance(pilot.app.screen, DashboardScreen)


async def test_what_is_exported_goes_up_to_the_cursor(four: Experiment) -> None:
    async with replaying(four, (120, 40)) as pilot:
        await pilot.press("n", "E", "[", "e")
        await pilot.pause()
    [path] = Path(four.path, "exports").glob("*.csv")
    rows = list(csv.DictReader(path.open()))
    expected = [
        (probe["step"], layer, place, head)
        for probe in logged(four, "heads-2")
        if probe["step"] <= 20
        for layer, record in enumerate(probe["layers"], start=1)
        for place, head in enumerate(record["per_head"], start=1)
    ]
    assert len(rows) == len(expected) == 8
    for row, (step, layer, place, head) in zip(rows, expected, strict=True):
        assert (row["step"], row["layer"], row["head"]) == (str(step), str(layer), str(place))
        for measure in MEASURES[:4]:
            assert float(row[measure.key]) == head[measure.key]


async def test_a_watched_training_shows_its_heads_too(opened: Opened) -> None:
    """Its length is not known, and nothing was measured without a head."""
    events = synthetic.trained(upto=100, steps=100, runs=(("model", 3),), finish=False)
    for event in events:
        if event["kind"] == "run_started":
            event |= {"kind_of_run": "watched", "steps": None, "floor": None, "task": None}
    probes = [event for event in events if event["kind"] == "probe"]
    async with opened(events, size=(100, 30)) as pilot:
        await pilot.press("E")
        screen = pilot.app.screen
        assert isinstance(screen, HeadsScreen)
        assert [each.key for each in screen.listed] == [each.key for each in MEASURES[:4]]
        for key in ("hitting_time_mean", "mixing_time_tv_max", "fidelity_minimax", "weight"):
            curves = shown(screen)
            for head in range(3):
                logged_values = [p["layers"][0]["per_head"][head][key] for p in probes]
                assert curves[f"head {head + 1}"] == logged_values
            await pilot.press("m")
        text = screen_text(pilot.app)
        assert "● 1  ▲ 2  ■ 3  3 heads" in text
        assert "LIVE" in text


@pytest.mark.parametrize(("width", "listed"), [(130, 20), (60, 8)])
async def test_more_heads_than_colours_have_marks_of_their_own(
    opened: Opened, width: int, listed: int
) -> None:
    events = synthetic.trained(upto=100, steps=100, runs=(("many", 20),))
    async with opened(events, size=(width, 30)) as pilot:
        await pilot.press("E")
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, HeadsScreen)
        plot = screen._chart.panel.plot
        assert isinstance(plot, Plot)
        pairs = {(curve.style, curve.glyph) for curve in plot.curves}
        assert len(pairs) == len(plot.curves) == 21
        line = screen_lines(pilot.app)[1]
        assert line.split()[1 : 2 * listed : 2] == [str(head + 1) for head in range(listed)]
        assert line.rstrip().endswith("  20 heads" if listed == 20 else "  of 20 heads")


async def test_a_designed_graph_has_no_training(example2: Experiment) -> None:
    async with replaying(example2, (120, 40)) as pilot:
        await pilot.press("E")
        await pilot.pause()
        assert isinstance(pilot.app.screen, DashboardScreen)
        assert "need a run that learns" in said(pilot.app)
